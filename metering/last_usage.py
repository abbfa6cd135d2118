"""When the last usage occurred that was charged to a period, where its month ends before its time."""

from datetime import datetime, timedelta

from django.db.models import Max

from ledger.event_ids import first_id_at
from metering.models import UsageEvent

MOMENT = timedelta(microseconds=1)


def last_usage(*, organization_id: int, period_id: int, since: datetime) -> datetime | None:
    """The moment after the last event of the period from `since` on; None if there is none. Needs the tenant scope.

    Exact while the period is locked.
    """
    events = UsageEvent.objects.for_organization(organization_id).filter(
        id__gte=first_id_at(since), period_id=period_id
    )
    last: datetime | None = events.aggregate(last=Max("occurred_at"))["last"]
    return None if last is None else last + MOMENT
