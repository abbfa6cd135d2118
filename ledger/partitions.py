"""Monthly partitions of the hot tables: made ahead by beat, and on demand before a row of an unseen month is written."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.db import connections

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
    """Make the missing partitions of `table` for these UTC months; returns how many were made."""
    made = 0
    for month in sorted(set(months)):
        if (table, month) in _seen:
            continue
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT create_month_partition(%s::regclass, %s)", [table, month])
            made += bool(cursor.fetchone()[0])
        _seen.add((table, month))
    return made
