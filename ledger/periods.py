"""Billing periods: months of an organization in its own zone, made on demand, chosen under a share lock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connections

from accounts.round_trips import Rows, Statement, Step, run

OPEN_PERIODS = """
SELECT organization_id, id, starts_at, ends_at FROM ledger_billingperiod
WHERE organization_id = ANY(%s) AND ends_at > %s AND status = 'open'
ORDER BY organization_id, starts_at"""
FIND_OPEN_PERIODS = Statement(OPEN_PERIODS)
LOCK_OPEN_PERIODS = Statement(f"{OPEN_PERIODS} FOR SHARE")
LOCK_IF_OPEN = """
SELECT id FROM ledger_billingperiod WHERE organization_id = ANY(%s) AND id = ANY(%s) AND status = 'open'
ORDER BY organization_id, starts_at FOR SHARE
"""
ADD_PERIOD = """
INSERT INTO ledger_billingperiod (organization_id, starts_at, ends_at, zone, status)
SELECT t.organization_id, coalesce(max(cut.ends_at), t.starts_at), t.ends_at, t.zone, 'open'
FROM (VALUES (%s::bigint, %s::timestamptz, %s::timestamptz, %s)) AS t (organization_id, starts_at, ends_at, zone)
LEFT JOIN ledger_billingperiod AS cut ON cut.organization_id = t.organization_id
    AND cut.starts_at >= t.starts_at AND cut.ends_at < t.ends_at
WHERE NOT EXISTS (SELECT FROM ledger_billingperiod AS whole WHERE whole.organization_id = t.organization_id
    AND whole.starts_at >= t.starts_at AND whole.ends_at = t.ends_at)
GROUP BY t.organization_id, t.starts_at, t.ends_at, t.zone ON CONFLICT DO NOTHING
"""
"""A month that was cut short, because its organization closes, goes on where it was cut."""


@dataclass(frozen=True, slots=True)
class OpenPeriod:
    """A period that takes charges, share-locked by the running transaction."""

    id: int
    starts_at: datetime
    ends_at: datetime


OpenPeriods = dict[int, list[OpenPeriod]]
"""By organization, the oldest first."""


def month_bounds(at: datetime, *, zone: str) -> tuple[datetime, datetime]:
    """The half-open month [start, end) of `at` in `zone`, as UTC instants."""
    local = at.astimezone(ZoneInfo(zone))
    start = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    year, month = (start.year + 1, 1) if start.month == 12 else (start.year, start.month + 1)
    return start.astimezone(UTC), start.replace(year=year, month=month).astimezone(UTC)


def day_bounds(at: datetime, *, zone: str) -> tuple[datetime, datetime]:
    """The half-open day [start, end) of `at` in `zone`, as UTC instants; of 23 to 25 hours where clocks change.

    A midnight that clocks skip is the moment of the change, one that they repeat is the first of the two.
    """
    start = at.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC)


def lock_periods_for_charges(
    moments: Mapping[int, Iterable[datetime]],
    *,
    zones: Mapping[int, str],
    now: datetime,
    locked: OpenPeriods | None = None,
) -> dict[tuple[int, datetime], OpenPeriod]:
    """The period of each charge: that of its moment if it is open, else the first open one after it.

    `moments` holds, per organization, when its charges occurred. The chosen rows stay share-locked until the transaction
    ends, so that a close, which locks exclusively, comes before or after it, never in between. `locked` is what `locking` returned,
    if the transaction began with it.
    """
    wanted = [(organization_id, at) for organization_id, times in moments.items() for at in set(times)]
    chosen = _choose(wanted, _lock_open(wanted) if locked is None else locked)
    missing = [key for key in wanted if key not in chosen or not chosen[key].starts_at <= key[1]]
    if missing:
        _add_periods([*missing, *((organization_id, now) for organization_id, _at in missing)], zones)
        chosen = _choose(wanted, _lock_open(wanted))
    return chosen


def lock_if_open(period_ids: Iterable[tuple[int, int]]) -> set[int]:
    """Which of these periods, named as (organization, id), take charges; they stay share-locked until the transaction ends."""
    named = set(period_ids)
    with connections["default"].cursor() as cursor:
        cursor.execute(
            LOCK_IF_OPEN,
            [sorted({organization_id for organization_id, _id in named}), sorted({number for _id, number in named})],
        )
        return {number for (number,) in cursor.fetchall()}


def locking(organization_ids: Sequence[int], *, oldest: datetime) -> Step:
    """Share-lock the open periods of these organizations that end after `oldest`; `open_periods_in` reads what it returns."""
    return LOCK_OPEN_PERIODS, [organization_ids, oldest]


def finding_open(organization_ids: Sequence[int], *, oldest: datetime) -> Step:
    """As `locking`, but nothing is locked and nobody waited for: what it returns may be closed before it is used."""
    return FIND_OPEN_PERIODS, [organization_ids, oldest]


def open_periods_in(rows: Rows) -> OpenPeriods:
    """The periods that `locking` or `finding_open` returned."""
    found: OpenPeriods = {}
    for organization_id, *row in rows:
        found.setdefault(organization_id, []).append(OpenPeriod(*row))
    return found


def add_month(*, organization_id: int, at: datetime, zone: str) -> None:
    """Make the month of `at`, or its rest, unless it is there."""
    _add_periods([(organization_id, at)], {organization_id: zone})


def _lock_open(wanted: Sequence[tuple[int, datetime]]) -> OpenPeriods:
    oldest = min(at for _organization_id, at in wanted)
    [rows] = run([locking(sorted({organization_id for organization_id, _at in wanted}), oldest=oldest)])
    return open_periods_in(rows)


def _choose(
    wanted: Iterable[tuple[int, datetime]], periods: Mapping[int, Sequence[OpenPeriod]]
) -> dict[tuple[int, datetime], OpenPeriod]:
    chosen = {}
    for organization_id, at in wanted:
        candidates = (period for period in periods.get(organization_id, ()) if period.ends_at > at)
        first = next(candidates, None)
        if first is not None:
            chosen[organization_id, at] = first
    return chosen


def _add_periods(wanted: Iterable[tuple[int, datetime]], zones: Mapping[int, str]) -> None:
    rows = {
        (organization_id, *month_bounds(at, zone=zones[organization_id]), zones[organization_id])
        for organization_id, at in wanted
    }
    with connections["default"].cursor() as cursor:
        for row in sorted(rows):
            cursor.execute(ADD_PERIOD, row)
