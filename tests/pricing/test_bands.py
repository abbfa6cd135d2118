from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.bands import Band, IncompletePrice, InvalidCondition, Override, PriceSheet, complete
from pricing.tokens import TokenClass

ANY_TIME = datetime(2026, 11, 22, 12, tzinfo=UTC)
FRIDAY = 20  # of November 2026


def costs(**by_class: str) -> dict[TokenClass, Decimal]:
    return {TokenClass(name): Decimal(cost) for name, cost in by_class.items()}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, 59, tzinfo=UTC)


class TestComplete:
    def test_two_prices_make_a_list(self) -> None:
        assert complete(costs(input="1", output="2")) == costs(
            input="1",
            cache_read="1",
            cache_write="1",
            cache_write_1h="1",
            output="2",
            reasoning="2",
            audio_input="1",
            audio_cache_read="1",
            audio_output="2",
            image_input="1",
            image_output="2",
            images="0",
            requests="0",
        )

    def test_a_search_has_a_price_only_where_it_is_listed(self) -> None:
        assert TokenClass.SEARCHES not in complete(costs(input="1", output="2"))
        assert complete(costs(input="1", output="2", searches="0.01"))[TokenClass.SEARCHES] == Decimal("0.01")

    def test_what_is_listed_stays(self) -> None:
        listed = {token_class: Decimal(place) for place, token_class in enumerate(TokenClass)}
        assert complete(listed) == listed
        assert list(complete(dict(reversed(listed.items())))) == list(TokenClass)

    @pytest.mark.parametrize(
        ("listed", "token_class", "cost"),
        [
            ({"cache_write": "3"}, "cache_write_1h", "3"),
            ({"cache_read": "3"}, "audio_cache_read", "3"),
            ({"cache_read": "3", "audio_input": "4"}, "audio_cache_read", "4"),
            ({"audio_input": "4"}, "audio_cache_read", "4"),
            ({"audio_input": "4", "audio_cache_read": "5"}, "audio_cache_read", "5"),
            ({"cache_read": "0"}, "cache_read", "0"),
        ],
    )
    def test_fallbacks_of_fallbacks(self, listed: dict[str, str], token_class: str, cost: str) -> None:
        assert complete(costs(input="1", output="2", **listed))[TokenClass(token_class)] == Decimal(cost)

    @pytest.mark.parametrize("missing", ["input", "output"])
    def test_input_and_output_have_no_substitute(self, missing: str) -> None:
        listed = costs(input="1", output="2", cache_read="1", reasoning="2")
        del listed[TokenClass(missing)]
        with pytest.raises(IncompletePrice, match=missing):
            complete(listed)
        with pytest.raises(IncompletePrice, match=missing):
            PriceSheet(listed)


