"""From exact amounts to an invoice in whole minor units: the only place where money is rounded.

The subtotal is rounded once; its lines get their share by largest remainder and add up to it; tax is computed once
from the rounded subtotal and rounded towards zero, as Korean practice has it. All of it mirrors under a change of
sign, so that a full credit note cancels its invoice line by line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from types import MappingProxyType

from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum

MINOR_UNITS: Mapping[str, int] = MappingProxyType({"KRW": 0, "USD": 2})
"""Decimals of each billing currency."""

_UNIT: Mapping[str, Decimal] = {currency: ONE.scaleb(-decimals) for currency, decimals in MINOR_UNITS.items()}
_HALF_UP = Context(prec=80, rounding=ROUND_HALF_UP)
_DOWN = Context(prec=80, rounding=ROUND_DOWN)


class UnknownCurrency(LookupError):
    """A currency that we do not bill in."""


class FractionOfMinorUnit(ValueError):
    """An amount that should have been rounded before: ₩0.5, $0.001."""


class NotAllocable(ValueError):
    """Money to share out among weights that cancel out, or among no weights at all."""


class InvalidTaxRate(ValueError):
    """A tax rate that is not a fraction from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Totals:
    """An invoice in whole minor units: `sum(lines)` = `subtotal`, `subtotal` + `tax` = `total`."""

    lines: tuple[Decimal, ...]
    subtotal: Decimal
    tax: Decimal
    total: Decimal


def round_to_minor(amount: Decimal, currency: str) -> Decimal:
    """`amount` to the nearest minor unit; a half goes away from zero, for negatives too (₩0.5 to ₩1, −₩0.5 to −₩1)."""
    return _in_units(_whole_units(amount.quantize(_minor_unit(currency), context=_HALF_UP), currency), currency)


def allocate(total: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Share out `total`, in whole minor units, in proportion to `weights`, by largest remainder; ties go to the first.

    The shares add up to `total` and each is less than a minor unit off `total` × weight / sum of weights. Weights may
    have either sign; a zero gets nothing, unless all are zero: then all get the same. Raises `FractionOfMinorUnit`,
    and `NotAllocable` when a total other than 0 meets weights that cancel out or no weights at all.
    """
    units = _whole_units(total, currency)
    numerators, _ = _common_fractions(weights)
    if not any(numerators):
        numerators = [1] * len(numerators)
    whole = sum(numerators)
    if units == 0:
        return [_in_units(0, currency)] * len(numerators)
    if whole == 0:
        raise NotAllocable(f"{total} {currency} cannot be shared out by {len(numerators)} weights whose sum is 0")
    sign = 1 if whole > 0 else -1
    shares = _largest_remainder([sign * units * numerator for numerator in numerators], sign * whole, units)
    return [_in_units(share, currency) for share in shares]


def vat(supply: Decimal, *, tax_rate: Decimal, currency: str) -> Decimal:
    """The tax on a rounded supply value, rounded towards zero to the minor unit: sign × floor(|supply| × rate).

    `tax_rate` is a fraction (0.10). Raises `FractionOfMinorUnit` for a supply value that is not rounded,
    `InvalidTaxRate`.
    """
    _check_tax_rate(tax_rate)
    _whole_units(supply, currency)
    tax = exact_product(supply, tax_rate).quantize(_minor_unit(currency), context=_DOWN)
    return _in_units(_whole_units(tax, currency), currency)


def split_inclusive(total: Decimal, *, tax_rate: Decimal, currency: str) -> tuple[Decimal, Decimal]:
    """Supply value and tax of a rounded total that contains the tax: tax = sign × floor(|total| × rate / (1 + rate)).

    The two add up to `total`. Some totals are no supply value plus its `vat` (₩10 at 10 %), so `vat(supply)` may be
    one unit more than the tax returned. Raises `FractionOfMinorUnit`, `InvalidTaxRate`.
    """
    _check_tax_rate(tax_rate)
    units = _whole_units(total, currency)
    (rate, one), _ = _common_fractions((tax_rate, ONE))
    tax = abs(units) * rate // (one + rate)
    tax = tax if units >= 0 else -tax
    return _in_units(units - tax, currency), _in_units(tax, currency)


def invoice_totals(line_amounts: Sequence[Decimal], *, currency: str, tax_rate: Decimal) -> Totals:
    """Round an invoice: `line_amounts` are the exact amounts of its lines, in order, tax excluded.

    The subtotal is their exact sum, rounded once. Each line is less than one minor unit off its exact amount, and a
    whole amount stays as it is. Raises `InvalidTaxRate`, `UnknownCurrency`.
    """
    subtotal = round_to_minor(exact_sum(line_amounts), currency)
    numerators, denominator = _common_fractions(line_amounts)
    scale: int = 10 ** MINOR_UNITS[currency]
    units = _largest_remainder(
        [numerator * scale for numerator in numerators], denominator, _whole_units(subtotal, currency)
    )
    tax = vat(subtotal, tax_rate=tax_rate, currency=currency)
    lines = tuple(_in_units(unit, currency) for unit in units)
    return Totals(lines=lines, subtotal=subtotal, tax=tax, total=exact_sum((subtotal, tax)))


def _largest_remainder(numerators: Sequence[int], denominator: int, total: int) -> list[int]:
    """Whole numbers near numerator / denominator (> 0) that add up to `total`, itself less than one off their sum.

    Cutting towards zero, then moving the largest remainders one away from it, treats a list and its negative alike. A
    remainder of the other sign is never touched, and there are enough of the right one.
    """
    shares = [_toward_zero(numerator, denominator) for numerator in numerators]
    missing = total - sum(shares)
    step = 1 if missing >= 0 else -1
    remainders = [step * (numerator - share * denominator) for numerator, share in zip(numerators, shares, strict=True)]
    by_remainder = sorted(range(len(shares)), key=lambda index: (-remainders[index], index))
    for index in by_remainder[: abs(missing)]:
        shares[index] += step
    return shares


def _toward_zero(numerator: int, denominator: int) -> int:
    return numerator // denominator if numerator >= 0 else -(-numerator // denominator)


def _common_fractions(numbers: Sequence[Decimal]) -> tuple[list[int], int]:
    """The numbers over one denominator, as integers, in which no division is lost."""
    ratios = [Decimal.as_integer_ratio(number) for number in numbers]  # not number's own method: a float has one too
    denominator = math.lcm(*(bottom for _, bottom in ratios))
    return [top * (denominator // bottom) for top, bottom in ratios], denominator


def _minor_unit(currency: str) -> Decimal:
    if currency not in _UNIT:
        raise UnknownCurrency(f"we do not bill in {currency!r}")
    return _UNIT[currency]


def _whole_units(amount: Decimal, currency: str) -> int:
    """How many minor units `amount` is."""
    units = EXACT.divide(amount, _minor_unit(currency))
    if units != units.to_integral_value():
        raise FractionOfMinorUnit(f"{amount} {currency} is not a whole number of minor units")
    return int(units)


def _in_units(units: int, currency: str) -> Decimal:
    """`units` minor units as money, with the currency's decimals and never as −0."""
    return exact_product(units, _minor_unit(currency))


def _check_tax_rate(tax_rate: Decimal) -> None:
    if not ZERO <= tax_rate <= ONE:
        raise InvalidTaxRate(f"tax rate {tax_rate} is not a fraction from 0 to 1")
