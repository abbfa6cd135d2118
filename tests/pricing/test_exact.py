from decimal import Decimal, Inexact, localcontext
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.exact import decimal_or_none, decimal_places, exact_product, exact_sum, parse_decimal

amounts = st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-(10**17), max_value=10**17)


def test_products_and_sums_keep_every_digit() -> None:
    assert exact_product(Decimal("0.000000000001"), Decimal("1.0001"), Decimal("1393.5001")) == Decimal(
        "0.00000000139363945001"
    )
    assert exact_product() == 1
    assert exact_sum([Decimal("0.1")] * 10) == 1
    assert exact_sum([]) == 0


def test_a_lost_digit_raises() -> None:
    with pytest.raises(Inexact):
        exact_product(Decimal("1." + "1" * 50), Decimal("1." + "1" * 50))
    with pytest.raises(Inexact):
        exact_sum([Decimal("1e50"), Decimal("1e-50")])


def test_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        exact_product(Decimal(1), 0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        exact_sum([Decimal(1), 0.1])  # type: ignore[list-item]


@given(st.lists(amounts), st.randoms())
def test_the_order_of_a_sum_does_not_matter(terms: list[Decimal], random: Random) -> None:
    shuffled = list(terms)
    random.shuffle(shuffled)
    assert exact_sum(shuffled) == exact_sum(terms)


@given(amounts, amounts)
def test_the_thread_context_has_no_influence(one: Decimal, other: Decimal) -> None:
    with localcontext(prec=3):
        total = exact_sum([one, other])
    assert total == exact_sum([one, other])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("0.00000004", "4E-8"),
        ("4e-8", "4E-8"),
        ("4E-08", "4E-8"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-1", "-1"),
        ("+1.50", "1.50"),
        ("1" * 60, "1" * 60),
    ],
)
def test_numbers_are_read(text: str, value: str) -> None:
    assert parse_decimal(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        " 1",
        "1\n",
        "NaN",
        "sNaN",
        "Infinity",
        "-inf",
        "1e999",
        "1e-999",
        "1e",
        "e5",
        ".",
        "1,000",
        "1_000",
        "0x10",
        "--1",
        "1.2.3",
        "١",
        "１",
        "1" * 61,
        "0." + "0" * 59,
    ],
)
def test_anything_else_is_not_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="decimal number"):
        parse_decimal(text)


@pytest.mark.parametrize("value", [0.1, 1, Decimal(1), None, True, b"1"])
def test_only_a_string_is_read(value: object) -> None:
    with pytest.raises(ValueError, match="given as a string"):
        parse_decimal(value)  # type: ignore[arg-type]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-(10**30), max_value=10**30))
def test_a_written_number_is_read_back(value: Decimal) -> None:
    assert parse_decimal(str(value)) == value


@pytest.mark.parametrize(
    ("value", "places"), [("0", 0), ("0E-30", 0), ("1E+5", 0), ("1.50", 1), ("1E-12", 12), ("-0.001000", 3)]
)
def test_decimal_places(value: str, places: int) -> None:
    assert decimal_places(Decimal(value)) == places


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity"])
def test_what_is_not_finite_has_no_places(value: str) -> None:
    with pytest.raises(ValueError, match="not finite"):
        decimal_places(Decimal(value))


@pytest.mark.parametrize("text", ["1e200000000", "1e-99999999999999999999", "9" * 61 + ".5", "NaN", "Infinity"])
def test_a_number_that_nobody_can_mean_is_unknown(text: str) -> None:
    assert decimal_or_none(text) is None


def test_a_number_that_can_be_meant_keeps_its_digits() -> None:
    assert str(decimal_or_none("0.000060")) == "0.000060"
