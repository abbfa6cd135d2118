"""Holds whose call ended unseen: noted while it runs, questioned when nobody knows what it cost, handed out to be asked about.

A question keeps its money held. It ends when usage is recorded under the hold's own id, by whoever learns of it first.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import connections

from accounts.round_trips import Statement, in_tenant_scope
from ledger.models import HoldStatus

NOTE = Statement("""
UPDATE ledger_hold AS hold SET generation_id = coalesce(nullif(t.generation_id, ''), hold.generation_id),
    upstream = t.upstream, model_id = t.model_id, status = CASE WHEN t.questioned THEN 4 ELSE hold.status END
FROM (SELECT organization_id, id, u.generation_id, u.upstream, u.model_id, u.questioned
    FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[], %s::int[], %s::boolean[])
        AS u (organization_id, id, generation_id, upstream, model_id, questioned)
    JOIN ledger_hold AS running USING (organization_id, id)
    WHERE running.status + 0 IN (1, 4) AND running.id = ANY(%s::uuid[]) FOR UPDATE OF running SKIP LOCKED) AS t
WHERE hold.organization_id = t.organization_id AND hold.id = t.id AND hold.id = ANY(%s::uuid[])
""")
TAKE = """
WITH due AS (
    SELECT organization_id, id FROM ledger_hold WHERE status = 4 AND (ask_after IS NULL OR ask_after <= %(now)s)
    ORDER BY ask_after NULLS FIRST, organization_id, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE ledger_hold AS hold SET asked = least(hold.asked + 1, 30000),
    ask_after = %(now)s::timestamptz + least(%(pause)s * power(2, least(hold.asked, 20)), %(longest)s) * interval '1 second'
FROM due WHERE hold.organization_id = due.organization_id AND hold.id = due.id
RETURNING hold.organization_id, hold.id, hold.created_at, hold.amount, hold.api_key_id, hold.model_id, hold.request_id,
    hold.upstream, hold.generation_id, hold.attempt, hold.end_user, hold.asked, hold.tags
"""


class HoldNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a running call: who has it for which model, its id there ("" if not known), and whether it ended unseen."""

    organization_id: int
    hold_id: UUID
    upstream: str
    model_id: int
    generation_id: str
    questioned: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A hold that somebody has to be asked about. `amount` is the most that it can cost, tax included."""

    organization_id: int
    hold_id: UUID
    created_at: datetime
    amount: Decimal
    api_key_id: int | None
    model_id: int
    request_id: str
    upstream: str
    generation_id: str | None
    attempt: int
    end_user: str | None
    asked: int
    tags: Mapping[str, str]


def note(notes: Iterable[HoldNote]) -> None:
    """Save what is known of running calls as soon as it is, in the order given.

    A row that is being settled at this moment is passed over: its event carries the id. So this never waits for `accrue`, and
    the two cannot block each other for good; a question that is passed over becomes one when its time is over.
    """
    latest: dict[tuple[int, UUID], HoldNote] = {}
    for one in notes:
        before = latest.pop((one.organization_id, one.hold_id), None)
        latest[one.organization_id, one.hold_id] = one if before is None else _together(before, one)
    if not latest:
        return
    rows = list(latest.values())
    ids = [row.hold_id for row in rows]
    columns = [
        [row.organization_id for row in rows],
        ids,
        [row.generation_id for row in rows],
        [row.upstream for row in rows],
        [row.model_id for row in rows],
        [row.questioned for row in rows],
    ]
    in_tenant_scope(sorted({row.organization_id for row in rows}), [(NOTE, [*columns, ids, ids])])


def _together(before: HoldNote, after: HoldNote) -> HoldNote:
    return HoldNote(
        organization_id=after.organization_id,
        hold_id=after.hold_id,
        upstream=after.upstream,
        model_id=after.model_id,
        generation_id=after.generation_id or before.generation_id,
        questioned=before.questioned or after.questioned,
    )


def question_expired(*, now: datetime, limit: int = 1000) -> int:
    """Mark open holds whose time is over as questioned: nobody knows what the call cost, so its money stays held."""
    with connections["system"].cursor() as cursor:
        cursor.execute(
            "UPDATE ledger_hold SET status = %s WHERE (organization_id, id) IN"
            " (SELECT organization_id, id FROM ledger_hold WHERE status = %s AND expires_at <= %s"
            "  ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED)",
            [HoldStatus.QUESTIONED, HoldStatus.OPEN, now, limit],
        )
        return int(cursor.rowcount)


def take_due(*, now: datetime, limit: int, pause: float, longest_pause: float) -> Sequence[Question]:
    """Questions that are due, each put off by `pause` seconds (doubled every time, `longest_pause` at most) by being taken.

    So whoever takes one may ask without a lock, others take others, and one who dies asking is followed by the next in time.
    """
    with connections["system"].cursor() as cursor:
        cursor.execute(TAKE, {"now": now, "limit": limit, "pause": pause, "longest": longest_pause})
        return [_read(row) for row in cursor.fetchall()]


def look_at(*, organization_id: int, hold_id: UUID) -> Question | None:
    """One question, for an operator who answers it by hand; None if it is none (any more)."""
    with connections["system"].cursor() as cursor:
        cursor.execute(
            "SELECT organization_id, id, created_at, amount, api_key_id, model_id, request_id, upstream, generation_id,"
            " attempt, end_user, asked, tags FROM ledger_hold WHERE organization_id = %s AND id = %s AND status = %s",
            [organization_id, hold_id, HoldStatus.QUESTIONED],
        )
        row = cursor.fetchone()
    return None if row is None else _read(row)


def _read(row: tuple[Any, ...]) -> Question:
    return Question(*(*row[:-1], json.loads(row[-1] or "{}")))


def put_off(*, organization_id: int, hold_id: UUID, until: datetime) -> None:
    """Ask nobody about this one before `until`."""
    with connections["system"].cursor() as cursor:
        cursor.execute(
            "UPDATE ledger_hold SET ask_after = %s WHERE organization_id = %s AND id = %s AND status = %s",
            [until, organization_id, hold_id, HoldStatus.QUESTIONED],
        )
