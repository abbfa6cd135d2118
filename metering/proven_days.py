"""Proof that the rollups of a period are the sums of its events, a day at a time and kept, so that a close reads no event again.

After each day of an open period its rollups are compared with its events, in one statement and so of one moment; what they added up
to is kept (`ProvenDay`). A close, with the period locked, reads the events of those days only whose rollups have changed since
(decision 0014).
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections, transaction

from accounts.round_trips import Rows, Statement, run
from ledger.event_ids import first_id_at
from metering.rollup_comparison import DIGEST, PROVEN, SUMS_OF_EVENTS
from metering.rollups import SUMMED

_KEY = ("api_key_id", "model_id", "applied_rate_id")
_SUMS_OF_ROLLUPS = ", ".join(
    ("sum(event_count) AS event_count", "bit_xor(event_digest) AS event_digest", *(f"sum({name}) AS {name}" for name in SUMMED))
)  # fmt: skip
_NAMES = ", ".join(PROVEN)

_COMPARED = f"""
    WITH rebuilt AS (
        SELECT coalesce(api_key_id, 0) AS api_key_id, model_id, applied_rate_id,
            count(*) AS event_count, {DIGEST} AS event_digest, {SUMS_OF_EVENTS}
        FROM metering_usageevent
        WHERE organization_id = %(organization_id)s AND period_id = %(period_id)s AND id >= %(first_id)s AND id < %(end_id)s
        GROUP BY 1, 2, 3
    ), kept AS (
        SELECT {", ".join(_KEY)}, {_SUMS_OF_ROLLUPS} FROM metering_usagerollup
        WHERE organization_id = %(organization_id)s AND period_id = %(period_id)s AND hour >= %(start)s AND hour < %(end)s
        GROUP BY 1, 2, 3
    ), different AS (
        SELECT FROM kept FULL JOIN rebuilt USING ({", ".join(_KEY)})
        WHERE ({", ".join(f"kept.{name}" for name in PROVEN)}) IS DISTINCT FROM ({", ".join(f"rebuilt.{name}" for name in PROVEN)})
    )
"""
COUNT_DIFFERENT = f"{_COMPARED} SELECT count(*) FROM different"
KEEP_PROOF = f"""
    {_COMPARED}
    INSERT INTO metering_provenday (organization_id, period_id, day, proven_at, {_NAMES})
    SELECT %(organization_id)s, %(period_id)s, %(day)s, %(now)s, {_SUMS_OF_ROLLUPS} FROM kept
    WHERE NOT EXISTS (SELECT FROM different) HAVING count(*) > 0
    ON CONFLICT (organization_id, period_id, day) DO UPDATE SET
        proven_at = EXCLUDED.proven_at, {", ".join(f"{name} = EXCLUDED.{name}" for name in PROVEN)}
"""

DAYS_TO_PROVE = f"""
    SELECT organization_id, period_id, zone, day FROM (
        SELECT rollup.organization_id, rollup.period_id, period.zone, (rollup.hour AT TIME ZONE period.zone)::date AS day,
            {_SUMS_OF_ROLLUPS}
        FROM ledger_billingperiod AS period JOIN metering_usagerollup AS rollup
            ON rollup.organization_id = period.organization_id AND rollup.period_id = period.id
        WHERE period.status <> 'closed' GROUP BY 1, 2, 3, 4
    ) AS kept LEFT JOIN metering_provenday AS proven USING (organization_id, period_id, day)
    WHERE day < (%(now)s AT TIME ZONE zone)::date
        AND ({", ".join(f"kept.{name}" for name in PROVEN)}) IS DISTINCT FROM ({", ".join(f"proven.{name}" for name in PROVEN)})
    ORDER BY day, organization_id, period_id
"""
FORGET = """
    DELETE FROM metering_provenday AS proven USING ledger_billingperiod AS period
    WHERE period.organization_id = proven.organization_id AND period.id = proven.period_id AND period.status = 'closed'
