"""The unrated queue: events that wait for a price are charged when it arrives, at the price of the moment they occurred."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db import connections

from accounts.tenancy import tenant_scope
from catalog import price_book
from ledger.partitions import ensure_partitions, month_of
from ledger.retrying import with_retries
from metering import recording
from metering.charges import Charge, claims_of, price, terms_of
from metering.models import UnratedUsage
from metering.reports import UsageReport

BATCH = 500
TAKE = """
SELECT event_id, report::text FROM metering_unratedusage
WHERE organization_id = %s AND event_id = ANY(%s) ORDER BY event_id FOR UPDATE SKIP LOCKED
"""
DELETE = "DELETE FROM metering_unratedusage WHERE organization_id = %s AND event_id = ANY(%s)"


def rate_waiting(*, now: datetime) -> int:
    """Charge every waiting event that has a price now; returns how many. Looks at all tenants, hence as the `system` role."""
    rated = 0
    for organization_id in _organizations_that_wait():
        after = None
        while waiting := _page(organization_id, after):
            rated += _rate_page(organization_id, waiting, now=now)
            after = waiting[-1]
    return rated


def _organizations_that_wait() -> list[int]:
    waiting = UnratedUsage.objects.using("system").order_by("organization_id").values_list("organization_id", flat=True)
    return list(waiting.distinct())


def _page(organization_id: int, after: object | None) -> list[object]:
    """The next ids to look at, of models that are known by now."""
    waiting = (
        UnratedUsage.objects.using("system")
        .for_organization(organization_id)
        .filter(model__in=list(price_book.current().models))
    )
    if after is not None:
        waiting = waiting.filter(event_id__gt=after)
    return list(waiting.order_by("event_id").values_list("event_id", flat=True)[:BATCH])


def _rate_page(organization_id: int, event_ids: Sequence[object], *, now: datetime) -> int:
    def transaction() -> int:
        with tenant_scope([organization_id]), connections["default"].cursor() as cursor:
            cursor.execute(TAKE, [organization_id, list(event_ids)])
            taken = cursor.fetchall()
            terms = terms_of([organization_id])
            reports = [msgspec.json.decode(report, type=UsageReport) for _event_id, report in taken]
            claims = claims_of(reports, event_ids=[event_id for event_id, _report in taken])
            priced = price(claims, terms, now=now)
            charges = [item for item in priced if isinstance(item, Charge)]
            ensure_partitions("metering_usageevent", {month_of(charge.report.occurred_at) for charge in charges})
            recording.add(charges, terms, now=now)
            cursor.execute(DELETE, [organization_id, [charge.event_id for charge in charges]])
            return len(charges)

    return with_retries(transaction)
