"""What was agreed beside prices: a discount on a month's usage, and the least that a month costs. Both are lines of their own.

The discount is taken of the exact sum of the usage, then the minimum fee adds what is missing; rounding comes after both, once, as
`totals` does it. A month in which more was taken back than used gives the discount of it back, too, and its minimum fee takes
nothing of what the customer gets back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum

from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum
from pricing.plain_text import plain
from pricing.totals import Totals, invoice_totals, round_to_minor

BOOKED = Decimal("1e-20")
"""The last decimal that the books keep of an amount."""
DISCOUNT_DECIMALS = 4
_TO_BOOKS = Context(prec=80, rounding=ROUND_HALF_UP)


class LineKind(StrEnum):
    """What a line of an invoice is for."""

    USAGE = "usage"
    DISCOUNT = "discount"
    MINIMUM_FEE = "minimum_fee"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What holds for one month, before tax: `discount` is a fraction of its usage, `minimum` whole minor units, its share of a
    partial month already."""

    discount: Decimal = ZERO
    minimum: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedLine:
    """A line without usage. `amount` is exact, `rounded` its share of the rounded subtotal, `formula` gives the exact amount."""

    kind: LineKind
    amount: Decimal
    rounded: Decimal
    formula: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """A month under its conditions. `usage_lines` are the usage's shares in the rounded subtotal, `agreed` are the other lines."""

    usage: Decimal
    usage_lines: tuple[Decimal, ...]
    agreed: tuple[AgreedLine, ...]
    totals: Totals

    @property
    def exact(self) -> Decimal:
        """What the lines add up to before rounding."""
        return exact_sum((self.usage, *(line.amount for line in self.agreed)))

    def agreed_line(self, kind: LineKind) -> AgreedLine | None:
        return next((line for line in self.agreed if line.kind == kind), None)

    def agreed_amount(self, kind: LineKind) -> Decimal:
        """The exact amount of the line of that kind; 0 if there is none."""
        line = self.agreed_line(kind)
        return line.amount if line else ZERO


def charged(usage: Sequence[Decimal], *, conditions: Conditions, currency: str, tax_rate: Decimal) -> Charged:
    """What a month costs: `usage` are the exact amounts of its usage's lines. Raises as `totals.invoice_totals`."""
    whole = exact_sum(usage)
    agreed = _agreed(whole, conditions)
    totals = invoice_totals(
        [*usage, *(amount for _kind, amount, _formula in agreed)], currency=currency, tax_rate=tax_rate
    )
    shares = totals.lines[len(usage) :]
    return Charged(
        usage=whole,
        usage_lines=totals.lines[: len(usage)],
        agreed=tuple(
            AgreedLine(kind=kind, amount=amount, rounded=rounded, formula=formula)
            for (kind, amount, formula), rounded in zip(agreed, shares, strict=True)
        ),
        totals=totals,
    )


def minimum_of_days(minimum: Decimal, *, days: int, of: int, currency: str) -> Decimal:
    """The share of a month's minimum for `days` of its `of` days, to the nearest minor unit, a half up."""
    if days == of:
        return minimum
    share = _TO_BOOKS.divide(exact_product(minimum, days), Decimal(of))
    return round_to_minor(share, currency)


def formulas(usage: Decimal, conditions: Conditions) -> dict[LineKind, str]:
    """How anybody can work out the exact amount of each line that follows from `conditions` and the exact sum of the usage."""
    return {kind: formula for kind, _amount, formula in _agreed(usage, conditions)}


def _agreed(usage: Decimal, conditions: Conditions) -> list[tuple[LineKind, Decimal, str]]:
    """The lines that follow from the conditions, without those of 0: kind, exact amount, formula."""
    lines = []
    discount = exact_product(EXACT.minus(usage), conditions.discount).quantize(BOOKED, context=_TO_BOOKS)
    if discount:
        lines.append((LineKind.DISCOUNT, discount, f"{plain(EXACT.minus(usage))} × {plain(conditions.discount)}"))
    kept = max(EXACT.add(usage, discount), ZERO)
    if kept < conditions.minimum:
        formula = plain(conditions.minimum) + (f" − {plain(kept)}" if kept else "")
        lines.append((LineKind.MINIMUM_FEE, EXACT.subtract(conditions.minimum, kept), formula))
    return lines


def is_discount(fraction: Decimal) -> bool:
    """Whether it is a fraction from 0 to 1 of at most DISCOUNT_DECIMALS decimals."""
    return ZERO <= fraction <= ONE and fraction == fraction.quantize(ONE.scaleb(-DISCOUNT_DECIMALS), context=_TO_BOOKS)
