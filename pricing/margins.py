"""How much of the money is ours: two ratios that are easily confused, for the operator's console."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

from pricing.exact import EXACT

_RATIO = Context(prec=28, rounding=ROUND_HALF_EVEN)  # a ratio seldom ends; nothing is charged by it


def margin(revenue: Decimal, cost: Decimal) -> Decimal | None:
    """(revenue − cost) / revenue, a fraction to 28 digits; `None` without revenue. Both in the same currency."""
    return _ratio(EXACT.subtract(revenue, cost), revenue)


def markup(revenue: Decimal, cost: Decimal) -> Decimal | None:
    """(revenue − cost) / cost, a fraction to 28 digits; `None` without cost. Both in the same currency."""
    return _ratio(EXACT.subtract(revenue, cost), cost)


def _ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    return _RATIO.divide(part, whole) if whole else None
