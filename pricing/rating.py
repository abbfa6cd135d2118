"""The one rating function: amount = tokens × unit price, exactly. Estimate, charge and invoice all come through here.

A unit price is cost × (1 + markup) × exchange rate. With at most 12, 4 and 4 decimals it has at most 20, so whatever
it is multiplied with stays exact in NUMERIC(38,20), and nothing is rounded before the invoice (`totals`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation

from pricing.exact import EXACT, ONE, ZERO, decimal_places, exact_product, exact_sum
from pricing.tokens import TokenClass, TokenUsage

COST_DECIMALS = 12
MARKUP_DECIMALS = 4
EXCHANGE_RATE_DECIMALS = 4
AMOUNT_DECIMALS = COST_DECIMALS + MARKUP_DECIMALS + EXCHANGE_RATE_DECIMALS
AMOUNT_DIGITS = 38

_AMOUNT_STEP = Decimal(1).scaleb(-AMOUNT_DECIMALS)
_COLUMN = Context(prec=AMOUNT_DIGITS, traps=[Inexact, InvalidOperation])


class InexactPrice(ValueError):
    """A factor with more decimals than a unit price can carry exactly, or none at all (NaN, Infinity)."""


class NegativePrice(ValueError):
    """A factor that would pay the customer: a cost below 0, a markup below -1, an exchange rate of 0 or less."""


class MissingUnitPrice(LookupError):
    """Something was used that the applied rate does not price. `token_class` names it; the usage must wait, unrated."""

    def __init__(self, token_class: TokenClass) -> None:
        super().__init__(f"no unit price for {token_class.value}")
        self.token_class = token_class


class AmountTooLarge(ValueError):
    """A price or amount that does not fit NUMERIC(38,20): too many digits on either side of the point, or NaN."""


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One product of a rated usage: `quantity` × `unit_price` = `amount`, in the currency of the unit price."""

    token_class: TokenClass
    quantity: int
    unit_price: Decimal
    amount: Decimal


def unit_price(cost: Decimal, markup: Decimal, exchange_rate: Decimal) -> Decimal:
    """What one unit costs the customer: `cost` × (1 + `markup`) × `exchange_rate`, exactly.

    `cost` is in the upstream's currency per unit, `markup` a fraction of cost (0.30 is 30 %), `exchange_rate` in
    billing currency per unit of the upstream's. Raises `InexactPrice`, `NegativePrice`, `AmountTooLarge`.
    """
    _check_decimals("cost", cost, COST_DECIMALS)
    _check_decimals("markup", markup, MARKUP_DECIMALS)
    _check_decimals("exchange rate", exchange_rate, EXCHANGE_RATE_DECIMALS)
    if cost < ZERO or markup < -ONE or exchange_rate <= ZERO:
        raise NegativePrice(f"cost {cost}, markup {markup}, exchange rate {exchange_rate}")
    return fitting(exact_product(cost, exact_sum((ONE, markup)), exchange_rate))


def unit_prices(
    unit_costs: Mapping[TokenClass, Decimal], *, markup: Decimal, exchange_rate: Decimal
) -> dict[TokenClass, Decimal]:
    """The unit price of each class that has a unit cost. Raises as `unit_price` does."""
    return {token_class: unit_price(cost, markup, exchange_rate) for token_class, cost in unit_costs.items()}


def rate(usage: TokenUsage, unit_prices: Mapping[TokenClass, Decimal]) -> Decimal:
    """The exact amount of a usage in the currency of the unit prices; negative for a reversal.

    Raises `MissingUnitPrice` for a class that was used and has no price (none is ever taken for 0), `AmountTooLarge`.
    """
    return amount_of(usage.billable_quantities(), unit_prices)


def amount_of(quantities: Iterable[tuple[TokenClass, int]], unit_prices: Mapping[TokenClass, Decimal]) -> Decimal:
    """`rate` for quantities that were told apart already, as they are for several prices of one usage."""
    amount = ZERO
    add_product = EXACT.fma
    try:
        for token_class, quantity in quantities:
            amount = add_product(quantity, unit_prices[token_class], amount)
    except KeyError as missing:
        raise MissingUnitPrice(missing.args[0]) from None
    return fitting(amount)


def explain(usage: TokenUsage, unit_prices: Mapping[TokenClass, Decimal]) -> tuple[RatedLine, ...]:
    """The products that `rate` adds up, in the order of `TokenClass`. Raises as `rate` does."""
    rate(usage, unit_prices)
    return tuple(
        RatedLine(token_class, quantity, unit_prices[token_class], EXACT.fma(quantity, unit_prices[token_class], ZERO))
        for token_class, quantity in usage.billable_quantities()
    )


def _check_decimals(name: str, value: Decimal, decimals: int) -> None:
    if not value.is_finite():
        raise InexactPrice(f"{name} {value} is not a number")
    if decimal_places(value) > decimals:
        raise InexactPrice(f"{name} {value} has more than {decimals} decimals")


def fitting(amount: Decimal) -> Decimal:
    """`amount` itself, once it is known to fit the column. Raises `AmountTooLarge`."""
    try:
        if _COLUMN.quantize(amount, _AMOUNT_STEP).is_finite():
            return amount
    except (Inexact, InvalidOperation):
        pass
    raise AmountTooLarge(f"{amount} does not fit NUMERIC({AMOUNT_DIGITS},{AMOUNT_DECIMALS})")
