from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.exact import exact_sum
from pricing.totals import (
    MINOR_UNITS,
    FractionOfMinorUnit,
    InvalidTaxRate,
    NotAllocable,
    Totals,
    UnknownCurrency,
    allocate,
    invoice_totals,
    round_to_minor,
    split_inclusive,
    vat,
)

TEN_PERCENT = Decimal("0.10")
currencies = st.sampled_from(sorted(MINOR_UNITS))
exact_amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=20)
rounded_units = st.integers(-(10**15), 10**15)


def decimals(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


def money(units: int, currency: str) -> Decimal:
    return Decimal(units).scaleb(-MINOR_UNITS[currency])


class TestRounding:
    @pytest.mark.parametrize(
        ("amount", "currency", "rounded"),
        [
            ("0.5", "KRW", "1"),
            ("0.49999999999999999999", "KRW", "0"),
            ("1.5", "KRW", "2"),
            ("2.5", "KRW", "3"),
            ("-0.5", "KRW", "-1"),
            ("-0.4", "KRW", "0"),
            ("-2.5", "KRW", "-3"),
            ("1234567", "KRW", "1234567"),
            ("0.005", "USD", "0.01"),
            ("-0.005", "USD", "-0.01"),
            ("12.344999", "USD", "12.34"),
            ("12", "USD", "12.00"),
        ],
    )
    def test_half_goes_away_from_zero(self, amount: str, currency: str, rounded: str) -> None:
        assert str(round_to_minor(Decimal(amount), currency)) == rounded

    def test_only_our_currencies(self) -> None:
        with pytest.raises(UnknownCurrency, match="EUR"):
            round_to_minor(Decimal(1), "EUR")
        with pytest.raises(UnknownCurrency, match="EUR"):
            allocate(Decimal(1), [Decimal(1)], "EUR")

    @given(exact_amounts, currencies)
    def test_at_most_half_a_unit_off_and_the_same_for_the_negative(self, amount: Decimal, currency: str) -> None:
        rounded = round_to_minor(amount, currency)
        assert abs(Fraction(rounded) - Fraction(amount)) <= Fraction(money(1, currency)) / 2
        assert round_to_minor(amount.copy_negate(), currency) == rounded.copy_negate()
        assert round_to_minor(rounded, currency) == rounded


class TestAllocation:
    @pytest.mark.parametrize(
        ("total", "weights", "currency", "shares"),
        [
            ("100", ("1", "1", "1"), "KRW", ("34", "33", "33")),
            ("1.00", ("1", "1", "1"), "USD", ("0.34", "0.33", "0.33")),
            ("-100", ("1", "1", "1"), "KRW", ("-34", "-33", "-33")),
            ("10", ("0", "3", "0", "1"), "KRW", ("0", "8", "0", "2")),
            ("2", ("0.1", "0.1", "0.8"), "KRW", ("0", "0", "2")),
            ("10", ("0", "0", "0"), "KRW", ("4", "3", "3")),
            ("10", ("3", "-1"), "KRW", ("15", "-5")),
            ("10", ("-3", "1"), "KRW", ("15", "-5")),
            ("10", ("-1", "-1", "-1"), "KRW", ("4", "3", "3")),
            ("0", ("1", "-1"), "KRW", ("0", "0")),
            ("0", (), "KRW", ()),
            ("7", ("0.00000000000000000001",), "KRW", ("7",)),
        ],
    )
    def test_golden(self, total: str, weights: tuple[str, ...], currency: str, shares: tuple[str, ...]) -> None:
        assert allocate(Decimal(total), decimals(*weights), currency) == decimals(*shares)

    @pytest.mark.parametrize("weights", [(), ("1", "-1")])
    def test_money_cannot_go_nowhere(self, weights: tuple[str, ...]) -> None:
        with pytest.raises(NotAllocable):
            allocate(Decimal(1), decimals(*weights), "KRW")

    @pytest.mark.parametrize(("total", "currency"), [("0.5", "KRW"), ("0.001", "USD"), ("NaN", "KRW")])
    def test_only_whole_units_are_shared_out(self, total: str, currency: str) -> None:
        with pytest.raises(FractionOfMinorUnit):
            allocate(Decimal(total), [Decimal(1)], currency)

    def test_a_float_weight_is_refused(self) -> None:
        with pytest.raises(TypeError):
            allocate(Decimal(1), [0.1], "KRW")  # type: ignore[list-item]

    @given(rounded_units, st.lists(exact_amounts, min_size=1, max_size=20), currencies)
    def test_shares_are_fair(self, units: int, weights: list[Decimal], currency: str) -> None:
        whole = sum(map(Fraction, weights))
        if whole == 0:
            weights.append(Decimal(1))
            whole = Fraction(1)
        total = money(units, currency)
        shares = allocate(total, weights, currency)
        assert exact_sum(shares) == total
        for share, weight in zip(shares, weights, strict=True):
            assert abs(Fraction(share) - Fraction(total) * Fraction(weight) / whole) < Fraction(money(1, currency))
            assert weight != 0 or share == 0
        assert allocate(total.copy_negate(), weights, currency) == [share.copy_negate() for share in shares]
        assert allocate(total, [weight.copy_negate() for weight in weights], currency) == shares

    @given(rounded_units, st.lists(st.integers(0, 1000).map(Decimal), min_size=1, max_size=20), currencies)
    def test_equal_weights_differ_by_one_unit_at_most_and_the_first_gets_it(
        self, units: int, weights: list[Decimal], currency: str
    ) -> None:
        shares = allocate(money(abs(units), currency), weights, currency)
        for weight in set(weights):
            equal = [share for share, other in zip(shares, weights, strict=True) if other == weight]
            assert equal == sorted(equal, reverse=True)
            assert equal[0] - equal[-1] <= money(1, currency)


class TestTax:
    @pytest.mark.parametrize(
        ("supply", "rate", "currency", "tax"),
        [
            ("1234567", "0.10", "KRW", "123456"),
            ("66", "0.10", "KRW", "6"),
            ("9", "0.10", "KRW", "0"),
            ("-66", "0.10", "KRW", "-6"),
            ("-9", "0.10", "KRW", "0"),
            ("0", "0.10", "KRW", "0"),
            ("1234567", "0", "KRW", "0"),
            ("12.39", "0.10", "USD", "1.23"),
            ("100", "1", "KRW", "100"),
        ],
    )
    def test_vat_is_cut_off(self, supply: str, rate: str, currency: str, tax: str) -> None:
        assert str(vat(Decimal(supply), tax_rate=Decimal(rate), currency=currency)) in (tax, f"{tax}.00")

    @pytest.mark.parametrize(
        ("total", "supply", "tax"),
        [
            ("99999", "90909", "9090"),
            ("-99999", "-90909", "-9090"),
            ("11", "10", "1"),
            ("10", "10", "0"),
            ("0", "0", "0"),
        ],
    )
    def test_a_total_that_contains_tax(self, total: str, supply: str, tax: str) -> None:
        split = split_inclusive(Decimal(total), tax_rate=TEN_PERCENT, currency="KRW")
        assert split == (Decimal(supply), Decimal(tax))

    @pytest.mark.parametrize("rate", ["-0.1", "1.1", "10"])
    def test_a_rate_is_a_fraction(self, rate: str) -> None:
        with pytest.raises(InvalidTaxRate):
            vat(Decimal(1), tax_rate=Decimal(rate), currency="KRW")
        with pytest.raises(InvalidTaxRate):
            split_inclusive(Decimal(1), tax_rate=Decimal(rate), currency="KRW")

    def test_tax_is_only_taken_of_what_was_rounded(self) -> None:
        with pytest.raises(FractionOfMinorUnit):
            vat(Decimal("69.99"), tax_rate=TEN_PERCENT, currency="KRW")
        with pytest.raises(FractionOfMinorUnit):
            split_inclusive(Decimal("69.99"), tax_rate=TEN_PERCENT, currency="KRW")

    @given(rounded_units, currencies, st.decimals(min_value=0, max_value=1, places=4))
    def test_vat_is_floor_of_the_absolute(self, units: int, currency: str, rate: Decimal) -> None:
        tax = vat(money(units, currency), tax_rate=rate, currency=currency)
        floor = int(Fraction(abs(units)) * Fraction(rate))
        assert tax == money(floor if units >= 0 else -floor, currency)

    @given(rounded_units, currencies, st.decimals(min_value=0, max_value=1, places=4))
    def test_the_parts_of_an_inclusive_total_add_up(self, units: int, currency: str, rate: Decimal) -> None:
        total = money(units, currency)
        supply, tax = split_inclusive(total, tax_rate=rate, currency=currency)
        assert exact_sum([supply, tax]) == total
        assert exact_sum([vat(supply, tax_rate=rate, currency=currency), tax.copy_negate()]) in (
            0,
            money(1, currency),
            money(-1, currency),
        )
        mirrored = split_inclusive(total.copy_negate(), tax_rate=rate, currency=currency)
        assert mirrored == (supply.copy_negate(), tax.copy_negate())

    @given(st.integers(0, 10**12))
    def test_splitting_undoes_adding(self, units: int) -> None:
        supply = Decimal(units)
        tax = vat(supply, tax_rate=TEN_PERCENT, currency="KRW")
        assert split_inclusive(supply + tax, tax_rate=TEN_PERCENT, currency="KRW") == (supply, tax)


class TestInvoice:
    @pytest.mark.parametrize(
        ("amounts", "currency", "rate", "lines", "subtotal", "tax", "total"),
        [
            (("1234567",), "KRW", "0.10", ("1234567",), "1234567", "123456", "1358023"),
            (("22.2", "22.2", "22.1"), "KRW", "0.10", ("23", "22", "22"), "67", "6", "73"),
            (("65.5",), "KRW", "0.10", ("66",), "66", "6", "72"),
            (("0.4", "0.4", "0.4"), "KRW", "0.10", ("1", "0", "0"), "1", "0", "1"),
            (("0.3", "100"), "KRW", "0.10", ("0", "100"), "100", "10", "110"),
            (("100.4", "-100"), "KRW", "0.10", ("100", "-100"), "0", "0", "0"),
            (("0.5", "-0.5"), "KRW", "0.10", ("0", "0"), "0", "0", "0"),
            (("-22.2", "-22.2", "-22.1"), "KRW", "0.10", ("-23", "-22", "-22"), "-67", "-6", "-73"),
            (("0.014", "0.014", "0.014"), "USD", "0", ("0.02", "0.01", "0.01"), "0.04", "0", "0.04"),
            ((), "KRW", "0.10", (), "0", "0", "0"),
        ],
    )
    def test_golden(
        self,
        amounts: tuple[str, ...],
        currency: str,
        rate: str,
        lines: tuple[str, ...],
        subtotal: str,
        tax: str,
        total: str,
    ) -> None:
        assert invoice_totals(decimals(*amounts), currency=currency, tax_rate=Decimal(rate)) == Totals(
            lines=tuple(decimals(*lines)), subtotal=Decimal(subtotal), tax=Decimal(tax), total=Decimal(total)
        )

    def test_eighty_one_lines_lose_no_cent(self) -> None:
        totals = invoice_totals([Decimal("0.33333")] * 81, currency="USD", tax_rate=Decimal(0))
        assert totals.subtotal == exact_sum(totals.lines) == Decimal("27.00")
        assert set(totals.lines) == {Decimal("0.33"), Decimal("0.34")}

    def test_a_float_line_is_refused(self) -> None:
        with pytest.raises(TypeError):
            invoice_totals([0.1], currency="KRW", tax_rate=TEN_PERCENT)  # type: ignore[list-item]

    @given(st.lists(exact_amounts, max_size=30), currencies, st.decimals(min_value=0, max_value=1, places=4))
    def test_lines_add_up_and_stay_near_their_exact_amounts(
        self, amounts: list[Decimal], currency: str, rate: Decimal
    ) -> None:
        with localcontext(prec=5):
            totals = invoice_totals(amounts, currency=currency, tax_rate=rate)
        unit = Fraction(money(1, currency))
        assert exact_sum(totals.lines) == totals.subtotal == round_to_minor(exact_sum(amounts), currency)
        assert totals.tax == vat(totals.subtotal, tax_rate=rate, currency=currency)
        assert totals.total == exact_sum([totals.subtotal, totals.tax])
        for line, amount in zip(totals.lines, amounts, strict=True):
            assert abs(Fraction(line) - Fraction(amount)) < unit
            assert line == amount or Fraction(amount) % unit != 0

    @given(st.lists(exact_amounts, max_size=30), currencies, st.decimals(min_value=0, max_value=1, places=4))
    def test_a_full_credit_mirrors_its_invoice(self, amounts: list[Decimal], currency: str, rate: Decimal) -> None:
        invoice = invoice_totals(amounts, currency=currency, tax_rate=rate)
        credit = invoice_totals([amount.copy_negate() for amount in amounts], currency=currency, tax_rate=rate)
        assert credit == Totals(
            lines=tuple(line.copy_negate() for line in invoice.lines),
            subtotal=invoice.subtotal.copy_negate(),
            tax=invoice.tax.copy_negate(),
            total=invoice.total.copy_negate(),
        )

    @given(st.lists(exact_amounts, max_size=30), currencies, st.randoms())
    def test_the_order_of_the_lines_does_not_change_the_total(
        self, amounts: list[Decimal], currency: str, random: Random
    ) -> None:
        shuffled = list(amounts)
        random.shuffle(shuffled)
        one, other = (invoice_totals(lines, currency=currency, tax_rate=TEN_PERCENT) for lines in (amounts, shuffled))
        assert (one.subtotal, one.tax, one.total) == (other.subtotal, other.tax, other.total)
