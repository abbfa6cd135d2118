"""What a band and an hour tell of calls that were summed up – never more than is true of each of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pricing.band_spans import calls_in_band, common_band
from pricing.bands import Override, PriceSheet
from pricing.tokens import TokenClass

HOUR = timedelta(hours=1)
START = datetime(2026, 11, 21, 23, tzinfo=UTC)
COSTS = {TokenClass.INPUT: Decimal(1), TokenClass.OUTPUT: Decimal(2)}


def sheet(*overrides: Override) -> PriceSheet:
    return PriceSheet(base=COSTS, overrides=overrides)


def long(threshold: int, **conditions: object) -> Override:
    return Override(min_prompt_tokens=threshold, unit_costs={TokenClass.INPUT: Decimal(3)}, **conditions)  # type: ignore[arg-type]


def name_of(new: PriceSheet, old: PriceSheet, band: str, start: datetime = START) -> str | None:
    found = common_band(new, calls_in_band(old, band, start=start, end=start + HOUR))
    return found.name if found else None


def test_a_sheet_without_conditions_has_one_band() -> None:
    assert name_of(sheet(), sheet(long(5)), "0") == "base"


def test_the_same_threshold_keeps_calls_where_they_were() -> None:
    assert name_of(sheet(long(200)), sheet(long(200)), "base") == "base"
    assert name_of(sheet(long(200)), sheet(long(200)), "0") == "0"


def test_another_threshold_is_decided_on_one_side_only() -> None:
    assert name_of(sheet(long(300)), sheet(long(200)), "base") == "base"
    assert name_of(sheet(long(300)), sheet(long(200)), "0") is None
    assert name_of(sheet(long(100)), sheet(long(200)), "0") == "0"
    assert name_of(sheet(long(100)), sheet(long(200)), "base") is None


def test_calls_of_a_sheet_without_thresholds_tell_nothing() -> None:
    assert name_of(sheet(long(200)), sheet(), "base") is None


def test_an_hour_within_a_window_is_decided_and_one_across_its_end_is_not() -> None:
    night = sheet(Override(utc_start=22 * 60, utc_end=30, unit_costs={TokenClass.INPUT: Decimal(1)}))
    assert [name_of(night, sheet(), "base", START + hours * HOUR) for hours in (-2, -1, 0, 1, 2)] == [
        "base",
        "0",
        "0",
        None,
        "base",
    ]


def test_a_threshold_that_holds_at_night_only_says_nothing_of_the_day() -> None:
    at_night = long(200, utc_start=22 * 60, utc_end=24 * 60)
    assert name_of(sheet(long(200)), sheet(at_night), "base") == "base"
    assert name_of(sheet(long(200)), sheet(at_night), "base", START + 12 * HOUR) is None


overrides = st.builds(
    lambda threshold, window, days: Override(
        min_prompt_tokens=threshold,
        utc_start=window and window[0],
        utc_end=window and window[1],
        utc_days=days,
        unit_costs={TokenClass.INPUT: Decimal(3)},
    ),
    st.none() | st.sampled_from([10, 20, 30]),
    st.none() | st.tuples(st.integers(0, 1440), st.integers(0, 1440)),
    st.none() | st.frozensets(st.integers(1, 7)),
)
sheets = st.lists(overrides, max_size=3).map(lambda found: sheet(*found))


@given(old=sheets, new=sheets, hours=st.integers(0, 200), minute=st.integers(0, 59), prompt=st.integers(0, 40))
def test_what_is_said_of_all_calls_is_true_of_each(
    old: PriceSheet, new: PriceSheet, hours: int, minute: int, prompt: int
) -> None:
    start = START + hours * HOUR
    at = start + timedelta(minutes=minute, seconds=59, microseconds=999_999)
    calls = calls_in_band(old, old.band(prompt, at).name, start=start, end=start + HOUR)
    assert calls.above < prompt <= calls.up_to
    found = common_band(new, calls)
    assert found is None or found.name == new.band(prompt, at).name
