"""A discount and a minimum beside prices: exact, mirrored where more is taken back than used, rounded with everything once."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.conditions import Conditions, LineKind, charged, formulas, is_discount, minimum_of_days
from pricing.exact import ZERO, exact_sum

amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=20, allow_nan=False)
discounts = st.decimals(min_value=0, max_value=1, places=4)
minimums = st.integers(min_value=0, max_value=10**9).map(Decimal)


def bill(usage: list[str], *, discount: str = "0", minimum: str = "0", currency: str = "KRW") -> list[tuple[str, str]]:
    """The agreed lines and the total of these usage lines: (kind, exact amount)."""
    found = charged(
        [Decimal(amount) for amount in usage],
        conditions=Conditions(discount=Decimal(discount), minimum=Decimal(minimum)),
        currency=currency,
        tax_rate=Decimal("0.1"),
    )
    lines = [(line.kind.value, f"{line.amount.normalize():f}") for line in found.agreed]
    return [*lines, ("total", f"{found.totals.total:f}")]


def test_without_conditions_there_are_the_usage_lines_alone() -> None:
    assert bill(["33", "33"]) == [("total", "72")]


def test_a_discount_is_a_share_of_the_exact_sum() -> None:
    assert bill(["33.3", "33.3"], discount="0.125") == [("discount", "-8.325"), ("total", "63")]


def test_the_minimum_fee_adds_what_the_discount_leaves_missing() -> None:
    assert bill(["600", "400"], discount="0.1", minimum="1000") == [
        ("discount", "-100"),
        ("minimum_fee", "100"),
        ("total", "1100"),
    ]
    assert bill(["1200"], discount="0.1", minimum="1000") == [("discount", "-120"), ("total", "1188")]
    assert bill([], minimum="50000") == [("minimum_fee", "50000"), ("total", "55000")]


def test_what_is_given_back_stays_given_back() -> None:
    """The discount of it is taken back with it, and the minimum fee does not eat it."""
    assert bill(["-1000"], discount="0.1") == [("discount", "100"), ("total", "-990")]
    assert bill(["-1000"], minimum="3000") == [("minimum_fee", "3000"), ("total", "2200")]


def test_all_may_be_given_away() -> None:
    assert bill(["1234.5"], discount="1") == [("discount", "-1234.5"), ("total", "0")]


def test_a_discount_is_kept_to_the_last_decimal_of_the_books() -> None:
    assert bill(["0.00000000000000000001"], discount="0.5") == [
        ("discount", "-0.00000000000000000001"),
        ("total", "0"),
    ]
    assert bill(["0.00000000000000000001"], discount="0.4") == [("total", "0")]


@given(usage=st.lists(amounts, max_size=6), discount=discounts, minimum=minimums)
def test_lines_add_up_and_each_is_rounded_by_less_than_a_won(
    usage: list[Decimal], discount: Decimal, minimum: Decimal
) -> None:
    conditions = Conditions(discount=discount, minimum=minimum)
    found = charged(usage, conditions=conditions, currency="KRW", tax_rate=Decimal("0.1"))
    lines = [*zip(usage, found.usage_lines, strict=True), *((line.amount, line.rounded) for line in found.agreed)]
    assert exact_sum(rounded for _exact, rounded in lines) == found.totals.subtotal
    assert all(abs(exact - rounded) < 1 for exact, rounded in lines)
    net = exact_sum((found.usage, found.agreed_amount(LineKind.DISCOUNT)))
    assert found.exact == max(net, minimum) if net >= ZERO else found.exact == exact_sum((net, minimum))
    assert set(formulas(found.usage, conditions)) == {line.kind for line in found.agreed}


@pytest.mark.parametrize(
    ("days", "of", "currency", "share"),
    [(31, 31, "KRW", "50000"), (16, 31, "KRW", "25806"), (1, 30, "KRW", "1667"), (15, 30, "USD", "25000.00")],
)
def test_a_partial_month_has_its_days_of_the_minimum(days: int, of: int, currency: str, share: str) -> None:
    assert str(minimum_of_days(Decimal(50000), days=days, of=of, currency=currency)) == share


@pytest.mark.parametrize("fraction", ["-0.1", "1.0001", "0.12345"])
def test_what_is_no_discount(fraction: str) -> None:
    assert not is_discount(Decimal(fraction))
    assert is_discount(Decimal("0.1234"))