"""

CHANGED_DAYS = Statement(f"""
    WITH period AS (SELECT * FROM ledger_billingperiod WHERE organization_id = %s AND id = %s)
    SELECT day, proven.day IS NOT NULL, ({", ".join(f"kept.{name}" for name in PROVEN)})
        IS DISTINCT FROM ({", ".join(f"proven.{name}" for name in PROVEN)})
    FROM (
        SELECT (hour AT TIME ZONE period.zone)::date AS day, {_SUMS_OF_ROLLUPS}
        FROM period JOIN metering_usagerollup AS rollup
            ON rollup.organization_id = period.organization_id AND rollup.period_id = period.id
        GROUP BY 1
    ) AS kept FULL JOIN (
        SELECT proven.* FROM period JOIN metering_provenday AS proven
            ON proven.organization_id = period.organization_id AND proven.period_id = period.id
    ) AS proven USING (day)
    ORDER BY day
""")
"""Of (organization, period): its days, whether each was proven, and whether its rollups are others than were proven."""
FIRST_HOUR = "SELECT min(hour) FROM metering_usagerollup WHERE organization_id = %s AND period_id = %s"


@dataclass(frozen=True, slots=True)
class DaysProven:
    """How many days were proven, and how many could not be: their rollups are not the sums of their events."""

    proven: int
    different: int


def prove_days(*, now: datetime) -> DaysProven:
    """Prove the days before today of all open periods, as far as they are not proven as they stand; forget those of closed ones."""
    with connections["system"].cursor() as cursor:
        cursor.execute(FORGET)
        cursor.execute(DAYS_TO_PROVE, {"now": now})
        days = cursor.fetchall()
    proven = sum(_prove(*day, now=now) for day in days)
    return DaysProven(proven=proven, different=len(days) - proven)


def _prove(organization_id: int, period_id: int, zone: str, day: date, *, now: datetime) -> bool:
    """Keep what a day's rollups add up to if that is right. What usage comes meanwhile is in neither of the sums, or in both."""
    stretch = _stretch(organization_id, period_id, *_day_in(zone, day))
    with transaction.atomic(using="system"), connections["system"].cursor() as cursor:
        cursor.execute(KEEP_PROOF, stretch | {"day": day, "now": now})
        return bool(cursor.rowcount)


def differs_in_period(
    *,
    organization_id: int,
    period_id: int,
    zone: str,
    starts_at: datetime,
    ends_at: datetime,
    latest: timedelta,
    days: Rows | None = None,
) -> int:
    """How many sums (by key, model, rate; of a day) of a period are not those of its events. Needs the tenant's scope.

    Exact while the period's row is locked; `days` are its CHANGED_DAYS where the caller has read them since. Where no day was
    proven, all events are read. Events older than the period belong to it when they came late: as far back as a rollup tells of
    one, and in any case `latest` before its start.
    """
    if days is None:
        days = run([(CHANGED_DAYS, [organization_id, period_id])])[0]
    if any(is_proven for _day, is_proven, _is_changed in days):
        stretches = [_day_in(zone, day) for day, _is_proven, is_changed in days if is_changed]
    else:
        stretches = [(min(_first_hour(organization_id, period_id) or starts_at, starts_at - latest), ends_at)]
    return sum(_count_different(_stretch(organization_id, period_id, start, end)) for start, end in stretches)


def _first_hour(organization_id: int, period_id: int) -> datetime | None:
    with connections["default"].cursor() as cursor:
        cursor.execute(FIRST_HOUR, [organization_id, period_id])
        hour: datetime | None = cursor.fetchone()[0]
    return hour


def _count_different(stretch: dict[str, Any]) -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute(COUNT_DIFFERENT, stretch)
        return int(cursor.fetchone()[0])


def _day_in(zone: str, day: date) -> tuple[datetime, datetime]:
    start, end = (datetime.combine(day + timedelta(days=more), time(), ZoneInfo(zone)) for more in (0, 1))
    return start, end


def _stretch(organization_id: int, period_id: int, start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "organization_id": organization_id,
        "period_id": period_id,
        "start": start,
        "end": end,
        "first_id": first_id_at(start),
        "end_id": first_id_at(end),
    }
