"""A band's name leads back to the calls that it prices."""

from decimal import Decimal

import pytest

from pricing.band_conditions import BandConditions, Window, conditions_of
from pricing.bands import Override, PriceSheet
from pricing.tokens import TokenClass

COSTS = {TokenClass.INPUT: Decimal(1), TokenClass.OUTPUT: Decimal(1)}
NIGHT = {"utc_start": 990, "utc_end": 30}


def sheet(*overrides: dict[str, object]) -> PriceSheet:
    return PriceSheet(base=COSTS, overrides=tuple(Override(unit_costs=COSTS, **one) for one in overrides))  # type: ignore[arg-type]


def test_without_overrides_there_is_no_condition() -> None:
    assert conditions_of(sheet(), "base") == BandConditions()


@pytest.mark.parametrize(
    ("band", "above", "up_to"), [("base", None, 128_000), ("0", 128_000, 256_000), ("0+1", 256_000, None)]
)
def test_a_ladder_of_prompt_lengths_has_bounds_on_both_sides(band: str, above: int | None, up_to: int | None) -> None:
    ladder = sheet({"min_prompt_tokens": 128_000}, {"min_prompt_tokens": 256_000})
    assert conditions_of(ladder, band) == BandConditions(above=above, up_to=up_to)


def test_hours_and_days_are_those_of_the_overrides_that_apply() -> None:
    hours = sheet(NIGHT | {"utc_days": frozenset({5, 1})}, {"utc_days": frozenset({6, 7})})
    first, second = (
        Window(utc_start=990, utc_end=30, utc_days=(1, 5)),
        Window(utc_start=None, utc_end=None, utc_days=(6, 7)),
    )
    assert conditions_of(hours, "0+1").windows == (first, second)
    assert (first.hours, second.hours) == (("16:30", "00:30"), None)
    assert conditions_of(hours, "base") == BandConditions(), "at all other times"


def test_a_long_prompt_at_night_is_no_bound_of_the_day() -> None:
    mixed = sheet(NIGHT | {"min_prompt_tokens": 1000})
    assert conditions_of(mixed, "base") == BandConditions(), "by day a long prompt costs the base price too"
    assert conditions_of(mixed, "0").above == 1000


def test_a_name_of_another_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="not a band"):
        conditions_of(sheet(), "0")
