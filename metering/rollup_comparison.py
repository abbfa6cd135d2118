"""Rollups beside what its events say they must be: count, digest and every sum, in one statement and so of one moment.

`rebuilding` repairs what differs; a close asks for the sums of its own period (`proven_days`); `audit` compares everything.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ledger.event_ids import first_id_at
from metering.rollups import KEY, SUMMED, TAGS
from metering.stored_events import Look, archived_of

DIGEST = "bit_xor(('x' || right(replace(id::text, '-', ''), 16))::bit(64)::bigint)"
"""What recording adds up in Python as `event_rows.digest_of`."""
PROVEN = ("event_count", "event_digest", *SUMMED)
_READ = (
    "organization_id",
    "id",
    "occurred_at",
    "period_id",
    "api_key_id",
    "model_id",
    "applied_rate_id",
    *TAGS,
    *SUMMED,
)
"""What rollups are made of."""
_HOUR = "date_trunc('hour', occurred_at, %(zone)s)"
_OF_EVENTS = {"hour": _HOUR, "api_key_id": "coalesce(api_key_id, 0)"} | {name: f"coalesce({name}, '')" for name in TAGS}
SUMS_OF_EVENTS = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in SUMMED)

REBUILT = f"""
    SELECT {", ".join(f"{_OF_EVENTS.get(name, name)} AS {name}" for name in KEY)},
        count(*) AS event_count, {DIGEST} AS event_digest, {SUMS_OF_EVENTS}
    FROM (
        SELECT * FROM metering_usageevent
        WHERE organization_id = %(organization_id)s AND id >= %(first_id)s AND id < %(end_id)s
        UNION ALL SELECT * FROM json_populate_recordset(NULL::metering_usageevent, %(archived)s)
    ) AS event WHERE %(period_ids)s::bigint[] IS NULL OR period_id = ANY (%(period_ids)s)
    GROUP BY {", ".join(str(number) for number in range(1, len(KEY) + 1))}
"""
"""The rollups of an organization's hours [start, end) as its events make them, archived ones included; see `bounds` for the
parameters."""

DIFFERENT = f"""
    WITH rebuilt AS ({REBUILT}), kept AS (
        SELECT * FROM metering_usagerollup
        WHERE organization_id = %(organization_id)s AND hour >= %(start)s AND hour < %(end)s
            AND (%(period_ids)s::bigint[] IS NULL OR period_id = ANY (%(period_ids)s))
    )
    SELECT {", ".join(KEY)}, coalesce(kept.event_count, 0) AS kept_events, coalesce(rebuilt.event_count, 0) AS events,
        coalesce(kept.amount, 0) AS kept_amount, coalesce(rebuilt.amount, 0) AS amount
    FROM kept FULL JOIN rebuilt USING ({", ".join(KEY)})
    WHERE ({", ".join(f"kept.{name}" for name in PROVEN)}) IS DISTINCT FROM ({", ".join(f"rebuilt.{name}" for name in PROVEN)})
"""
"""The rollups among them that are not what they must be, those that are missing or too many included."""
REMOVE_DIFFERENT = f"""
WITH different AS ({DIFFERENT})
DELETE FROM metering_usagerollup AS rollup USING different
WHERE {" AND ".join(f"rollup.{name} = different.{name}" for name in KEY)}
"""
ADD_REBUILT = f"""
INSERT INTO metering_usagerollup ({", ".join((*KEY, *PROVEN))})
SELECT {", ".join((*KEY, *PROVEN))} FROM ({REBUILT}) AS rebuilt ON CONFLICT DO NOTHING
"""
"""After REMOVE_DIFFERENT: the rollups that were equal are still there."""


def bounds(
    *, organization_id: int, zone: str, start: datetime, end: datetime, period_ids: list[int] | None = None
) -> Mapping[str, Any]:
    """Parameters of REBUILT and DIFFERENT: the half-open hours [start, end), of these periods only or of all.

    They hold until the running transaction of `system` ends: no month is archived meanwhile.
    """
    asked = Look(organization_id=organization_id, first=first_id_at(start), end=first_id_at(end))
    archived = [dict(zip(_READ, row, strict=True)) for row in archived_of(asked, *_READ, using="system")]
    return {
        "archived": json.dumps(archived, default=str),
        "organization_id": organization_id,
        "zone": zone,
        "start": start,
        "end": end,
        "first_id": first_id_at(start),
        "end_id": first_id_at(end),
        "period_ids": period_ids,
    }
