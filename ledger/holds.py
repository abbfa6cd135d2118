"""Reserve the worst case of a call before it is made, and resolve the hold once.

`reserve` is one of the two writes of the hot path: it takes a batch, locks the balances in the order of their ids and then what
spend limits there are, looks which keys are stopped (whether there are any of both stands on the balance), admits each request
while it fits, and writes the holds – one transaction, sent through the process's group commit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from django.db import connections

from accounts.round_trips import Rows, Statement, Step, in_tenant_scope, tenant_transaction
from accounts.tenancy import tenant_scope
from ledger.balances import UNSPENT, available
from ledger.call_keys import RepeatedCall, claiming, find_claimed, note_claimed, repeated
from ledger.credit_expiry import expire, is_due
from ledger.limits import (
    LimitReached,
    Movement,
    count,
    count_movements,
    lock_limits,
    move_all_on,
    reached,
    store_limits,
)
from ledger.models import Balance
from ledger.partitions import ensure_partitions, month_of
from ledger.retrying import with_retries
from ledger.velocity import KeyIsStopped, find_stops
from pricing.exact import EXACT, ZERO

BALANCE_FIELDS = [field.attname for field in Balance._meta.concrete_fields]
LOCK_BALANCES = Statement(f"""
SELECT {", ".join(BALANCE_FIELDS)} FROM ledger_balance WHERE organization_id = ANY(%s) ORDER BY organization_id FOR UPDATE
""")  # noqa: S608  (names of our own columns)
INCOMING = """unnest(%s::bigint[], %s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::int[], %s::numeric[],
    %s::text[], %s::text[], %s::smallint[], %s::text[], %s::text[]) AS t
    (organization_id, id, created_at, expires_at, api_key_id, model_id, amount, request_id, upstream, attempt, end_user, tags)"""
ADDED = """
INSERT INTO ledger_hold
    (organization_id, id, created_at, expires_at, status, api_key_id, model_id, amount, request_id, upstream, attempt, end_user,
    tags)
SELECT t.organization_id, t.id, t.created_at, t.expires_at, 1, t.api_key_id, t.model_id, t.amount, t.request_id, t.upstream,
    t.attempt, t.end_user, t.tags::jsonb
FROM {incoming}
ON CONFLICT DO NOTHING RETURNING organization_id, id, amount
), reserved AS (
    UPDATE ledger_balance AS balance SET held = balance.held + sums.amount
    FROM (SELECT organization_id, sum(amount) AS amount FROM added GROUP BY 1) AS sums
    WHERE balance.organization_id = sums.organization_id
)
SELECT id FROM added
"""
ADD_HOLDS = Statement(f"WITH added AS ({ADDED.format(incoming=INCOMING)}")
ADD_WHAT_FITS = Statement(f"""
WITH incoming AS MATERIALIZED (SELECT * FROM {INCOMING}),
wanted AS MATERIALIZED (
    SELECT organization_id, sum(amount) AS amount, max(created_at) AS at FROM incoming GROUP BY organization_id
), locked AS MATERIALIZED (
    SELECT balance.organization_id FROM ledger_balance AS balance JOIN wanted USING (organization_id)
    WHERE NOT balance.limited AND NOT balance.stopped AND {UNSPENT} - balance.held >= wanted.amount
        AND (balance.credit_expires_at IS NULL OR balance.credit_expires_at > wanted.at)
    ORDER BY organization_id FOR UPDATE OF balance
), added AS ({ADDED.format(incoming="incoming AS t JOIN locked USING (organization_id)")}
""")  # noqa: S608  (texts of our own)
"""Holds of organizations that have neither limits nor stops and can pay for all that they ask for at this moment. PostgreSQL looks
at a balance again after it has waited for its lock."""
FIND_HOLDS = "SELECT id FROM ledger_hold WHERE organization_id = ANY(%s) AND id = ANY(%s)"
RELEASE = """
UPDATE ledger_hold SET status = 3, resolved_at = %s
WHERE organization_id = %s AND id = %s AND status IN (1, 4) RETURNING amount, api_key_id, created_at
"""
GIVE_BACK = "UPDATE ledger_balance SET held = held - %s WHERE organization_id = %s RETURNING limited"


_needs_decisions: set[int] = set()
"""Organizations that had limits or stops when they were last locked here; what changes meanwhile is found out by either way."""


class InsufficientFunds(Exception):
    """The worst case of a call does not fit what the organization may still spend."""


Refusal = InsufficientFunds | LimitReached | KeyIsStopped | RepeatedCall


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a call wants reserved. `amount` is its worst case, tax included; `id` a UUIDv7 of `created_at`."""

    organization_id: int
    id: UUID
    created_at: datetime
    expires_at: datetime
    api_key_id: int | None
    model_id: int
    amount: Decimal
    request_id: str
    upstream: str
    attempt: int = 1
    end_user: str | None = None
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)
    call_key: UUID | None = None
    """Stands for the caller's own name of the call (`call_keys.digest_of`)."""

    @property
    def movement(self) -> Movement:
        """What the hold does to spend limits."""
        return Movement(
            organization_id=self.organization_id, api_key_id=self.api_key_id, at=self.created_at, held=self.amount
        )


