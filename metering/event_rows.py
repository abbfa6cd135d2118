"""The SQL of recording: whole batches by `INSERT … SELECT FROM unnest()`, sorted, never a statement an event (DESIGN §5.3).

Arrays travel as PostgreSQL array literals, one text a column, which is far cheaper to build than binding element by element.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django.db import connections

from ledger.periods import OpenPeriod
from metering import rollups
from metering.charges import Charge, Waiting
from metering.models import EventKind
from metering.rollup_tags import NOTHING_DECLARED

CLAIM = """
INSERT INTO metering_eventkey (organization_id, key_digest, event_id, payload_digest)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::uuid[])
ON CONFLICT DO NOTHING RETURNING event_id
"""
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

Read = Callable[[Charge], object]


def _reported(name: str) -> Read:
    return attrgetter(f"report.{name}")


EVENT_COLUMNS: tuple[tuple[str, str, Read], ...] = (
    ("organization_id", "bigint", _reported("organization_id")),
    ("occurred_at", "timestamptz", _reported("occurred_at")),
    ("api_key_id", "bigint", _reported("api_key_id")),
    ("id", "uuid", attrgetter("event_id")),
    ("source_id", "int", _reported("source_id")),
    ("model_id", "int", attrgetter("model_id")),
    ("requested_model_id", "int", attrgetter("requested_model_id")),
    ("applied_rate_id", "int", attrgetter("applied_rate_id")),
    ("latency_ms", "int", _reported("latency_ms")),
    ("first_token_ms", "int", _reported("first_token_ms")),
    *((name, "int", _reported(f"usage.{name}")) for name in rollups.COUNTS),
    ("evidence", "smallint", _reported("evidence.value")),
    ("status", "smallint", _reported("status")),
    ("attempt", "smallint", _reported("attempt")),
    ("streamed", "boolean", _reported("streamed")),
    ("cost", "numeric", attrgetter("cost")),
    ("amount", "numeric", attrgetter("amount")),
    ("reported_cost", "numeric", _reported("reported_cost")),
    ("key", "text", _reported("key")),
    ("request_id", "text", _reported("request_id")),
    ("generation_id", "text", _reported("generation_id")),
    ("upstream", "text", _reported("upstream")),
    ("finish_reason", "text", _reported("finish_reason")),
    ("end_user", "text", _reported("end_user")),
    ("tags", "text", lambda charge: _json(charge.report.tags) if charge.report.tags else None),
)
NAMES = (*(name for name, _type, _read in EVENT_COLUMNS), *rollups.TAGS)
ARRAYS = ", ".join(
    (*(f"%s::{kind}[]" for _name, kind, _read in EVENT_COLUMNS), *("%s::text[]" for _name in rollups.TAGS))
)
"""What `columns_of` fills, one array for each of NAMES."""

ADD_EVENTS = f"""
WITH incoming AS MATERIALIZED (
    SELECT * FROM unnest({ARRAYS}, %s::bigint[], %s::timestamptz[], %s::bigint[])
    AS t ({", ".join(NAMES)}, period_id, hour, digest)
), event AS (
    INSERT INTO metering_usageevent ({", ".join(NAMES)}, period_id, received_at, kind)
    SELECT {", ".join("tags::jsonb" if name == "tags" else name for name in NAMES)}, period_id, %s, {EventKind.USAGE.value}
    FROM incoming RETURNING id
), charged AS (  -- joined with what was inserted, so that hot rollup rows are locked only after all events are in
    SELECT organization_id, period_id, hour, coalesce(api_key_id, 0) AS api_key_id, model_id, applied_rate_id,
        {", ".join(f"coalesce({name}, '') AS {name}" for name in rollups.TAGS)}, {", ".join(rollups.SUMMED)}, digest
    FROM incoming JOIN event USING (id)
)
{rollups.upsert("charged")}
"""


def claim(batch: Sequence[Charge | Waiting]) -> set[UUID]:
    """Write the unique rows of a batch, sorted by key; returns the event ids that are new. Waits for rivals to commit."""
    ordered = sorted(batch, key=lambda item: (item.report.organization_id, item.key_digest.int))
    with connections["default"].cursor() as cursor:
        cursor.execute(
            CLAIM,
            [
                _array(item.report.organization_id for item in ordered),
                _id_array(item.key_digest for item in ordered),
                _id_array(item.event_id for item in ordered),
                _id_array(item.payload_digest for item in ordered),
            ],
        )
        return {event_id for (event_id,) in cursor.fetchall()}


def claimed_before(batch: Iterable[Charge | Waiting]) -> dict[tuple[int, UUID], tuple[UUID, UUID]]:
    """Payload digest and event id of the rows that hold the keys of `batch`, by organization and key digest."""
    items = list(batch)
    with connections["default"].cursor() as cursor:
        cursor.execute(
            CLAIMED_BEFORE,
            [
                _array(item.report.organization_id for item in items),
                _id_array(item.key_digest for item in items),
            ],
        )
        return {
            (organization_id, key_digest): tuple(found) for organization_id, key_digest, *found in cursor.fetchall()
        }


def add_events(
    charges: Sequence[Charge],
    periods: Mapping[tuple[int, datetime], OpenPeriod],
    zones: Mapping[int, ZoneInfo],
    *,
    now: datetime,
) -> None:
    """Insert the events and add them to the rollups, in one statement."""
    keys = [(charge.report.organization_id, charge.report.occurred_at) for charge in charges]
    with connections["default"].cursor() as cursor:
        cursor.execute(
            ADD_EVENTS,
            [
                *columns_of(charges),
                _array(periods[key].id for key in keys),
                _array(rollups.hour_of(at, zones[organization_id]) for organization_id, at in keys),
                _array(digest_of(charge.event_id) for charge in charges),
                now,
            ],
        )


def columns_of(charges: Sequence[Charge]) -> list[str]:
    """What NAMES say of these charges, an array literal each."""
    columns = [ARRAY_OF.get(kind, _array)(map(read, charges)) for _name, kind, read in EVENT_COLUMNS]
    return columns + _tag_columns(charges)


def _tag_columns(charges: Sequence[Charge]) -> list[str]:
    """The rollups.TAGS; where nobody has declared any, empty arrays, which `unnest` fills up with NULL."""
    texts = [charge.rollup_tags for charge in charges]
    if all(text is NOTHING_DECLARED for text in texts):
        return ["{}"] * len(rollups.TAGS)
    return [_text_array(column) for column in zip(*texts, strict=True)]


def add_waiting(waiting: Sequence[Waiting], *, now: datetime) -> None:
    """Put events without a price into the unrated queue."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            ADD_WAITING,
            [
                _array(item.report.organization_id for item in waiting),
                _id_array(item.event_id for item in waiting),
                _array(item.report.source_id for item in waiting),
                _text_array(item.report.key for item in waiting),
                _text_array(item.report.model for item in waiting),
                _array(item.report.occurred_at for item in waiting),
                _array(now for _item in waiting),
                _text_array(item.reason for item in waiting),
                _text_array(_json(item.report) for item in waiting),
            ],
        )


def digest_of(event_id: UUID) -> int:
    """The low 64 bits of an event id as a signed integer: what the rollup's digest is the XOR of."""
    low = event_id.int & 0xFFFF_FFFF_FFFF_FFFF
    return low - (1 << 64) if low >> 63 else low


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _array(values: Iterable[object]) -> str:
    """An array literal of values whose text needs no quoting: numbers, ids, moments, booleans, NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _text_array(values: Iterable[object]) -> str:
    """An array literal of texts; most need quotes around them only."""
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def _id_array(values: Iterable[UUID]) -> str:
    return "{" + ",".join([f"{value.int:032x}" for value in values]) + "}"


ARRAY_OF: Mapping[str, Callable[[Iterable[Any]], str]] = {"text": _text_array, "uuid": _id_array}
"""How columns are written whose values are more than their `str`."""


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
