"""Which months of events may leave the database: old ones, to which nothing can be added any more."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections

from ledger.event_ids import ids_of_month, moment_of
from ledger.partitions import month_of

PARTITIONS = """
SELECT to_date(right(relname::text, 7), 'YYYY"m"MM') FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'metering_usageevent'::regclass ORDER BY 1
"""
STILL_OPEN = """
SELECT DISTINCT organization.slug FROM (
    SELECT DISTINCT organization_id, period_id FROM metering_usageevent WHERE id >= %(first_id)s AND id < %(end_id)s
) AS used
JOIN ledger_billingperiod AS period ON period.organization_id = used.organization_id AND period.status <> 'closed'
    AND (period.id = used.period_id OR period.starts_at < %(end)s)
JOIN accounts_organization AS organization ON organization.id = used.organization_id ORDER BY 1 LIMIT 5
"""
WAITING = """
SELECT DISTINCT organization.slug FROM metering_unratedusage AS waiting
JOIN accounts_organization AS organization ON organization.id = waiting.organization_id
WHERE waiting.event_id >= %(first_id)s AND waiting.event_id < %(end_id)s ORDER BY 1 LIMIT 5
"""
UNRESOLVED = """
SELECT DISTINCT organization.slug FROM ledger_hold AS hold
JOIN accounts_organization AS organization ON organization.id = hold.organization_id
WHERE hold.id >= %(first_id)s AND hold.id < %(end_id)s AND hold.status IN (1, 4) ORDER BY 1 LIMIT 5
"""
REASONS = (
    (STILL_OPEN, "a period that bills its usage is not closed"),
    (WAITING, "usage of it waits for a price"),
    (UNRESOLVED, "a call of it is not resolved"),
)


class TooYoung(ValueError):
    """Usage of months so young may still be reported or corrected."""


@dataclass(frozen=True, slots=True)
class OldMonth:
    """A UTC month (its first day) whose partition is old enough; `obstacle` says why it must stay nevertheless."""

    month: date
    obstacle: str = ""


def old_months(*, older_than: int, now: datetime) -> list[OldMonth]:
    """The months with a partition that ended more than `older_than` months before this one, oldest first. Raises TooYoung."""
    oldest_kept = _months_before(month_of(now), older_than)
    require_beyond_reports(oldest_kept, now=now)
    with connections["system"].cursor() as cursor:
        cursor.execute(PARTITIONS)
        months = [month for (month,) in cursor.fetchall() if month < oldest_kept]
    return [OldMonth(month, _obstacle(month)) for month in months]


def require_beyond_reports(oldest_kept: date, *, now: datetime) -> None:
    """Raise TooYoung if what is older than that month can still be reported, voided or amended."""
    days = max(settings.USAGE_MAX_AGE_DAYS, settings.USAGE_CORRECTION_DAYS) + 1
    if _midnight(oldest_kept) > now - timedelta(days=days):
        raise TooYoung(f"usage may be reported or corrected for {days - 1} days: archive what is older")


def _months_before(month: date, count: int) -> date:
    months = month.year * 12 + month.month - 1 - count
    return date(months // 12, months % 12 + 1, 1)


def _obstacle(month: date) -> str:
    first, end = ids_of_month(month)
    asked: dict[str, Any] = {"first_id": first, "end_id": end, "end": moment_of(end)}
    with connections["system"].cursor() as cursor:
        for query, reason in REASONS:
            cursor.execute(query, asked)
            slugs = [slug for (slug,) in cursor.fetchall()]
            if slugs:
                return f"{reason} ({', '.join(slugs)})"
    return ""


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
