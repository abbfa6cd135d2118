"""A charge of a closed month is given back once: by a credit note, or by a correction that a later month charges. Never by both.

A note knows what reporters took back before it (`taken_back_since`), and marks the rates that it credits; from then on the calls
that were charged at them in that period can only be corrected by another note. Who comes first is decided by the period's row: a
note holds it alone, corrections share it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connections
from django.db.models import Min

from ledger.event_ids import first_id_at
from ledger.models import BillingPeriod
from metering import stored_events
from metering.correction_rows import reversal_id
from metering.models import CreditedUsage, UsageCorrection, UsageEvent, UsageRollup

AT_ONCE = 2_000
Charged = tuple[int, int]
"""The period and the applied rate of a charge."""
SHARE_PERIODS = """
SELECT id FROM ledger_billingperiod WHERE organization_id = %s AND id = ANY(%s) ORDER BY starts_at FOR SHARE
"""


def hold_against_corrections(period: BillingPeriod) -> None:
    """Until the transaction ends no call of the period is corrected. To be taken before the balance. Needs the tenant's scope."""
    BillingPeriod.objects.for_organization(period.organization_id).select_for_update(no_key=True).get(pk=period.pk)


def mark_credited(*, period: BillingPeriod, applied_rate_ids: Iterable[int], document: str) -> None:
    """Note that `document` gave back something of what was charged at these rates. Needs `hold_against_corrections`."""
    CreditedUsage.objects.bulk_create(
        (
            CreditedUsage(
                organization_id=period.organization_id,
                period_id=period.pk,
                applied_rate_id=rate_id,
                document=document,
            )
            for rate_id in sorted(set(applied_rate_ids))
        ),
        ignore_conflicts=True,
    )


def credited_among(events: Iterable[UsageEvent], *, organization_id: int) -> dict[Charged, str]:
    """The documents that gave charges like these back; none is made until the transaction ends. Needs the tenant's scope."""
    periods = sorted({event.period_id for event in events})
    if not periods:
        return {}
    with connections["default"].cursor() as cursor:
        cursor.execute(SHARE_PERIODS, [organization_id, periods])
    rows = CreditedUsage.objects.for_organization(organization_id).filter(period_id__in=periods)
    return {(row.period_id, row.applied_rate_id): row.document for row in rows}


def taken_back_since(period: BillingPeriod, *, since: datetime | None = None) -> list[UsageEvent]:
    """The charges of a period that reporters had reversed (`since` then) when it took no more: a later month gives them back.

    Exact while the period is held. Needs the tenant's scope.
    """
    organization_id = period.organization_id
    oldest = UsageRollup.objects.for_organization(organization_id).filter(period_id=period.pk).aggregate(at=Min("hour"))
    if oldest["at"] is None:
        return []
    rows = UsageCorrection.objects.for_organization(organization_id).filter(
        event_id__gte=first_id_at(oldest["at"]), event_id__lt=first_id_at(period.ends_at)
    )
    if since is not None:
        rows = rows.filter(corrected_at__gte=since)
    event_ids = sorted(set(rows.values_list("event_id", flat=True)))
    found: list[UsageEvent] = []
    for start in range(0, len(event_ids), AT_ONCE):
        found += _charged_back_later(event_ids[start : start + AT_ONCE], period)
    return found


def _charged_back_later(event_ids: Sequence[UUID], period: BillingPeriod) -> list[UsageEvent]:
    known = stored_events.by_ids(event_ids, organization_id=period.organization_id)
    own = {reversal_id(number): event for number, event in known.items() if event.period_id == period.pk}
    reversals = stored_events.by_ids(own.keys(), organization_id=period.organization_id)
    return [own[number] for number, reversal in reversals.items() if reversal.period_id != period.pk]
