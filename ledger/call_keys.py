"""A caller's own name for a call (`Idempotency-Key`): one call a name, claimed in the transaction of its hold.

Whoever claims holds the lock of the organization's balance, so of two calls with one name that arrive at once, over whatever
processes, one finds the other's row. A call that cost nothing lets its name go – unless it had a second attempt, which is made only
where the first may have cost something. All names are forgotten after a day.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import connections

from accounts.round_trips import Statement, Step
from ledger.models import HoldStatus
from ledger.retrying import with_retries

if TYPE_CHECKING:
    from ledger.holds import HoldRequest

KEPT = timedelta(hours=24)
BATCH = 5_000
"""Names forgotten in one transaction."""

FIND = """
SELECT named.organization_id, named.digest, named.hold_id, hold.request_id
FROM unnest(%s::bigint[], %s::uuid[]) AS t (organization_id, digest)
JOIN ledger_callkey AS named ON named.organization_id = t.organization_id AND named.digest = t.digest
LEFT JOIN ledger_hold AS hold ON hold.organization_id = named.organization_id AND hold.id = named.hold_id
WHERE named.created_at > %s AND (hold.status IS DISTINCT FROM %s OR hold.attempt > 1)
"""
CLAIM = Statement("""
INSERT INTO ledger_callkey AS named (organization_id, digest, hold_id, created_at)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::timestamptz[])
ON CONFLICT (organization_id, digest) DO UPDATE SET hold_id = excluded.hold_id, created_at = excluded.created_at
""")
FORGET = """
DELETE FROM ledger_callkey WHERE (organization_id, digest) IN
    (SELECT organization_id, digest FROM ledger_callkey WHERE created_at <= %s ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""

Names = dict[tuple[int, UUID], tuple[UUID, str]]
"""Of calls by (organization, digest): the hold and the request that have the name."""


class RepeatedCall(Exception):
    """Another call has this name. `hold_id` is that call's."""

    def __init__(self, hold_id: UUID) -> None:
        super().__init__(str(hold_id))
        self.hold_id = hold_id


def digest_of(name: str) -> UUID:
    """128 bits that stand for the name; what callers call their calls is not kept."""
    return UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])


def find_claimed(requests: Sequence["HoldRequest"], *, now: datetime) -> Names:
    """The names among those of the requests that calls have already. No query if none is named."""
    named = [request for request in requests if request.call_key is not None]
    if not named:
        return {}
    with connections["default"].cursor() as cursor:
        organization_ids, digests = [one.organization_id for one in named], [one.call_key for one in named]
        cursor.execute(FIND, [organization_ids, digests, now - KEPT, HoldStatus.RELEASED])
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def repeated(request: "HoldRequest", names: Names) -> RepeatedCall | None:
    """Why the request must not be made; None if its name is free or its own: another attempt, or a commit nobody heard of."""
    if request.call_key is None:
        return None
    claimed = names.get((request.organization_id, request.call_key))
    return None if claimed is None or claimed[1] == request.request_id else RepeatedCall(claimed[0])


def note_claimed(request: "HoldRequest", names: Names) -> None:
    """Count the request's name among those that are taken, for what follows in the same batch."""
    if request.call_key is not None:
        names[request.organization_id, request.call_key] = (request.id, request.request_id)


def claiming(admitted: Sequence["HoldRequest"]) -> list[Step]:
    """Write the names of admitted requests, in the transaction of their holds. No step if none is named."""
    named = {(one.organization_id, one.call_key): one for one in admitted if one.call_key is not None}
    if not named:
        return []
    organization_ids, digests = zip(*named, strict=True)
    holds, moments = [one.id for one in named.values()], [one.created_at for one in named.values()]
    return [(CLAIM, [list(organization_ids), list(digests), holds, moments])]


def forget_old(*, now: datetime) -> int:
    """Forget names older than a day, in small transactions; returns how many."""
    forgotten = 0
    while True:
        count = with_retries(lambda: _forget(now - KEPT), using="system")
        forgotten += count
        if count < BATCH:
            return forgotten


def _forget(oldest: datetime) -> int:
    with connections["system"].cursor() as cursor:
        cursor.execute(FORGET, [oldest, BATCH])
        return int(cursor.rowcount)
