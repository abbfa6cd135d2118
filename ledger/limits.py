"""Caps that customers set on their own spending: checked before a call is made, counted with everything that is charged.

Their counters change in the transactions that change the balance – `holds.reserve` checks and adds what is held, `recording` adds
what was spent and gives holds back, `holds.release` gives back – and always after the balance row is locked, so they need no
lock order of their own among each other. Who has no limits pays nothing: `Balance.limited` says so on the row that is read anyway.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connections
from django.db.models import Q

from ledger.balances import with_tax
from ledger.models import SpendLimit
from ledger.periods import month_bounds
from pricing.exact import EXACT, ZERO, exact_sum

STORE = """
UPDATE ledger_spendlimit AS spend_limit SET window_start = t.window_start, window_end = t.window_end, spent = t.spent,
    spent_ahead = t.spent_ahead, held = t.held
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[])
    AS t (id, window_start, window_end, spent, spent_ahead, held)
WHERE spend_limit.id = t.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What one call does to counters: `spent` before tax, `held` with tax; `at`, when it was made, decides the window."""

    organization_id: int
    api_key_id: int | None
    at: datetime
    spent: Decimal = ZERO
    held: Decimal = ZERO


class LimitReached(Exception):
    """The worst case of a call does not fit what a hard limit leaves. `api_key_id` is None for the whole organization's."""

    def __init__(self, limit: SpendLimit) -> None:
        super().__init__(limit.pk)
        self.limit_id = limit.pk
        self.api_key_id: int | None = limit.api_key_id
        self.amount = limit.amount
        self.window = limit.window
        self.resets_at = limit.window_end


def lock_limits(
    organization_ids: Collection[int], api_key_ids: Iterable[int | None], *, now: datetime
) -> list[SpendLimit]:
    """The limits of these organizations and keys, row-locked and moved on to the window of `now`. Their balances are locked.

    Without organizations there is no query.
    """
    if not organization_ids:
        return []
    keys = {key_id for key_id in api_key_ids if key_id is not None}
    rows = SpendLimit.objects.filter(
        Q(api_key=None) | Q(api_key_id__in=keys), organization_id__in=organization_ids
    ).select_related("organization__balance")
    limits = list(rows.order_by("organization_id", "pk").select_for_update(of=("self",)))
    for limit in limits:
        move_on(limit, now=now)
    return limits


def move_on(limit: SpendLimit, *, now: datetime) -> None:
    """Begin the window of `now`, if the row still counts an earlier one. Nothing held is taken along: it counts where it began."""
    if now < limit.window_end:
        return
    start, end = month_bounds(now, zone=limit.organization.zone)
    follows = start <= limit.window_end
    limit.spent = limit.spent_ahead if follows else ZERO
    limit.spent_ahead = limit.held = ZERO
    limit.window_start, limit.window_end = max(start, limit.window_end), end


def left(limit: SpendLimit) -> Decimal:
    """What may still be spent in the window, tax included; below zero it is an overrun by usage that is never refused."""
    spent = with_tax(limit.spent, limit.organization.balance.tax_rate)
    return EXACT.subtract(limit.amount, exact_sum((spent, limit.held)))


def reached(limits: Sequence[SpendLimit], movement: Movement) -> LimitReached | None:
    """The first hard limit that has no room for what `movement` would hold."""
    for limit in limits:
        if limit.hard and _concerns(limit, movement) and left(limit) < movement.held:
            return LimitReached(limit)
    return None


def count(limits: Sequence[SpendLimit], movements: Iterable[Movement]) -> None:
    """Add movements to the counters they concern. What belongs to a window before the present one counts no more.

    Usage that is reported ahead of its time waits for its window in `spent_ahead`.
    """
    for movement in movements:
        for limit in limits:
            if not _concerns(limit, movement) or movement.at < limit.window_start:
                continue
            if movement.at < limit.window_end:
                limit.spent = exact_sum((limit.spent, movement.spent))
                limit.held = exact_sum((limit.held, movement.held))
            else:
                limit.spent_ahead = exact_sum((limit.spent_ahead, movement.spent))


def store_limits(limits: Sequence[SpendLimit]) -> None:
    """Write the counters of locked limits, in one statement."""
    if not limits:
        return
    columns = ("pk", "window_start", "window_end", "spent", "spent_ahead", "held")
    with connections["default"].cursor() as cursor:
        cursor.execute(STORE, [[getattr(limit, name) for limit in limits] for name in columns])


def count_movements(movements: Sequence[Movement], *, now: datetime) -> None:
    """Lock, count, store – for movements that are never refused. Inside the transaction that moved the balances."""
    organization_ids = {movement.organization_id for movement in movements}
    limits = lock_limits(organization_ids, (movement.api_key_id for movement in movements), now=now)
    count(limits, movements)
    store_limits(limits)


def _concerns(limit: SpendLimit, movement: Movement) -> bool:
    return limit.organization_id == movement.organization_id and limit.api_key_id in (None, movement.api_key_id)
