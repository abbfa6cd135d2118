"""Lines without usage, on an invoice and on what a month would be invoiced at: what was agreed makes of the usage."""

from dataclasses import dataclass
from decimal import Decimal

from billing.models import InvoiceLine
from pricing.conditions import LineKind


@dataclass(frozen=True, slots=True)
class AgreedRow:
    """A discount or a minimum fee. `formula` gives the exact `amount`; `rounded` is its share of the supply value."""

    kind: LineKind
    formula: str
    amount: Decimal
    rounded: Decimal

    @property
    def label(self) -> str:
        return str(InvoiceLine.Kind(self.kind).label)
