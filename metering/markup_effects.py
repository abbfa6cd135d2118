"""What a markup rule would do to what customers used in the last thirty days. Reads the rollups of all of them, as `system`."""

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from accounts.models import Organization
from catalog import price_book
from catalog.markup_comparison import Proposal
from catalog.markup_preview import MarkupPreview, Usage, preview_markup
from catalog.models import AppliedRate
from metering.models import UsageRollup
from pricing.exact import ONE, ZERO, exact_product, exact_sum

SPAN = timedelta(days=30)


def markup_effects(*, proposal: Proposal, now: datetime) -> MarkupPreview:
    """The preview of `proposal` for all active customers, in their own currencies. Nothing is written.

    Examples are in the currency of the customer whom the proposal names, else in won; in dollars while there is no exchange rate.
    """
    active = Organization.objects.using("system").filter(status=Organization.Status.ACTIVE)
    snapshot = price_book.refresh()
    return preview_markup(
        snapshot=snapshot,
        proposal=proposal,
        organization_ids=active.values_list("pk", flat=True),
        usage=recent_costs(since=now - SPAN, until=now),
        exchange_rate=exchange_rate_of_examples(proposal, now=now)[1],
    )


def exchange_rate_of_examples(proposal: Proposal, *, now: datetime) -> tuple[str, Decimal]:
    """The currency of the examples, and won for a dollar if it is the won."""
    terms = price_book.PUBLIC_TERMS
    if proposal.organization_id is not None:
        terms = price_book.terms_of(Organization.objects.using("system").get(pk=proposal.organization_id))
    try:
        rate = price_book.exchange_rate(terms=terms, at=now)
    except price_book.NoExchangeRate:
        rate = None
    return (terms.currency, rate.rate) if rate else ("USD", ONE)


def recent_costs(*, since: datetime, until: datetime) -> Usage:
    """What was used, at the upstream's prices, in each customer's currency at the exchange rates that were charged."""
    rows = (
        UsageRollup.objects.using("system")
        .filter(hour__gte=since, hour__lt=until)
        .order_by()
        .values_list("organization_id", "model_id", "applied_rate_id")
        .annotate(sum_cost=Sum("cost"))
    )
    sums = list(rows)
    rates = AppliedRate.objects.using("system").select_related("exchange_rate").in_bulk({row[2] for row in sums})
    costs: dict[tuple[int, int], Decimal] = defaultdict(lambda: ZERO)
    for organization_id, model_id, applied_rate_id, cost in sums:
        exchange = rates[applied_rate_id].exchange_rate
        converted = exact_product(cost, exchange.rate if exchange else ONE)
        costs[organization_id, model_id] = exact_sum((costs[organization_id, model_id], converted))
    return dict(costs)
