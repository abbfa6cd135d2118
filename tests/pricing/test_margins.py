from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.margins import margin, markup

amounts = st.decimals(min_value=1, max_value=10**9, places=6)


@pytest.mark.parametrize(
    ("revenue", "cost", "expected_margin", "expected_markup"),
    [
        ("130", "100", "0.2307692307692307692307692308", "0.3"),
        ("200", "100", "0.5", "1"),
        ("100", "100", "0", "0"),
        ("50", "100", "-1", "-0.5"),
        ("0", "100", None, "-1"),
        ("100", "0", "1", None),
        ("0", "0", None, None),
    ],
)
def test_golden(revenue: str, cost: str, expected_margin: str | None, expected_markup: str | None) -> None:
    assert margin(Decimal(revenue), Decimal(cost)) == (expected_margin and Decimal(expected_margin))
    assert markup(Decimal(revenue), Decimal(cost)) == (expected_markup and Decimal(expected_markup))


@given(amounts, amounts)
def test_one_follows_from_the_other(revenue: Decimal, cost: Decimal) -> None:
    with localcontext(prec=3):
        ours, theirs = margin(revenue, cost), markup(revenue, cost)
    assert ours is not None
    assert theirs is not None
    assert abs((1 - ours) * (1 + theirs) - 1) < Decimal("1e-15")
