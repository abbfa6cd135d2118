"""The month ends: which periods are due, one job each. The work list is rows, so a lost message or a dead worker loses nothing.

Nothing is closed on books that are not clean: the last audit of everything must be fresh, and the usage of the very period is
proven inside the transaction that closes it. What is refused stays due, so the sweep tries it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import BillingProfile
from billing import auditing, invoicing
from billing.models import Invoice
from billing.quiet_months import make_quiet_months
from ledger.models import BillingPeriod

EARLIEST_ZONE = timedelta(hours=14)
"""How far the earth's earliest time zone is ahead of UTC."""
ANY_ZONE = timedelta(days=1)
"""No zone's midnight is further from that of UTC."""


@dataclass(frozen=True, slots=True)
class DuePeriod:
    """A period that can be closed, and whose it is."""

    organization_id: int
    organization_slug: str
    currency: str
    period_id: int
    starts_at: datetime
    ends_at: datetime


class UnknownMonth(ValueError):
    """Not a month of the form 2026-10, or one that has not ended anywhere yet."""


def due_periods(*, now: datetime) -> list[DuePeriod]:
    """Every open period whose grace time is over, oldest first, missed and quiet months included. Looks at all tenants."""
    make_quiet_months(now=now)
    grace = dict(BillingProfile.objects.using("system").values_list("organization_id", "grace_hours"))
    return [
        period
        for period in _ended(now=now)
        if period.ends_at + timedelta(hours=grace.get(period.organization_id, 0)) <= now
    ]


def close(*, organization_id: int, period_id: int, now: datetime) -> Invoice | None:
    """Close a due period on clean books; again it changes nothing. Returns its invoice, None without usage.

    Raises what `auditing.require_clean_audit` and `invoicing.close_period` raise; an operator is alarmed while the usage of the
    period is not the sum of its events.
    """
    auditing.require_clean_audit(now=now)
    period = _due(_rows().get(organization_id=organization_id, pk=period_id))
    subject = f"{period.organization_slug} {period.starts_at:%Y-%m}"
    try:
        invoice = invoicing.close_period(organization_id=organization_id, period_id=period_id, now=now)
    except invoicing.UsageDisagrees as error:
        raise_alarm(kind=auditing.ALARM, subject=subject, summary=str(error), now=now)
        raise
    clear_alarm(kind=auditing.ALARM, subject=subject, now=now)
    return invoice


def refuse_unclean(due: Iterable[DuePeriod], *, now: datetime) -> None:
    """Raise what `close` would raise because of unclean books, before anybody is asked to close these periods."""
    auditing.require_clean_audit(now=now)
    for period in due:
        invoicing.prove_usage(organization_id=period.organization_id, period_id=period.period_id)


def periods_of_month(month: str, *, now: datetime) -> list[DuePeriod]:
    """The open periods of `month` ("2026-10", in each organization's zone) that ended, grace time or not. Raises UnknownMonth."""
    first = _parse(month)
    make_quiet_months(now=now)
    if datetime.combine(first, time(), UTC) - EARLIEST_ZONE > now:
        raise UnknownMonth(f"{month} is in the future")
    ended = [period for period in _ended(now=now) if _first_day(period) == first]
    following = (first + timedelta(days=31)).replace(day=1)
    if not ended and datetime.combine(following, time(), UTC) - EARLIEST_ZONE > now:
        raise UnknownMonth(f"{month} has not ended yet, not even where days begin first")
    if not ended and any(_first_day(period) == first for period in _open()):
        raise UnknownMonth(f"{month} has not ended yet in the time zones of those who used something")
    return ended


def every_period_of_month(month: str) -> list[DuePeriod]:
    """The periods of `month` ("2026-10", in each organization's zone), open, running or closed. Raises UnknownMonth."""
    first = _parse(month)
    start = datetime.combine(first, time(), UTC)
    near = _rows().filter(starts_at__gte=start - ANY_ZONE, starts_at__lte=start + ANY_ZONE)
    return [period for period in map(_due, near) if _first_day(period) == first]


def _parse(month: str) -> date:
    try:
        return date.fromisoformat(f"{month}-01")
    except ValueError:
        raise UnknownMonth(f"{month!r} is not a month: write it as 2026-10") from None


def _rows() -> QuerySet[BillingPeriod]:
    rows = BillingPeriod.objects.using("system").select_related("organization")
    return rows.order_by("starts_at", "organization_id")


def _open() -> list[DuePeriod]:
    return [_due(row) for row in _rows().filter(status=BillingPeriod.Status.OPEN)]


def _due(row: BillingPeriod) -> DuePeriod:
    return DuePeriod(
        row.organization_id,
        row.organization.slug,
        row.organization.billing_currency,
        row.pk,
        _local(row, row.starts_at),
        _local(row, row.ends_at),
    )


def _ended(*, now: datetime) -> list[DuePeriod]:
    return [period for period in _open() if period.ends_at <= now]


def _local(period: BillingPeriod, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(period.zone))


def _first_day(period: DuePeriod) -> date:
    return period.starts_at.date()
