"""Monthly partitions of the hot tables: made ahead by beat, and on demand before a row of an unseen month is written."""

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.db import DatabaseError, connections, transaction

from accounts.alarms import clear_alarm, raise_alarm

logger = logging.getLogger(__name__)

TABLES = ("metering_usageevent", "ledger_hold")
"""All that are partitioned."""
MONTHS_AHEAD = 3
"""This month and the two after it."""
ALARM = "partitions"
MISSING = """
SELECT month FROM unnest(%(months)s::date[]) AS month WHERE NOT EXISTS (
    SELECT FROM pg_inherits WHERE inhparent = %(table)s::regclass
        AND inhrelid = to_regclass(%(table)s || to_char(month, '"_y"YYYY"m"MM'))
) ORDER BY month
"""

REFUSED = "55000"
"""SQLSTATE of `create_month_partition` for a month whose rows left the database (metering/archiving.py)."""


class MonthArchived(Exception):
    """The rows of that month left the database for good; none can be added. `month` is its first day."""

    def __init__(self, month: date) -> None:
        super().__init__(f"the usage of {month:%Y-%m} is archived")
        self.month = month


_seen: set[tuple[str, date]] = set()
"""Partitions that this process knows to exist."""


def forget() -> None:
    """Ask the database again for every partition."""
    _seen.clear()


def month_of(id_moment: datetime) -> date:
    """The UTC month (its first day) whose partition holds a row of that moment."""
    utc = id_moment.astimezone(UTC)
    return date(utc.year, utc.month, 1)


def following_months(first: date, count: int) -> list[date]:
    """`count` months (their first days) from the month of `first` on."""
    months = [first.year * 12 + first.month - 1 + offset for offset in range(count)]
    return [date(month // 12, month % 12 + 1, 1) for month in months]


def ensure_partitions(table: str, months: Iterable[date], *, using: str = "default") -> int:
    """Make the missing partitions of `table` for these UTC months; returns how many were made. Raises MonthArchived."""
    made = 0
    for month in sorted(set(months)):
        if (table, month) in _seen:
            continue
        made += _make(table, month, using=using)
        _seen.add((table, month))
    return made


def _make(table: str, month: date, *, using: str) -> bool:
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute("SELECT create_month_partition(%s::regclass, %s)", [table, month])
            return bool(cursor.fetchone()[0])
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == REFUSED:
            raise MonthArchived(month) from None
        raise


def make_ahead(*, now: datetime) -> None:
    """Make what is missing of this month and the next two, for every partitioned table; alarm about a month that still lacks one.

    What this process remembers does not count here. A table whose partitions cannot be made does not keep the others from theirs.
    """
    months = following_months(month_of(now), MONTHS_AHEAD)
    for table in TABLES:
        _seen.difference_update((table, month) for month in months)
        try:
            ensure_partitions(table, months)
        except DatabaseError as error:
            logger.error("partitions of %s cannot be made: %s", table, error)
        missing = missing_partitions(table, months)
        if missing:
            names = ", ".join(f"{month:%Y-%m}" for month in missing)
            summary = (
                f"The table {table} has no partition for {names}; the log of the worker says why it cannot be made."
            )
            raise_alarm(kind=ALARM, subject=table, summary=summary, now=now)
        else:
            clear_alarm(kind=ALARM, subject=table, now=now)


def missing_partitions(table: str, months: Iterable[date]) -> list[date]:
    """Those of the months for which `table` has no partition attached."""
    with connections["system"].cursor() as cursor:
        cursor.execute(MISSING, {"table": table, "months": list(months)})
        return [month for (month,) in cursor.fetchall()]
