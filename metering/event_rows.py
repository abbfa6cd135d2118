"""The SQL of recording: whole batches by `INSERT … SELECT FROM unnest()`, sorted, never a statement an event.

Arrays travel as PostgreSQL array literals, one text a column, which is far cheaper to build than binding element by element.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from django.db import connections
from msgspec.structs import astuple

from accounts.array_literals import ARRAY_OF, array, id_array, text_array
from accounts.round_trips import Statement, Step
from ledger.periods import OpenPeriod
from metering import rollups
from metering.charges import Charge, Claim, Waiting
from metering.models import EventKind
from metering.reports import UsageReport

CLAIM = Statement("""
INSERT INTO metering_eventkey (organization_id, key_digest, event_id, payload_digest)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::uuid[])
ON CONFLICT DO NOTHING RETURNING event_id
""")
CLAIM_NEW = Statement("""
INSERT INTO metering_eventkey (organization_id, key_digest, event_id, payload_digest)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::uuid[])
""")
CLAIMED_BEFORE = """
SELECT claimed.organization_id, claimed.key_digest, claimed.payload_digest, claimed.event_id
FROM unnest(%s::bigint[], %s::uuid[]) AS t (organization_id, key_digest)
JOIN metering_eventkey AS claimed USING (organization_id, key_digest)
"""
ADD_WAITING = """
INSERT INTO metering_unratedusage
    (organization_id, event_id, source_id, key, model, occurred_at, received_at, reason, report)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::int[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[],
    %s::jsonb[])
"""

EVENT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("organization_id", "bigint"),
    ("occurred_at", "timestamptz"),
    ("api_key_id", "bigint"),
    ("id", "uuid"),
    ("source_id", "int"),
    ("model_id", "int"),
    ("requested_model_id", "int"),
    ("applied_rate_id", "int"),
    ("latency_ms", "int"),
    ("first_token_ms", "int"),
    *((name, "int") for name in rollups.COUNTS),
    ("evidence", "smallint"),
    ("status", "smallint"),
    ("attempt", "smallint"),
    ("streamed", "boolean"),
    ("cost", "numeric"),
    ("amount", "numeric"),
    ("reported_cost", "numeric"),
    ("key", "text"),
    ("request_id", "text"),
    ("generation_id", "text"),
    ("upstream", "text"),
    ("finish_reason", "text"),
    ("end_user", "text"),
    ("tags", "text"),
)
"""Names and types of what is stored of a charge; `table_of` finds the values under the same names."""
NAMES = (*(name for name, _kind in EVENT_COLUMNS), *rollups.TAGS)
ARRAYS = ", ".join((*(f"%s::{kind}[]" for _name, kind in EVENT_COLUMNS), *("%s::text[]" for _name in rollups.TAGS)))
"""What `columns_of` fills, one array for each of NAMES."""

ADD_EVENTS = Statement(f"""
WITH incoming AS MATERIALIZED (
    SELECT * FROM unnest({ARRAYS}, %s::bigint[], %s::timestamptz[], %s::bigint[])
    AS t ({", ".join(NAMES)}, period_id, hour, digest)
), event AS (
    INSERT INTO metering_usageevent ({", ".join(NAMES)}, period_id, received_at, kind)
    SELECT {", ".join("tags::jsonb" if name == "tags" else name for name in NAMES)}, period_id,
        %s::timestamptz, {EventKind.USAGE.value}
    FROM incoming RETURNING id
), charged AS (  -- joined with what was inserted, so that hot rollup rows are locked only after all events are in
    SELECT organization_id, period_id, hour, coalesce(api_key_id, 0) AS api_key_id, model_id, applied_rate_id,
        {", ".join(f"coalesce({name}, '') AS {name}" for name in rollups.TAGS)}, {", ".join(rollups.SUMMED)}, digest
    FROM incoming JOIN event USING (id)
)
{rollups.upsert("charged")}
""")


def claiming(claims: Sequence[Claim]) -> Step:
    """Write the unique rows of a batch, sorted by key; returns the event ids that are new. Waits for rivals to commit."""
    return CLAIM, _keys_of(claims)


def claiming_new(claims: Sequence[Claim | Charge]) -> Step:
    """Write the unique rows of a batch, sorted by key; fails if one of them is not new."""
    return CLAIM_NEW, _keys_of(claims)


def _keys_of(claims: Sequence[Claim | Charge]) -> list[str]:
    ordered = sorted(claims, key=lambda claim: (claim.report.organization_id, claim.key_digest))
    return [
        array([claim.report.organization_id for claim in ordered]),
        array([claim.key_digest for claim in ordered]),
        id_array([claim.event_id for claim in ordered]),
        array([claim.payload_digest for claim in ordered]),
    ]


def claimed_before(claims: Sequence[Claim]) -> dict[tuple[int, str], tuple[str, UUID]]:
    """Payload digest and event id of the rows that hold these keys, by organization and key digest."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            CLAIMED_BEFORE,
            [
                array([claim.report.organization_id for claim in claims]),
                array([claim.key_digest for claim in claims]),
            ],
        )
        return {
            (organization_id, key_digest.hex): (payload_digest.hex, event_id)
            for organization_id, key_digest, payload_digest, event_id in cursor.fetchall()
        }


