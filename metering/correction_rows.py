"""The SQL of corrections: reversals and what replaces them are made by the database from the rows that they correct.

The copy of a row is then exact by construction; only what differs travels. Of a call that was something else after all, every field
may differ: that replacement travels whole. As in `event_rows`, a batch is a statement.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections

from ledger.event_ids import derived_id
from metering import rollups
from metering.charges import Charge
from metering.event_rows import ARRAYS, NAMES, columns_of, digest_of
from metering.models import EventKind

KEPT = (
    "organization_id",
    "occurred_at",
    "api_key_id",
    "source_id",
    "model_id",
    "requested_model_id",
    "latency_ms",
    "first_token_ms",
    "evidence",
    "status",
    "attempt",
    "streamed",
    "key",
    "request_id",
    "generation_id",
    "upstream",
    "finish_reason",
    "end_user",
    "tags",
    *rollups.TAGS,
)
"""What a correction has in common with the event that it corrects."""
NEGATED = (*rollups.COUNTS, "applied_rate_id", "cost", "amount", "reported_cost")
REPEATED = (*rollups.COUNTS, "reported_cost")

ADD_REVERSALS = f"""
INSERT INTO metering_usageevent ({", ".join(KEPT)}, {", ".join(NEGATED)}, id, kind, reverses_id, period_id, received_at, reason,
    actor_id)
SELECT {", ".join(f"event.{name}" for name in KEPT)},
    {", ".join(f"event.{name}" if name == "applied_rate_id" else f"-event.{name}" for name in NEGATED)},
    t.new_id, {EventKind.REVERSAL.value}, event.id, t.period_id, %s, t.reason, %s
FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::bigint[], %s::text[])
    AS t (organization_id, event_id, new_id, period_id, reason)
JOIN metering_usageevent AS event ON event.organization_id = t.organization_id AND event.id = t.event_id
WHERE event.id BETWEEN %s AND %s
ORDER BY t.organization_id, t.new_id
ON CONFLICT DO NOTHING RETURNING organization_id, reverses_id
"""
ADD_REPLACEMENTS = f"""
INSERT INTO metering_usageevent ({", ".join(KEPT)}, {", ".join(REPEATED)}, id, kind, replaces_id, period_id, received_at, reason,
    actor_id, applied_rate_id, cost, amount)
SELECT {", ".join(f"event.{name}" for name in KEPT)}, {", ".join(f"event.{name}" for name in REPEATED)},
    t.new_id, {EventKind.USAGE.value}, event.id, t.period_id, %s, t.reason, %s, t.applied_rate_id, t.cost, t.amount
FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::int[], %s::numeric[], %s::numeric[])
    AS t (organization_id, event_id, new_id, period_id, reason, applied_rate_id, cost, amount)
JOIN metering_usageevent AS event ON event.organization_id = t.organization_id AND event.id = t.event_id
WHERE event.id BETWEEN %s AND %s
"""
ADD_AMENDED = f"""
INSERT INTO metering_usageevent ({", ".join(NAMES)}, kind, received_at, actor_id, replaces_id, period_id, reason)
SELECT {", ".join("tags::jsonb" if name == "tags" else name for name in NAMES)}, {EventKind.USAGE.value}, %s, %s,
    replaces_id, period_id, reason
FROM unnest({ARRAYS}, %s::uuid[], %s::bigint[], %s::text[])
    AS t ({", ".join(NAMES)}, replaces_id, period_id, reason)
