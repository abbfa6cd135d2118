"""Rollups made anew from their events, a day of an organization at a time: proof that nothing but events is needed for them.

A day is first compared as it stands, which disturbs nobody. Only where that finds a difference is it compared again and put right
in a transaction of its own that has the organization's periods locked exclusively: whoever records or corrects holds them share-
locked, so each event is either in what was rebuilt or added to it afterwards. Killed halfway, the days that were done
are done, and the others are as they were.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections, transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization
from ledger.event_ids import moment_of
from ledger.retrying import with_retries
from metering.rollup_comparison import ADD_REBUILT, DIFFERENT, REMOVE_DIFFERENT, bounds
from metering.rollups import KEY
from pricing.exact import exact_sum

LOCK_PERIODS = (
    "SELECT id FROM ledger_billingperiod WHERE organization_id = %s ORDER BY organization_id, starts_at FOR UPDATE"
)
FIRST_AND_LAST = """
SELECT (SELECT min(hour) FROM metering_usagerollup WHERE organization_id = %(organization_id)s),
    (SELECT max(hour) FROM metering_usagerollup WHERE organization_id = %(organization_id)s),
    (SELECT id FROM metering_usageevent WHERE organization_id = %(organization_id)s ORDER BY id LIMIT 1),
    (SELECT id FROM metering_usageevent WHERE organization_id = %(organization_id)s ORDER BY id DESC LIMIT 1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of an organization, compared. `different` counts rollups that were not what their events make them (0: all equal);
    the events and the exact amount before tax are those of these rollups, `kept_…` as they were, else as they must be."""

    organization: Organization
    day: date
    different: int = 0
    kept_events: int = 0
    events: int = 0
    kept_amount: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)


def days_of(organization: Organization, *, first: date | None, last: date | None) -> list[date]:
    """The days in its zone, from `first` to `last`, between its oldest and its newest usage."""
    with connections["system"].cursor() as cursor:
        cursor.execute(FIRST_AND_LAST, {"organization_id": organization.pk})
        *hours, first_id, last_id = cursor.fetchone()
    moments = [moment for moment in hours if moment is not None]
    moments += [moment_of(event_id) for event_id in (first_id, last_id) if event_id is not None]
    if not moments:
        return []
    used = [moment.astimezone(ZoneInfo(organization.zone)).date() for moment in moments]
    start, end = max(min(used), first or date.min), min(max(used), last or date.max)
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def rebuild(*, organization: Organization, day: date, now: datetime, dry_run: bool = False) -> Day:
    """Compare the rollups of a day (of usage, whatever period bills it) with its events; where they differ, put them right."""
    start, end = _bounds_of(organization, day)
    asked: dict[str, Any] = {"organization_id": organization.pk, "zone": organization.zone, "start": start, "end": end}
    with transaction.atomic(using="system"):
        found = _compared(organization, day, bounds(**asked))
    if not found.different or dry_run:
        return found
    return with_retries(lambda: _put_right(organization, day, asked, now), using="system")


def rebuild_all(
    *, organizations: list[Organization], first: date | None, last: date | None, now: datetime, dry_run: bool = False
) -> Iterator[tuple[int, int, Day]]:
    """Go through the days of these organizations; after each one its number, how many there are, and what was found."""
    work = [(one, day) for one in organizations for day in days_of(one, first=first, last=last)]
    for number, (organization, day) in enumerate(work, start=1):
        yield number, len(work), rebuild(organization=organization, day=day, now=now, dry_run=dry_run)


def _put_right(organization: Organization, day: date, asked: dict[str, Any], now: datetime) -> Day:
    with transaction.atomic(using="system"), connections["system"].cursor() as cursor:
        cursor.execute(LOCK_PERIODS, [organization.pk])
        locked = bounds(**asked, period_ids=[number for (number,) in cursor.fetchall()])
        found = _compared(organization, day, locked)
        if found.different:
            cursor.execute(REMOVE_DIFFERENT, locked)
            cursor.execute(ADD_REBUILT, locked)
            write_audit_entry(
                action="rollups.rebuilt",
                target=day.isoformat(),
                organization=organization,
                detail={
                    "rollups": found.different,
                    "events": [found.kept_events, found.events],
                    "amount": [format(found.kept_amount, "f"), format(found.amount, "f")],
                },
                now=now,
                using="system",
            )
        return found


def _compared(organization: Organization, day: date, parameters: Any) -> Day:
    with connections["system"].cursor() as cursor:
        cursor.execute(DIFFERENT, parameters)
        rows = [row[len(KEY) :] for row in cursor.fetchall()]
    return Day(
        organization=organization,
        day=day,
        different=len(rows),
        kept_events=sum(int(row[0]) for row in rows),
        events=sum(int(row[1]) for row in rows),
        kept_amount=exact_sum(row[2] for row in rows),
        amount=exact_sum(row[3] for row in rows),
    )


def _bounds_of(organization: Organization, day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(organization.zone)
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)