def reserve(requests: Sequence[HoldRequest]) -> list[Refusal | None]:
    """Reserve each request, in order, that still fits its balance and its spend limits; None is yes."""
    reserved = with_retries(lambda: _reserve_at_once(requests))
    others = [request for request in requests if request.id not in reserved]
    if not others:
        return [None] * len(requests)
    months = {month_of(request.created_at) for request in others}
    with_retries(lambda: ensure_partitions("ledger_hold", months))
    decided = iter(with_retries(lambda: _reserve(others)))
    return [None if request.id in reserved else next(decided) for request in requests]


def without_decisions(requests: Sequence[HoldRequest]) -> list[HoldRequest]:
    """Those of organizations whose requests need no decision here, as far as is known.

    Whoever was decided for a moment ago, or has named a call, is left to `_reserve` with all its requests, so that they keep
    their order.
    """
    decided = {request.organization_id for request in requests if request.call_key is not None}
    return [
        one for one in requests if one.organization_id not in decided and one.organization_id not in _needs_decisions
    ]


def reserving_what_fits(requests: Sequence[HoldRequest]) -> Step:
    """Reserve for the organizations that need no decision and can pay for all; `reserved_in` reads what it returns."""
    ensure_partitions("ledger_hold", {month_of(request.created_at) for request in requests})
    return ADD_WHAT_FITS, _columns(requests)


def reserved_in(rows: Rows) -> frozenset[UUID]:
    """The holds that `reserving_what_fits` has written."""
    return frozenset(hold_id for (hold_id,) in rows)


def _reserve_at_once(requests: Sequence[HoldRequest]) -> frozenset[UUID]:
    """Reserve, in one round trip, for the organizations whose requests need no decision. Returns what is reserved."""
    simple = without_decisions(requests)
    if not simple:
        return frozenset()
    organization_ids = sorted({request.organization_id for request in simple})
    [rows] = in_tenant_scope(organization_ids, [reserving_what_fits(simple)])
    return reserved_in(rows)