"""
ADDED = f"""(
    SELECT event.organization_id, event.period_id, t.hour, coalesce(event.api_key_id, 0) AS api_key_id, event.model_id,
        event.applied_rate_id, {", ".join(f"coalesce(event.{name}, '') AS {name}" for name in rollups.TAGS)}, t.digest,
        {", ".join(f"event.{name}" for name in rollups.SUMMED)}
    FROM unnest(%s::bigint[], %s::uuid[], %s::timestamptz[], %s::bigint[]) AS t (organization_id, id, hour, digest)
    JOIN metering_usageevent AS event ON event.organization_id = t.organization_id AND event.id = t.id
    WHERE event.id BETWEEN %s AND %s
) AS added"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recharge:
    """What an event costs instead: exact, `cost` in USD, `amount` in the billing currency before tax."""

    applied_rate_id: int
    cost: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRow:
    """An event to reverse in a period that is share-locked, and perhaps to charge anew: at another rate (`recharge`), or as another
    call (`charge`). `hour` is the rollup's."""

    organization_id: int
    event_id: UUID
    period_id: int
    hour: datetime
    reason: str
    recharge: Recharge | None = None
    charge: Charge | None = None

    @property
    def key(self) -> tuple[int, UUID]:
        return self.organization_id, self.event_id

    @property
    def is_replaced(self) -> bool:
        return self.recharge is not None or self.charge is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Who has corrections made (None is the system, or a reporter), and when."""

    actor_id: int | None
    now: datetime


def reversal_id(event_id: UUID) -> UUID:
    """The id that the reversal of an event has, if there is one."""
    return derived_id(event_id, "reversal")


def replacement_id(event_id: UUID) -> UUID:
    """The id of what replaces an event, if anything does."""
    return derived_id(event_id, "replacement")


def add_reversals(rows: Sequence[CorrectionRow], cause: Cause) -> set[tuple[int, UUID]]:
    """Add the negatives of events; returns, as (organization, event), those that had none. Waits for rivals to commit."""
    ids = [reversal_id(row.event_id) for row in rows]
    with connections["default"].cursor() as cursor:
        cursor.execute(ADD_REVERSALS, [*_about(cause), *_columns(rows, ids), *_bounds(row.event_id for row in rows)])
        return set(cursor.fetchall())


def add_replacements(rows: Sequence[CorrectionRow], cause: Cause) -> None:
    """Charge events anew whose reversal the running transaction added; those without a new charge are passed over."""
    _add_recharged([row for row in rows if row.recharge is not None], cause)
    _add_amended([row for row in rows if row.charge is not None], cause)


def _add_recharged(rows: Sequence[CorrectionRow], cause: Cause) -> None:
    if not rows:
        return
    ids = [replacement_id(row.event_id) for row in rows]
    charges = [[getattr(row.recharge, name) for row in rows] for name in ("applied_rate_id", "cost", "amount")]
    bounds = _bounds(row.event_id for row in rows)
    with connections["default"].cursor() as cursor:
        cursor.execute(ADD_REPLACEMENTS, [*_about(cause), *_columns(rows, ids), *charges, *bounds])


def _add_amended(rows: Sequence[CorrectionRow], cause: Cause) -> None:
    charges = [row.charge for row in rows if row.charge is not None]
    if not charges:
        return
    about: list[list[Any]] = [
        [row.event_id for row in rows],
        [row.period_id for row in rows],
        [row.reason for row in rows],
    ]
    with connections["default"].cursor() as cursor:
        cursor.execute(ADD_AMENDED, [*_about(cause), *columns_of(charges), *about])


def add_to_rollups(rows: Sequence[CorrectionRow]) -> None:
    """Count what was added for these rows in the hourly sums, which are touched in the order of their key as in recording."""
    added = [(row, reversal_id(row.event_id)) for row in rows]
    added += [(row, replacement_id(row.event_id)) for row in rows if row.is_replaced]
    with connections["default"].cursor() as cursor:
        cursor.execute(
            rollups.upsert(ADDED),
            [
                [row.organization_id for row, _id in added],
                [new_id for _row, new_id in added],
                [row.hour for row, _id in added],
                [digest_of(new_id) for _row, new_id in added],
                *_bounds(new_id for _row, new_id in added),
            ],
        )


def _about(cause: Cause) -> tuple[Any, ...]:
    return cause.now, cause.actor_id


def _columns(rows: Sequence[CorrectionRow], new_ids: list[UUID]) -> list[list[Any]]:
    return [
        [row.organization_id for row in rows],
        [row.event_id for row in rows],
        list(new_ids),
        [row.period_id for row in rows],
        [row.reason for row in rows],
    ]


def _bounds(ids: Iterable[UUID]) -> tuple[UUID, UUID]:
    """The first and last of some ids: without them the planner would look into every partition."""
    found = sorted(ids)
    return found[0], found[-1]
