"""Charges accrue to balances and settle their holds, never refused: the ledger's part of recording."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.round_trips import Rows, Statement, Step, run
from ledger.event_ids import new_id
from ledger.limits import Movement
from ledger.models import TransactionKind

ACCRUE = Statement("""
WITH change AS MATERIALIZED (
    SELECT t.organization_id, t.charged, t.id, t.key
    FROM unnest(%s::bigint[], %s::numeric[], %s::uuid[], %s::text[]) AS t (organization_id, charged, id, key)
), captured AS (  -- the ids stand beside the rows, so that they are looked up by the key whatever statistics say
    UPDATE ledger_hold AS hold SET status = 2, resolved_at = %s::timestamptz, captured = least(hold.amount, t.charge)
    FROM (SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::numeric[]) AS u (organization_id, id, charge) ORDER BY 1, 2) AS t
    WHERE hold.organization_id = t.organization_id AND hold.id = t.id AND hold.id = ANY(%s::uuid[])
        AND hold.status + 0 IN (1, 4)  -- a sum, so that the index of open holds is not read through
    RETURNING hold.organization_id, hold.api_key_id, hold.created_at, hold.amount
), released AS MATERIALIZED (
    SELECT organization_id, sum(amount) AS amount
    FROM (SELECT organization_id, 0 AS amount FROM change UNION ALL SELECT organization_id, amount FROM captured
        UNION ALL SELECT *, 0 FROM unnest(%s::bigint[])) AS part
    GROUP BY organization_id
), locked AS MATERIALIZED (
    SELECT organization_id, released.amount FROM ledger_balance AS balance JOIN released USING (organization_id)
    ORDER BY organization_id FOR UPDATE OF balance
), moved AS (
    UPDATE ledger_balance AS balance SET unbilled = balance.unbilled + change.charged, held = balance.held - locked.amount
    FROM locked JOIN change USING (organization_id) WHERE balance.organization_id = locked.organization_id
    RETURNING balance.organization_id, balance.limited, balance.currency, change.charged, change.id, change.key,
        CASE WHEN balance.limited AND NOT %s::boolean THEN ledger_limits_were_set() END
), posted AS (
    INSERT INTO ledger_ledgertransaction (organization_id, id, at, entry_count, kind, key, currency)
    SELECT organization_id, id, %s::timestamptz, 2, %s::text, key, currency FROM moved WHERE charged <> 0
), entry AS (
    INSERT INTO ledger_ledgerentry (organization_id, transaction_id, position, entry_count, account, amount)
    SELECT organization_id, id, side.position, 2, side.account, CASE side.position WHEN 1 THEN charged ELSE -charged END
    FROM moved, (VALUES (1, 'unbilled'), (2, 'revenue')) AS side (position, account) WHERE charged <> 0
)
SELECT moved.organization_id, captured.api_key_id, captured.created_at, captured.amount
FROM moved LEFT JOIN captured USING (organization_id) WHERE moved.limited
""")

Limited = dict[int, list[Movement]]
"""The organizations that have spend limits: what each hold that was settled gives back to their counters."""


def accrual(
    charged: Mapping[int, Decimal],
    *,
    holds: Mapping[tuple[int, UUID], Decimal],
    keys: Mapping[int, UUID],
    now: datetime,
    kind: TransactionKind = TransactionKind.USAGE,
    counts_limits: bool,
    also_locked: Iterable[int] = (),
) -> Step:
    """Add charges (before tax) to the unbilled sums and post them; settle holds with what their calls cost (tax included).

    A batch is one statement, and one transaction of the journal for each organization; `keys` names it by one of the rows that
    are charged, which are unique themselves. Holds are locked first, then balances in the order of their ids, as everybody does,
    so that nobody blocks another for good; `also_locked` are those that later steps of the transaction want. A hold that was
    settled before is left alone; what a charge has beyond its hold shows as an overrun.

    Unless its caller `counts_limits`, the step fails as a transaction to be tried again where there are spend limits.
    """
    organization_ids = sorted(charged)
    return ACCRUE, [
        organization_ids,
        [charged[organization_id] for organization_id in organization_ids],
        [new_id(now) for _organization_id in organization_ids],
        [str(keys[organization_id]) for organization_id in organization_ids],
        now,
        [organization_id for organization_id, _id in holds],
        [hold_id for _organization_id, hold_id in holds],
        list(holds.values()),
        [hold_id for _organization_id, hold_id in holds],
        list(also_locked),
        counts_limits,
        now,
        kind.value,
    ]


def limited_in(rows: Rows) -> Limited:
    """What the step returned."""
    limited: Limited = {}
    for organization_id, api_key_id, created_at, amount in rows:
        movements = limited.setdefault(organization_id, [])
        if amount is not None:
            movements.append(
                Movement(organization_id=organization_id, api_key_id=api_key_id, at=created_at, held=-amount)
            )
    return limited


def accrue(
    charged: Mapping[int, Decimal],
    *,
    keys: Mapping[int, UUID],
    now: datetime,
    holds: Mapping[tuple[int, UUID], Decimal] | None = None,
    kind: TransactionKind = TransactionKind.USAGE,
) -> Limited:
    """`accrual` as a round trip of its own, inside the running transaction. The counters of limits are the caller's to move."""
    if not charged:
        return {}
    [rows] = run([accrual(charged, holds=holds or {}, keys=keys, now=now, kind=kind, counts_limits=True)])
    return limited_in(rows)