def _reserve(requests: Sequence[HoldRequest]) -> list[Refusal | None]:
    organization_ids = sorted({request.organization_id for request in requests})
    results: list[Refusal | None] = []
    admitted: list[HoldRequest] = []
    with tenant_transaction(organization_ids, [(LOCK_BALANCES, [organization_ids])]) as hot:
        [rows] = hot.rows
        found = (Balance.from_db("default", BALANCE_FIELDS, row) for row in rows)
        balances = {balance.pk: balance for balance in found}
        now = max(request.created_at for request in requests)
        _remember_decisions(balances)
        for balance in balances.values():
            if is_due(balance, now=now):
                expire(balance, now=now)
        left = {organization_id: available(balance) for organization_id, balance in balances.items()}
        limits = lock_limits(
            [organization_id for organization_id, balance in balances.items() if balance.limited],
            (request.api_key_id for request in requests),
            now=min(request.created_at for request in requests),
        )
        stops = find_stops([organization_id for organization_id, balance in balances.items() if balance.stopped])
        names = find_claimed(requests, now=now)
        for request in requests:
            move_all_on(limits, now=request.created_at)
            remaining = EXACT.subtract(left.get(request.organization_id, ZERO), request.amount)
            refusal: Refusal | None = stops.get(request.api_key_id) or repeated(request, names)
            if refusal is None:
                refusal = InsufficientFunds() if remaining < ZERO else reached(limits, request.movement)
            results.append(refusal)
            if refusal is None:
                left[request.organization_id] = remaining
                count(limits, [request.movement])
                note_claimed(request, names)
                admitted.append(request)
        if any(results):
            results = _held_already(requests, results)
        if not limits:
            if admitted:
                hot.finish(_additions(admitted))
            return results
        if admitted:
            known = _known_before(admitted, hot.run(_additions(admitted))[0])
            count(limits, [replace(request.movement, held=-request.amount) for request in known])
        if admitted or any(isinstance(refusal, LimitReached) and refusal.first for refusal in results):
            store_limits(limits)
    return results


def _held_already(requests: Sequence[HoldRequest], results: Sequence[Refusal | None]) -> list[Refusal | None]:
    """The results, but yes for what an unacknowledged commit has reserved: its own hold must not stand in its way."""
    refused = [request for request, refusal in zip(requests, results, strict=True) if refusal is not None]
    with connections["default"].cursor() as cursor:
        organization_ids = list({request.organization_id for request in refused})
        cursor.execute(FIND_HOLDS, [organization_ids, [request.id for request in refused]])
        held = {hold_id for (hold_id,) in cursor.fetchall()}
    return [None if request.id in held else refusal for request, refusal in zip(requests, results, strict=True)]


def _remember_decisions(balances: Mapping[int, Balance]) -> None:
    """Who has limits or stops now is not tried at once the next time, as that would be a round trip for nothing."""
    for organization_id, balance in balances.items():
        if balance.limited or balance.stopped:
            _needs_decisions.add(organization_id)
        else:
            _needs_decisions.discard(organization_id)


def _additions(admitted: Sequence[HoldRequest]) -> list[Step]:
    """The holds and what they reserve, and the names that their callers gave them."""
    return [(ADD_HOLDS, _columns(admitted)), *claiming(admitted)]


def _columns(admitted: Sequence[HoldRequest]) -> list[object]:
    return [
        [request.organization_id for request in admitted],
        [request.id for request in admitted],
        [request.created_at for request in admitted],
        [request.expires_at for request in admitted],
        [request.api_key_id for request in admitted],
        [request.model_id for request in admitted],
        [request.amount for request in admitted],
        [request.request_id for request in admitted],
        [request.upstream for request in admitted],
        [request.attempt for request in admitted],
        [request.end_user for request in admitted],
        [json.dumps(dict(request.tags)) if request.tags else None for request in admitted],
    ]


def _known_before(admitted: Sequence[HoldRequest], rows: Rows) -> list[HoldRequest]:
    """Those that an unacknowledged commit left behind: they count already."""
    added = {hold_id for (hold_id,) in rows}
    return [] if len(added) == len(admitted) else [request for request in admitted if request.id not in added]


def release(*, organization_id: int, hold_id: UUID, now: datetime) -> bool:
    """Give back a hold whose call cost nothing (the upstream refused it). False if it was resolved already."""

    def give_back() -> bool:
        with tenant_scope([organization_id]), connections["default"].cursor() as cursor:
            cursor.execute(RELEASE, [now, organization_id, hold_id])
            row = cursor.fetchone()
            if row is None:
                return False
            amount, api_key_id, created_at = row
            cursor.execute(GIVE_BACK, [amount, organization_id])
            (limited,) = cursor.fetchone()
            if limited:
                movement = Movement(organization_id=organization_id, api_key_id=api_key_id, at=created_at, held=-amount)
                count_movements([movement], now=now)
            return True

    return with_retries(give_back)
