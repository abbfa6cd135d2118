"""From a period's rollups to lines: applied rate × token class, exact. The estimate and the invoice are both made of these.

A charge that came in after its own period was closed stands in a later one: its line names the month of service.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Organization
from accounts.round_trips import Rows, Statement, run
from billing.line_notes import notes_of
from catalog.rate_details import KnownRates, RateDetails
from ledger.models import BillingPeriod
from pricing.exact import exact_product, exact_sum
from pricing.rating import RatedLine
from pricing.tokens import FIELD_OF, PIECE_CLASSES, TokenClass

POSITION = {token_class: position for position, token_class in enumerate(TokenClass)}
"""Of a token class among the lines of a rate."""


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


SUMS = Statement(f"""
SELECT CASE WHEN rollup.hour < period.starts_at THEN date_trunc('month', rollup.hour AT TIME ZONE period.zone)::date END,
    rollup.applied_rate_id, {", ".join(f"sum(rollup.{FIELD_OF[token_class]})" for token_class in TokenClass)}, sum(rollup.amount)
FROM ledger_billingperiod AS period JOIN metering_usagerollup AS rollup
    ON rollup.organization_id = period.organization_id AND rollup.period_id = period.id
WHERE period.organization_id = %s AND period.id = %s GROUP BY 1, 2
""")
"""Of (organization, period): month of service where it is not the period's own, rate, counts by token class, amount."""


@dataclass(frozen=True, slots=True)
class PeriodUsage:
    """The lines of a period, its own months first, then by model; and what its rollups say that they come to."""

    lines: list[UsageLine]
    amount: Decimal


def usage_lines(*, organization: Organization, period: BillingPeriod) -> list[UsageLine]:
    """The lines of what was charged to `period`. Needs the organization's tenant scope."""
    return stored_usage(organization=organization, period=period).lines


def stored_usage(*, organization: Organization, period: BillingPeriod) -> PeriodUsage:
    """The usage of `period`; none of one that is not stored. Needs the organization's tenant scope."""
    return usage_of(run([(SUMS, [organization.pk, period.pk])])[0] if period.pk else [], rates=KnownRates())


def usage_of(sums: Rows, *, rates: KnownRates) -> PeriodUsage:
    """What SUMS returned as lines. Needs the organization's tenant scope."""
    details = rates.details_of(rate_id for _month, rate_id, *_counts in sums)
    lines = [
        line
        for service_month, rate_id, *counts, _amount in sums
        for line in _lines(service_month, rate_id, counts, details[rate_id])
    ]
    return PeriodUsage(sorted(lines, key=_order), exact_sum(row[-1] for row in sums))


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


def _lines(service_month: date | None, rate_id: int, counts: Sequence[int], rate: RateDetails) -> list[UsageLine]:
    quantities = billable_quantities(
        {token_class: int(count) for token_class, count in zip(TokenClass, counts, strict=True)}
    )
    return [
        UsageLine(
            applied_rate_id=rate_id,
            rate=rate,
            token_class=line.token_class,
            quantity=line.quantity,
            unit_price=line.unit_price,
            amount=line.amount,
            service_month=service_month,
        )
        for line in priced(quantities, rate.unit_prices)
    ]


def _order(line: UsageLine) -> tuple[object, ...]:
    return (line.service_month or date.min, line.rate.model, line.applied_rate_id, POSITION[line.token_class])
