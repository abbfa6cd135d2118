"""How an amount came about, line by line: tokens × upstream cost × (1 + markup) × exchange rate (components/formula.html)."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.utils.functional import Promise

from catalog.price_book import Rate
from catalog.rate_details import RateDetails
from metering.token_labels import TOKEN_CLASSES
from pricing.rating import RatedLine
from pricing.tokens import PIECE_CLASSES, TokenClass


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaLine:
    """One product. `unit_cost` is USD for one piece or token; `amount` is exact, in `currency`, before tax."""

    token_class: TokenClass
    quantity: int
    unit_cost: Decimal
    unit_price: Decimal
    markup: Decimal
    exchange_rate: Decimal | None
    amount: Decimal
    currency: str

    @property
    def token_label(self) -> Promise:
        return TOKEN_CLASSES[self.token_class]

    @property
    def is_piece(self) -> bool:
        """Counted one by one (images, searches, requests), so priced for one and not for a million."""
        return self.token_class in PIECE_CLASSES


def formula_lines(lines: Iterable[RatedLine], details: RateDetails | Rate) -> list[FormulaLine]:
    """What is charged for; pieces (requests, images, searches) that cost nothing are no line."""
    return [
        FormulaLine(
            token_class=line.token_class,
            quantity=line.quantity,
            unit_cost=details.unit_costs[line.token_class],
            unit_price=line.unit_price,
            markup=details.markup,
            exchange_rate=details.exchange.rate if details.exchange else None,
            amount=line.amount,
            currency=details.currency,
        )
        for line in lines
        if line.unit_price or line.token_class not in PIECE_CLASSES
    ]
