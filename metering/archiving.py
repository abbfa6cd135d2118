"""Old months leave the database: exported to Parquet, proven, detached, and only then dropped (decision 0015).

What was done is said by rows, so a run that was killed anywhere is simply run again: a file without its row is written anew, a
`UsageArchive` is an export that was proven, an `ArchivedMonth` says that the partition was detached – from then on readers open the
files – and when what it had become was dropped. A month for which nothing was ever recorded just goes.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from django.db import DatabaseError, connections, transaction

from accounts.alarms import clear_alarm, raise_alarm
from accounts.models import Organization
from ledger import partitions
from ledger.event_ids import ids_of_month
from ledger.retrying import with_retries
from metering import archive_files
from metering.archivable_months import TooYoung, old_months
from metering.archive_proof import NotProven, Totals, archive_of, totals_of
from metering.models import ArchivedMonth, UsageArchive
from metering.rollup_comparison import DIGEST

logger = logging.getLogger(__name__)
ALARM, SUBJECT = "archive", "usage"
"""Kind and subject of the alarm while old months cannot be archived."""
LOCK_KEY = 7_310_226_115
"""Any number that nothing else locks."""
SHORT_WAIT = "SET LOCAL lock_timeout = '3s'"
"""While detaching waits for those who read, everybody else waits behind it: rather try again."""
HELD = f"""
SELECT organization_id, count(*), {DIGEST}, sum(cost), sum(amount) FROM metering_usageevent
WHERE id >= %s AND id < %s GROUP BY 1 ORDER BY 1
"""
DETACH = "SELECT detach_usage_month(%s::date, %s::bigint, %s::bigint, %s::numeric, %s::numeric, %s::timestamptz)"
DROP = "SELECT drop_usage_month(%s::date, %s::timestamptz)"


class AlreadyArchiving(Exception):
    """Another process is at it."""


class StillRead(Exception):
    """Somebody has been reading events for longer than detaching waits. The files are there; another run goes on with them."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What became of a month: so many files with so many events, or the obstacle that keeps it in the database."""

    month: date
    files: int = 0
    events: int = 0
    obstacle: str = ""


Progress = Callable[[date, int, int], None]
"""Called with the month, how many of its organizations are exported, and how many there are."""


def archive_old_months(
    *, older_than: int, now: datetime, dry_run: bool = False, progress: Progress = lambda month, done, of: None
) -> Iterator[Archived]:
    """Archive every month that ended more than `older_than` months before this one, oldest first; finishes what was begun.

    Raises AlreadyArchiving, TooYoung, NotProven, StillRead, ArchiveDamaged.
    """
    with _alone():
        months = old_months(older_than=older_than, now=now)
        if not dry_run:
            _finish(now=now)
        for old in months:
            if old.obstacle:
                yield Archived(old.month, obstacle=old.obstacle)
                continue
            held = _held(old.month)
            if not dry_run:
                _archive(old.month, held, now=now, progress=progress)
            yield Archived(old.month, files=len(held), events=sum(totals.events for totals in held.values()))


def archive_regularly(*, older_than: int, now: datetime) -> None:
    """The same for beat: what must stay is logged, and what is not right alarms an operator until a run goes through."""
    archive_files.remove_leftovers(now=now)
    try:
        for archived in archive_old_months(older_than=older_than, now=now):
            logger.info("a month of usage: %s", archived)
    except (AlreadyArchiving, StillRead) as error:
        logger.warning("old usage waits for the next night: %s", error)
        return
    except (TooYoung, NotProven, archive_files.ArchiveDamaged) as error:
        raise_alarm(kind=ALARM, subject=SUBJECT, summary=f"Old usage could not be archived: {error}", now=now)
        return
    clear_alarm(kind=ALARM, subject=SUBJECT, now=now)


def _archive(month: date, held: dict[Organization, Totals], *, now: datetime, progress: Progress) -> None:
    archives = []
    for number, (organization, totals) in enumerate(held.items(), start=1):
        archives.append(archive_of(organization, month, totals, now=now))
        progress(month, number, len(held))
    _detach(month, archives, now=now)
    _drop(month, now=now)


def _held(month: date) -> dict[Organization, Totals]:
    """What each organization has in the partition of the month."""
    with connections["system"].cursor() as cursor:
        cursor.execute(HELD, ids_of_month(month))
        rows = cursor.fetchall()
    organizations = Organization.objects.using("system").in_bulk([row[0] for row in rows])
    return {organizations[number]: Totals(*totals) for number, *totals in rows}


def _detach(month: date, archives: Sequence[UsageArchive], *, now: datetime) -> None:
    """Take the partition out, if it holds exactly what these archives do. Raises NotProven, StillRead."""
    totals = totals_of(archives)

    def detach() -> None:
        with transaction.atomic(using="system"), connections["system"].cursor() as cursor:
            cursor.execute(SHORT_WAIT)
            cursor.execute(DETACH, [month, totals.events, totals.digest, totals.cost, totals.amount, now])

    try:
        with_retries(detach, using="system")
    except DatabaseError as error:
        match getattr(error.__cause__, "sqlstate", None):
            case partitions.REFUSED:
                raise NotProven(str(error).splitlines()[0]) from error
            case "55P03":  # lock_not_available
                raise StillRead(f"somebody still reads usage, so {month:%Y-%m} cannot be taken out") from error
        raise
    partitions.forget()


def _finish(*, now: datetime) -> None:
    """Drop what was detached by a run that was killed then."""
    for found in ArchivedMonth.objects.using("system").filter(dropped_at=None).order_by("month"):
        _drop(found.month, now=now)


def _drop(month: date, *, now: datetime) -> None:
    """The table goes only while all its files are whole. Raises ArchiveDamaged."""
    for archive in UsageArchive.objects.using("system").filter(month=month).iterator():
        archive_files.require_intact(archive)

    def drop() -> None:
        with connections["system"].cursor() as cursor:
            cursor.execute(DROP, [month, now])

    with_retries(drop, using="system")


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time: the lock of a session of its own, which no transaction and no retry ends."""
    session = connections["system"].copy()
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY])
            if not cursor.fetchone()[0]:
                raise AlreadyArchiving("Old months are being archived by another process.")
        yield
    finally:
        session.close()