class TestConditions:
    def test_without_conditions_it_always_applies(self) -> None:
        assert Override(unit_costs={}).applies(0, ANY_TIME)

    @pytest.mark.parametrize(("prompt_tokens", "holds"), [(199_999, False), (200_000, False), (200_001, True)])
    def test_the_prompt_is_strictly_longer(self, prompt_tokens: int, holds: bool) -> None:
        assert Override(min_prompt_tokens=200_000, unit_costs={}).applies(prompt_tokens, ANY_TIME) is holds

    @pytest.mark.parametrize(
        ("moment", "holds"),
        [(at(1, 0, 59), False), (at(1, 1, 0), True), (at(1, 10, 29), True), (at(1, 10, 30), False)],
    )
    def test_a_window_is_half_open(self, moment: datetime, holds: bool) -> None:
        assert Override(utc_start=60, utc_end=630, unit_costs={}).applies(1, moment) is holds

    @pytest.mark.parametrize(
        ("moment", "holds"),
        [(at(1, 21, 59), False), (at(1, 22), True), (at(1, 0), True), (at(1, 1, 59), True), (at(1, 2), False)],
    )
    def test_a_window_may_wrap_past_midnight(self, moment: datetime, holds: bool) -> None:
        assert Override(utc_start=22 * 60, utc_end=2 * 60, unit_costs={}).applies(1, moment) is holds

    @pytest.mark.parametrize(("start", "end"), [(0, 1440), (0, 0), (720, 720)])
    @given(hour=st.integers(0, 23), minute=st.integers(0, 59))
    def test_a_whole_day(self, start: int, end: int, hour: int, minute: int) -> None:
        assert Override(utc_start=start, utc_end=end, unit_costs={}).applies(1, at(1, hour, minute))

    def test_until_the_days_end(self) -> None:
        evening = Override(utc_start=1380, utc_end=1440, unit_costs={})
        assert evening.applies(1, at(1, 23, 59))
        assert not evening.applies(1, at(1, 0))

    @pytest.mark.parametrize(
        ("moment", "holds"),
        [
            (at(FRIDAY, 1), True),
            (at(FRIDAY, 12), False),
            (at(FRIDAY, 23), True),
            (at(FRIDAY + 1, 1), False),
            (at(FRIDAY + 1, 23), False),
            (at(FRIDAY - 1, 23), False),
        ],
    )
    def test_the_weekday_is_that_of_the_instant_on_both_sides_of_midnight(self, moment: datetime, holds: bool) -> None:
        fridays = Override(utc_start=22 * 60, utc_end=2 * 60, utc_days=frozenset({5}), unit_costs={})
        assert fridays.applies(1, moment) is holds

    def test_weekdays_alone_mean_the_whole_day(self) -> None:
        weekend = Override(utc_days=frozenset({6, 7}), unit_costs={})
        assert [weekend.applies(1, at(day, 12)) for day in range(16, 23)] == [False] * 5 + [True] * 2
        assert not Override(utc_days=frozenset(), unit_costs={}).applies(1, ANY_TIME)

    def test_the_instant_is_converted_to_utc(self) -> None:
        seoul = timezone(timedelta(hours=9))
        saturday_morning_in_seoul = datetime(2026, 11, FRIDAY + 1, 7, 30, tzinfo=seoul)  # Friday 22:30 in UTC
        friday_night = Override(utc_start=22 * 60, utc_end=23 * 60, utc_days=frozenset({5}), unit_costs={})
        assert friday_night.applies(1, saturday_morning_in_seoul)

    def test_a_naive_instant_is_refused_even_if_no_condition_asks_for_it(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            Override(unit_costs={}).applies(1, datetime(2026, 11, 22))

    def test_all_conditions_must_hold(self) -> None:
        override = Override(min_prompt_tokens=10, utc_start=0, utc_end=60, utc_days=frozenset({5}), unit_costs={})
        assert override.applies(11, at(FRIDAY, 0))
        assert not override.applies(10, at(FRIDAY, 0))
        assert not override.applies(11, at(FRIDAY, 1))
        assert not override.applies(11, at(FRIDAY + 1, 0))

    @pytest.mark.parametrize(
        "conditions",
        [
            {"utc_start": 0},
            {"utc_end": 0},
            {"utc_start": -1, "utc_end": 60},
            {"utc_start": 0, "utc_end": 1441},
            {"utc_days": frozenset({0})},
            {"utc_days": frozenset({1, 8})},
        ],
    )
    def test_a_condition_that_cannot_be_evaluated_is_refused(self, conditions: dict[str, Any]) -> None:
        with pytest.raises(InvalidCondition):
            Override(unit_costs={}, **conditions)


class TestPriceSheet:
    sheet = PriceSheet(
        base=costs(input="1", output="2", cache_read="0.1"),
        overrides=(
            Override(min_prompt_tokens=100, unit_costs=costs(input="10", output="20")),
            Override(utc_start=0, utc_end=60, unit_costs=costs(output="7")),
            Override(min_prompt_tokens=200, unit_costs=costs(input="100")),
        ),
    )

    @pytest.mark.parametrize(
        ("prompt_tokens", "moment", "name", "input_cost", "output_cost"),
        [
            (100, ANY_TIME, "base", "1", "2"),
            (101, ANY_TIME, "0", "10", "20"),
            (100, at(1, 0), "1", "1", "7"),
            (101, at(1, 0), "0+1", "10", "7"),
            (201, ANY_TIME, "0+2", "100", "20"),
            (201, at(1, 0), "0+1+2", "100", "7"),
        ],
    )
    def test_later_overrides_win_key_by_key(
        self, prompt_tokens: int, moment: datetime, name: str, input_cost: str, output_cost: str
    ) -> None:
        band = self.sheet.band(prompt_tokens, moment)
        assert band.name == name
        assert band.unit_costs == complete(costs(input=input_cost, output=output_cost, cache_read="0.1"))
        assert self.sheet.band(prompt_tokens, moment) is band

    def test_without_overrides_there_is_one_band(self) -> None:
        plain = PriceSheet(costs(input="1", output="2"))
        assert plain.band(10**9, ANY_TIME) == Band("base", complete(costs(input="1", output="2")))

    def test_nobody_can_change_a_sheet_or_its_bands(self) -> None:
        base, dearer = costs(input="1", output="2"), costs(input="3")
        sheet = PriceSheet(base, (Override(unit_costs=dearer),))
        base[TokenClass.INPUT] = dearer[TokenClass.INPUT] = Decimal(0)
        assert sheet.band(1, ANY_TIME).unit_costs[TokenClass.INPUT] == 3
        for mapping in (sheet.base, sheet.overrides[0].unit_costs, sheet.band(1, ANY_TIME).unit_costs):
            with pytest.raises(TypeError):
                mapping[TokenClass.INPUT] = Decimal(0)  # type: ignore[index]

    def test_sheets_are_equal_by_what_they_list(self) -> None:
        same = PriceSheet(self.sheet.base, self.sheet.overrides)
        assert same == self.sheet
        assert same != PriceSheet(self.sheet.base)
        assert "Override" in repr(same)

    def test_the_highest_costs(self) -> None:
        assert self.sheet.highest_unit_costs() == complete(costs(input="100", output="20", cache_read="0.1"))

    def test_a_cheap_override_does_not_lower_the_highest_costs(self) -> None:
        night = Override(utc_start=0, utc_end=60, unit_costs=costs(input="0.5", reasoning="0"))
        base = costs(input="1", output="2")
        assert PriceSheet(base, (night,)).highest_unit_costs() == complete(base)

    @given(st.from_type(PriceSheet))
    def test_the_highest_costs_are_those_of_all_combinations(self, sheet: PriceSheet) -> None:
        indices = range(len(sheet.overrides))
        lists = []
        for applied in chain.from_iterable(combinations(indices, size) for size in range(len(indices) + 1)):
            merged = dict(sheet.base)
            for index in applied:
                merged |= sheet.overrides[index].unit_costs
            lists.append(complete(merged))
        assert sheet.highest_unit_costs() == {
            name: max(costs[name] for costs in lists if name in costs)
            for name in TokenClass
            if any(name in costs for costs in lists)
        }

    @given(st.from_type(PriceSheet), st.integers(0, 2_000_000), st.datetimes(timezones=st.just(UTC)))
    def test_a_band_names_the_overrides_that_apply(
        self, sheet: PriceSheet, prompt_tokens: int, moment: datetime
    ) -> None:
        band = sheet.band(prompt_tokens, moment)
        applied = [str(i) for i, override in enumerate(sheet.overrides) if override.applies(prompt_tokens, moment)]
        assert band.name == ("+".join(applied) or "base")
        assert set(TokenClass) - set(band.unit_costs) <= {TokenClass.SEARCHES}


class TestNamedBand:
    SHEET = PriceSheet(
        base=costs(input="1", output="2"),
        overrides=(
            Override(min_prompt_tokens=100, unit_costs=costs(input="3")),
            Override(min_prompt_tokens=200, unit_costs=costs(input="5")),
        ),
    )

    @pytest.mark.parametrize("prompt_tokens", [0, 101, 201])
    def test_a_name_leads_back_to_its_band(self, prompt_tokens: int) -> None:
        band = self.SHEET.band(prompt_tokens, ANY_TIME)
        assert self.SHEET.named_band(band.name) == band

    @pytest.mark.parametrize("name", ["2", "0+2", "-1", "other", ""])
    def test_a_name_that_it_cannot_have_given_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError):
            self.SHEET.named_band(name)
