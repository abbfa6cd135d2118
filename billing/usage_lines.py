"""From a period's rollups to lines: applied rate × token class, exact. The estimate and the invoice are both made of these.

A charge that came in after its own period was closed stands in a later one: its line names the month of service.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, F, Sum, Value, When
from django.db.models.functions import TruncMonth

from accounts.models import Organization
from billing.line_notes import notes_of
from catalog.rate_details import RateDetails, details_of
from ledger.models import BillingPeriod
from metering.models import UsageRollup
from pricing.exact import exact_product
from pricing.rating import RatedLine
from pricing.tokens import FIELD_OF, PIECE_CLASSES, TokenClass


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """`quantity` × `unit_price` = `amount`, before tax and rounding. `service_month` (its first day) only where it is not the
    period's own."""

    applied_rate_id: int
    rate: RateDetails
    token_class: TokenClass
    quantity: int
    unit_price: Decimal
    amount: Decimal
    service_month: date | None = None

    @property
    def formula(self) -> str:
        """The amount as a product that anybody can work out."""
        return self.rate.formula([(self.token_class, self.quantity)])


def usage_lines(*, organization: Organization, period: BillingPeriod) -> list[UsageLine]:
    """The lines of what was charged to `period`, its own months first, then by model. Needs the organization's tenant scope."""
    late = TruncMonth("hour", tzinfo=ZoneInfo(period.zone))
    found = (
        UsageRollup.objects.for_organization(organization)
        .filter(period_id=period.pk)
        .annotate(late=Case(When(hour__lt=period.starts_at, then=late), default=Value(None)))
        .values("late", rate_id=F("applied_rate_id"))
        .annotate(**{f"sum_{token_class.value}": Sum(FIELD_OF[token_class]) for token_class in TokenClass})
    )
    rows: list[Mapping[str, Any]] = [*found]
    rates = details_of(row["rate_id"] for row in rows)
    lines = [line for row in rows for line in _lines(row, rates[row["rate_id"]], zone=ZoneInfo(period.zone))]
    return sorted(lines, key=_order)


def notes_of_usage(lines: Sequence[UsageLine], *, language: str, zone: ZoneInfo) -> list[str]:
    """What tells the price of each line from those of the model's other ones."""
    keys = [(line.service_month, line.applied_rate_id) for line in lines]
    notes = notes_of(keys, {line.applied_rate_id: line.rate for line in lines}, language=language, zone=zone)
    return [notes[key] for key in keys]


def billable_quantities(counts: Mapping[TokenClass, int]) -> list[tuple[TokenClass, int]]:
    """Disjoint quantities from sums with reasoning inside output: `TokenUsage.billable_quantities`, for more than one call."""
    disjoint = dict(counts)
    disjoint[TokenClass.OUTPUT] = counts.get(TokenClass.OUTPUT, 0) - counts.get(TokenClass.REASONING, 0)
    return [(token_class, disjoint[token_class]) for token_class in TokenClass if disjoint.get(token_class)]


def priced(
    quantities: Iterable[tuple[TokenClass, int]], unit_prices: Mapping[TokenClass, Decimal]
) -> Sequence[RatedLine]:
    """Quantities with their exact amounts. Pieces (requests, images, searches) that cost nothing are nobody's line."""
    return [
        RatedLine(token_class, quantity, unit_prices[token_class], exact_product(quantity, unit_prices[token_class]))
        for token_class, quantity in quantities
        if unit_prices[token_class] or token_class not in PIECE_CLASSES
    ]


def _lines(row: Mapping[str, Any], rate: RateDetails, *, zone: ZoneInfo) -> list[UsageLine]:
    late: datetime | None = row["late"]
    counts = {token_class: int(row[f"sum_{token_class.value}"]) for token_class in TokenClass}
    return [
        UsageLine(
            applied_rate_id=row["rate_id"],
            rate=rate,
            token_class=line.token_class,
            quantity=line.quantity,
            unit_price=line.unit_price,
            amount=line.amount,
            service_month=late and late.astimezone(zone).date(),
        )
        for line in priced(billable_quantities(counts), rate.unit_prices)
    ]


def _order(line: UsageLine) -> tuple[object, ...]:
    position = list(TokenClass).index(line.token_class)
    return (line.service_month or date.min, line.rate.model, line.applied_rate_id, position)