def adding(
    charges: Sequence[Charge],
    hours: Sequence[datetime],
    periods: Mapping[tuple[int, datetime], OpenPeriod],
    *,
    now: datetime,
) -> Step:
    """Insert the events, whose hours are given in the same order, and add them to the rollups, in one statement.

    `periods` are by organization and hour.
    """
    places = {key: str(period.id) for key, period in periods.items()}
    return ADD_EVENTS, [
        *columns_of(charges),
        array([places[charge.report.organization_id, hour] for charge, hour in zip(charges, hours, strict=True)]),
        array(map({hour: str(hour) for hour in set(hours)}.__getitem__, hours)),
        array([digest_of(charge.event_id) for charge in charges]),
        now,
    ]


def table_of(charges: Sequence[Charge]) -> dict[str, tuple[Any, ...]]:
    """The fields of charges, of their reports and usages as columns: a record at a time, which is far cheaper than one by one."""
    table = dict(zip(Charge.__struct_fields__, zip(*map(astuple, charges), strict=True), strict=True))
    reports = zip(*map(astuple, table["report"]), strict=True)
    table |= dict(zip(UsageReport.__struct_fields__, reports, strict=True))
    table |= dict(zip(rollups.COUNTS, zip(*map(_counts, table["usage"]), strict=True), strict=True))
    table["id"] = table["event_id"]
    table["evidence"] = tuple(map(int, table["evidence"]))
    table["tags"] = tuple(_json(tags) if tags else None for tags in table["tags"])
    return table


_counts = attrgetter(*rollups.COUNTS)


def columns_of(charges: Sequence[Charge]) -> list[str]:
    """What NAMES say of these charges, an array literal each; where nobody said anything an empty one, which `unnest` fills up
    with NULL."""
    if not charges:
        return ["{}"] * len(NAMES)
    table = table_of(charges)
    table |= dict(zip(rollups.TAGS, zip(*table["rollup_tags"], strict=True), strict=True))
    kinds = dict(EVENT_COLUMNS) | dict.fromkeys(rollups.TAGS, "text")
    return [
        "{}" if all(value is None for value in table[name]) else ARRAY_OF.get(kinds[name], array)(table[name])
        for name in NAMES
    ]


def add_waiting(waiting: Sequence[Waiting], *, now: datetime) -> None:
    """Put events without a price into the unrated queue."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            ADD_WAITING,
            [
                array(item.report.organization_id for item in waiting),
                id_array(item.event_id for item in waiting),
                array(item.report.source_id for item in waiting),
                text_array(item.report.key for item in waiting),
                text_array(item.report.model for item in waiting),
                array(item.report.occurred_at for item in waiting),
                array(now for _item in waiting),
                text_array(item.reason for item in waiting),
                text_array(_json(item.report) for item in waiting),
            ],
        )


def digest_of(event_id: UUID) -> int:
    """The low 64 bits of an event id as a signed integer: what the rollup's digest is the XOR of."""
    low = event_id.int & 0xFFFF_FFFF_FFFF_FFFF
    return low - (1 << 64) if low >> 63 else low


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
