"""Caps that customers set on their own spending: checked before a call is made, counted with everything that is charged.

A limit is an organization's, a member's (all keys that the member made) or a key's, by day or month, hard or soft.

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

from accounts.models import ApiKey
from ledger.balances import with_tax
from ledger.models import LimitWindow, SpendLimit
from ledger.periods import day_bounds, month_bounds
from pricing.exact import EXACT, ZERO, exact_sum

STORE = """
UPDATE ledger_spendlimit AS spend_limit SET window_start = t.window_start, window_end = t.window_end, spent = t.spent,
    spent_ahead = t.spent_ahead, held = t.held, refused_at = t.refused_at
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[], %s::timestamptz[])
    AS t (id, window_start, window_end, spent, spent_ahead, held, refused_at)
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
    """The worst case of a call does not fit what a hard limit leaves, `left`: with tax, below zero after an overrun.

    `api_key_id` and `member_id` are None for the whole organization's. `first`: nothing was refused in this window before.
    """

    def __init__(self, limit: SpendLimit, *, first: bool = False) -> None:
        super().__init__(limit.pk)
        self.first = first
        self.limit_id = limit.pk
        self.api_key_id: int | None = limit.api_key_id
        self.member_id: int | None = limit.member_id
        self.left = left(limit)
        self.amount = limit.amount
        self.window = limit.window
        self.resets_at = limit.window_end


def lock_limits(
    organization_ids: Collection[int], api_key_ids: Iterable[int | None], *, now: datetime
) -> list[SpendLimit]:
    """The limits of these organizations, their keys and who made them, row-locked and moved on to the window of `now`.

    Their balances are locked. Without organizations there is no query; who made the keys is asked, once, where members have limits.
    """
    if not organization_ids:
        return []
    keys = ApiKey.objects.filter(
        organization_id__in=organization_ids, pk__in={key_id for key_id in api_key_ids if key_id is not None}
    )
    rows = SpendLimit.objects.filter(
        Q(api_key=None, member=None) | Q(api_key__in=keys) | Q(member__in=keys.values("created_by")),
        organization_id__in=organization_ids,
    ).select_related("organization__balance")
    limits = list(rows.order_by("organization_id", "pk").select_for_update(of=("self",)))
    makers = list(keys.values_list("pk", "created_by")) if any(limit.member_id for limit in limits) else []
    for limit in limits:
        move_on(limit, now=now)
        if limit.member_id:
            limit.keys_of_member = frozenset(key_id for key_id, maker_id in makers if maker_id == limit.member_id)
    return limits


def window_bounds(window: str, at: datetime, *, zone: str) -> tuple[datetime, datetime]:
    """The half-open window [start, end) of `at`."""
    return day_bounds(at, zone=zone) if window == LimitWindow.DAY else month_bounds(at, zone=zone)


def move_on(limit: SpendLimit, *, now: datetime) -> None:
    """Begin the window of `now`, if the row still counts an earlier one. Nothing held is taken along: it counts where it began."""
    if now < limit.window_end:
        return
    start, end = window_bounds(limit.window, now, zone=limit.organization.zone)
    follows = start <= limit.window_end
    limit.spent = limit.spent_ahead if follows else ZERO
    limit.spent_ahead = limit.held = ZERO
    limit.refused_at = None
    limit.window_start, limit.window_end = max(start, limit.window_end), end


def move_all_on(limits: Iterable[SpendLimit], *, now: datetime) -> None:
    """Before each call of a batch: of two around midnight, the first is the old day's and the second the new one's."""
    for limit in limits:
        move_on(limit, now=now)


def left(limit: SpendLimit) -> Decimal:
    """What may still be spent in the window, tax included; below zero it is an overrun by usage that is never refused."""
    spent = with_tax(limit.spent, limit.organization.balance.tax_rate)
    return EXACT.subtract(limit.amount, exact_sum((spent, limit.held)))


def reached(limits: Sequence[SpendLimit], movement: Movement) -> LimitReached | None:
    """The first hard limit that has no room for what `movement` would hold; it notes that it refused something."""
    for limit in limits:
        if limit.hard and _concerns(limit, movement) and left(limit) < movement.held:
            refusal = LimitReached(limit, first=limit.refused_at is None)
            limit.refused_at = limit.refused_at or movement.at
            return refusal
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
    columns = ("pk", "window_start", "window_end", "spent", "spent_ahead", "held", "refused_at")
    with connections["default"].cursor() as cursor:
        cursor.execute(STORE, [[getattr(limit, name) for limit in limits] for name in columns])


def count_movements(movements: Sequence[Movement], *, now: datetime) -> None:
    """Lock, count, store – for movements that are never refused. Inside the transaction that moved the balances."""
    organization_ids = {movement.organization_id for movement in movements}
    limits = lock_limits(organization_ids, (movement.api_key_id for movement in movements), now=now)
    count(limits, movements)
    store_limits(limits)


def _concerns(limit: SpendLimit, movement: Movement) -> bool:
    if limit.organization_id != movement.organization_id:
        return False
    if limit.member_id is not None:
        return movement.api_key_id in limit.keys_of_member
    return limit.api_key_id in (None, movement.api_key_id)
