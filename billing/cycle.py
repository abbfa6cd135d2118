"""The month ends: which periods are due, in chunks, each closed in a transaction of its own. The work list is rows, so a lost
message or a dead worker loses nothing, and a message that comes twice finds nothing left to do.

Nothing is closed on books that are not clean: the last audit of everything must be fresh and have found nothing that concerns the
organization, and the usage of the very period is proven inside the transaction that closes it. What is refused stays due, so the
sweep tries it again; it keeps nobody else's month open.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import BillingProfile
from billing import auditing, invoicing
from billing.closing_facts import Known
from billing.models import Invoice
from billing.period_charges import PeriodCharges
from billing.quiet_months import make_quiet_months, missing_quiet_months
from ledger.models import BillingPeriod
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)
CHUNK = 50
"""Periods a message: half a second's work, so that a worker that dies or must stop leaves little to others."""
PeriodKey = tuple[int, int]
"""(organization, period)"""
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


def chunks(due: Sequence[DuePeriod]) -> Iterator[list[PeriodKey]]:
    """The periods as messages carry them, CHUNK at a time."""
    for start in range(0, len(due), CHUNK):
        yield [(period.organization_id, period.period_id) for period in due[start : start + CHUNK]]


def close_all(periods: Iterable[PeriodKey], *, now: datetime) -> list[Invoice]:
    """Close those of the periods that are still open, as `close` does; one that fails stops no other. Returns their invoices.

    Unclean books, found before or by an audit that ends meanwhile, stop those whom they concern. What stays open is logged.
    """
    books, known, invoices = auditing.CleanBooks(), Known(now=now), []
    still_open = _rows().filter(
        organization_id__in={organization_id for organization_id, _period_id in periods},
        pk__in=[period_id for _organization_id, period_id in periods],
        status=BillingPeriod.Status.OPEN,
    )
    for period in map(_due, still_open):
        try:
            books.require(organization_id=period.organization_id, now=now)
        except auditing.AuditRunning as error:
            logger.warning("periods stay open", extra={"first": period.period_id, "reason": str(error)})
            break
        except auditing.BooksNotClean as error:
            logger.warning("a period stays open", extra={"period": period.period_id, "reason": str(error)})
            continue
        with others_go_on(organization_id=period.organization_id, period_id=period.period_id):
            try:
                invoice = _close(period, known=known, now=now)
            except invoicing.UsageDisagrees as error:
                logger.warning("a period stays open", extra={"period": period.period_id, "reason": str(error)})
            else:
                invoices += [invoice] if invoice is not None else []
    return invoices


def close(*, organization_id: int, period_id: int, now: datetime) -> Invoice | None:
    """Close a due period on clean books; again it changes nothing. Returns its invoice, None without usage.

    Raises what `auditing.require_clean_audit` and `invoicing.close_period` raise; an operator is alarmed while the usage of the
    period is not the sum of its events.
    """
    auditing.require_clean_audit(organization_id=organization_id, now=now)
    return _close(_due(_rows().get(organization_id=organization_id, pk=period_id)), known=Known(now=now), now=now)


def _close(period: DuePeriod, *, known: Known, now: datetime) -> Invoice | None:
    subject = f"{period.organization_slug} {period.starts_at:%Y-%m}"
    try:
        invoice = invoicing.close_period(
            organization_id=period.organization_id, period_id=period.period_id, now=now, known=known
        )
    except invoicing.UsageDisagrees as error:
        raise_alarm(kind=auditing.ALARM, subject=subject, summary=str(error), now=now)
        raise
    clear_alarm(kind=auditing.ALARM, subject=subject, now=now)
    return invoice


def left_open(due: Iterable[DuePeriod], *, now: datetime) -> dict[DuePeriod, str]:
    """Those of the periods that `close` would refuse because of unclean books, and why, before anybody is asked to close them.

    Raises AuditRunning.
    """
    books, found = auditing.CleanBooks(), {}
    for period in due:
        try:
            books.require(organization_id=period.organization_id, now=now)
            invoicing.prove_usage(organization_id=period.organization_id, period_id=period.period_id)
        except (auditing.BooksNotClean, invoicing.UsageDisagrees) as error:
            found[period] = str(error)
    return found


def periods_of_month(month: str, *, now: datetime) -> list[DuePeriod]:
    """The open periods of `month` ("2026-10", in each organization's zone) that ended, grace time or not, quiet ones made.

    Raises UnknownMonth.
    """
    make_quiet_months(now=now)
    return _periods_of_month(month, now=now)


def preview_month(month: str, *, now: datetime) -> list[tuple[DuePeriod, PeriodCharges]]:
    """What closing the month would invoice; nothing is written, so quiet months that have no period yet get none.

    Raises UnknownMonth, `period_charges.LinesDisagree`.
    """
    stored = _periods_of_month(month, now=now)
    quiet = [row for row in missing_quiet_months(now=now) if _first_day(_due(row)) == _parse(month)]
    found = [
        (due, invoicing.preview(organization_id=due.organization_id, period_id=due.period_id)) for due in stored
    ] + [(_due(row), invoicing.preview_of(row)) for row in quiet]
    return sorted(found, key=lambda one: (one[0].starts_at, one[0].organization_id))


def _periods_of_month(month: str, *, now: datetime) -> list[DuePeriod]:
    first = _parse(month)
    if datetime.combine(first, time(), UTC) - EARLIEST_ZONE > now:
        raise UnknownMonth(f"{month} is in the future")
    ended = [period for period in _ended(now=now) if _first_day(period) == first]
    following = (first + timedelta(days=31)).replace(day=1)
    if not ended and datetime.combine(following, time(), UTC) - EARLIEST_ZONE > now:
        raise UnknownMonth(f"{month} has not ended yet, not even where days begin first")
    if not ended and any(_first_day(_due(row)) == first for row in _open()):
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


def _open() -> QuerySet[BillingPeriod]:
    return _rows().filter(status=BillingPeriod.Status.OPEN)


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
    return [_due(row) for row in _open().filter(ends_at__lte=now)]


def _local(period: BillingPeriod, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(period.zone))


def _first_day(period: DuePeriod) -> date:
    return period.starts_at.date()
