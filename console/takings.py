"""What was used, taken in and paid for in a range of time, for all customers or by each: summed from the rollups, exactly.

Revenue is before VAT, in the billing currency; cost is what the upstreams take, at the exchange rate that each charge was made
with, so that the two can be compared.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet, Sum

from accounts.models import Organization
from catalog.models import AppliedRate, LanguageModel
from metering.models import UsageRollup
from metering.usage_queries import COMPLETION_COUNTS, PROMPT_COUNTS
from pricing.exact import ONE, ZERO, exact_product, exact_sum
from pricing.margins import margin

COUNTS = ("requests", *PROMPT_COUNTS, *COMPLETION_COUNTS)


@dataclass(slots=True)
class Takings:
    """Sums of some usage in one currency."""

    currency: str
    organization: Organization | None = None
    model: LanguageModel | None = None
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = ZERO
    cost: Decimal = ZERO
    revenue: Decimal = ZERO

    @property
    def query(self) -> str:
        """What to ask a page for, to see what these are the sums of."""
        asked = {"organization": self.organization and self.organization.slug, "model": self.model and self.model.slug}
        return urlencode({name: value for name, value in asked.items() if value})

    @property
    def margin(self) -> Decimal | None:
        return margin(self.revenue, self.cost)


def takings_by_organization(*, start: datetime, end: datetime) -> list[Takings]:
    """One row a customer, the highest revenue first within each currency."""
    rows = _sums(UsageRollup.objects.filter(hour__gte=start, hour__lt=end))
    organizations = Organization.objects.in_bulk({row["organization_id"] for row, _rate in rows})
    found: dict[int, Takings] = {}
    for row, rate in rows:
        organization = organizations[row["organization_id"]]
        _add(found.setdefault(organization.pk, Takings(rate.currency, organization)), row, rate)
    return _by_revenue(found.values())


def takings_by_model(*, organization: Organization, start: datetime, end: datetime) -> list[Takings]:
    """One row a model that the customer used, the highest revenue first."""
    found: dict[int, Takings] = {}
    rollups = UsageRollup.objects.for_organization(organization)
    for row, rate in _sums(rollups.filter(hour__gte=start, hour__lt=end)):
        model = rate.cost_price.language_model
        _add(found.setdefault(model.pk, Takings(rate.currency, organization, model)), row, rate)
    return _by_revenue(found.values())


def _sums(rollups: QuerySet[UsageRollup]) -> list[tuple[dict[str, Any], AppliedRate]]:
    """The sums by customer and applied rate, each with that rate."""
    sums = {name: Sum(name) for name in COUNTS} | {"sum_cost": Sum("cost"), "sum_amount": Sum("amount")}
    rows = list(rollups.values("organization_id", "applied_rate_id").annotate(**sums).order_by())
    rates = AppliedRate.objects.select_related("exchange_rate", "cost_price__language_model")
    known = rates.in_bulk({row["applied_rate_id"] for row in rows})
    return [(row, known[row["applied_rate_id"]]) for row in rows]


def _add(takings: Takings, row: dict[str, Any], rate: AppliedRate) -> None:
    takings.requests += row["requests"]
    takings.prompt_tokens += sum(row[name] for name in PROMPT_COUNTS)
    takings.completion_tokens += sum(row[name] for name in COMPLETION_COUNTS)
    takings.cost_usd = exact_sum((takings.cost_usd, row["sum_cost"]))
    factor = rate.exchange_rate.rate if rate.exchange_rate else ONE
    takings.cost = exact_sum((takings.cost, exact_product(row["sum_cost"], factor)))
    takings.revenue = exact_sum((takings.revenue, row["sum_amount"]))


def _by_revenue(found: Iterable[Takings]) -> list[Takings]:
    return sorted(found, key=lambda takings: (takings.currency, -takings.revenue))


def by_currency(rows: Iterable[Takings]) -> list[Takings]:
    """The sums of all customers, one row a currency."""
    groups: dict[str, list[Takings]] = defaultdict(list)
    for row in rows:
        groups[row.currency].append(row)
    return [
        Takings(
            currency,
            requests=sum(row.requests for row in group),
            prompt_tokens=sum(row.prompt_tokens for row in group),
            completion_tokens=sum(row.completion_tokens for row in group),
            cost_usd=exact_sum(row.cost_usd for row in group),
            cost=exact_sum(row.cost for row in group),
            revenue=exact_sum(row.revenue for row in group),
        )
        for currency, group in sorted(groups.items())
    ]
