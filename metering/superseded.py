"""Charges by a price or markup that had a successor by then: some process charged from a memory that was too old (invariant 11b).

A successor that was written after the charge – a correction, dated back on purpose – makes no charge wrong that was made before.
Asked of open periods only: there `manage.py rerate` puts right what is found. What is invoiced is history and has credit notes.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from uuid import UUID

from django.db import connections

from accounts.invariants import LIMIT, Violations, named_alone
from accounts.models import Organization
from catalog import price_book
from metering.models import UsageEvent
from metering.repricing import reprice
from pricing.rating import AmountTooLarge, MissingUnitPrice

SEEN_AFTER = "1 minute"
"""Every process sees a new row within seconds (`publishing.LEAD`); a long price list takes a moment to commit."""
PAGE = 1000

CANDIDATES = """
SELECT event.organization_id, event.id FROM metering_usageevent AS event
JOIN ledger_billingperiod AS period ON period.id = event.period_id AND period.status <> 'closed'
JOIN catalog_appliedrate AS rate ON rate.id = event.applied_rate_id
JOIN catalog_costprice AS price ON price.id = rate.cost_price_id
JOIN catalog_markuprule AS markup ON markup.id = rate.markup_rule_id
WHERE event.kind = 1 AND (EXISTS (
    SELECT FROM catalog_costprice AS later
    WHERE later.cost_table_id = price.cost_table_id AND later.language_model_id = price.language_model_id
        AND (later.effective_from, later.revision) > (price.effective_from, price.revision)
        AND later.effective_from <= event.occurred_at AND later.created_at + %(seen_after)s::interval <= event.received_at
) OR EXISTS (
    SELECT FROM catalog_markuprule AS later
    WHERE (later.organization_id, later.language_model_id) IS NOT DISTINCT FROM (markup.organization_id, markup.language_model_id)
        AND later.provider_slug = markup.provider_slug
        AND (later.effective_from, later.revision) > (markup.effective_from, markup.revision)
        AND later.effective_from <= event.occurred_at AND later.created_at + %(seen_after)s::interval <= event.received_at
)) AND NOT EXISTS (
    SELECT FROM metering_usageevent AS reversal
    WHERE reversal.kind = 2 AND reversal.organization_id = event.organization_id AND reversal.reverses_id = event.id
)
ORDER BY event.organization_id, event.id
"""


def charged_by_superseded() -> Violations:
    """One line for each such charge that would cost something else; a successor that says the same for it does no harm."""
    return [line for _organization_id, line in islice(_wrong(), LIMIT)]


def whose_charges_are_superseded() -> frozenset[int] | None:
    """The organizations of all such charges."""
    return named_alone({organization_id for organization_id, _line in _wrong()})


def _wrong() -> Iterator[tuple[int, str]]:
    price_book.refresh()
    with connections["system"].cursor() as cursor:
        cursor.execute(CANDIDATES, {"seen_after": SEEN_AFTER})
        while page := cursor.fetchmany(PAGE):
            yield from _wrong_among(page)


def _wrong_among(page: Iterable[tuple[int, UUID]]) -> Iterator[tuple[int, str]]:
    ids: dict[int, list[UUID]] = {}
    for organization_id, event_id in page:
        ids.setdefault(organization_id, []).append(event_id)
    models = {model.id: model for model in price_book.current().models.values()}
    organizations = Organization.objects.using("system").in_bulk(ids)
    for organization_id, event_ids in ids.items():
        terms = price_book.terms_of(organizations[organization_id])
        events = UsageEvent.objects.using("system").for_organization(organization_id).filter(id__in=event_ids)
        for event in events.order_by("id"):
            try:
                now = reprice(event, terms, models[event.model_id])
            except (price_book.NoRate, MissingUnitPrice, AmountTooLarge):
                continue
            if (now.amount, now.cost) != (event.amount, event.cost):
                said = f"id {event.id}, amount {event.amount}, in force {now.amount}"
                yield organization_id, f"organization_id {organization_id}, {said}"
