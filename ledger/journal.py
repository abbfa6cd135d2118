"""The journal: every movement of money of an organization as entries that add up to zero, and the balance that counts them along.

A posting and the change of the balance are one statement, so neither is ever without the other. That entries add up is checked by
the database when the transaction commits (migration 0005); that nothing is posted twice, by the unique key of what is posted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connections

from ledger.event_ids import new_id
from ledger.models import CACHED, Account, TransactionKind
from pricing.exact import ZERO, exact_product, exact_sum

POST = """
WITH entry AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(positions)s::smallint[], %(counts)s::smallint[], %(accounts)s::text[],
        %(amounts)s::numeric[]) AS t (id, position, entry_count, account, amount)
), moved AS (
    UPDATE ledger_balance SET unbilled = unbilled + %(unbilled)s, receivable = receivable + %(receivable)s,
        prepaid = prepaid + %(prepaid)s
    WHERE organization_id = %(organization_id)s RETURNING organization_id, currency
), posted AS (
    INSERT INTO ledger_ledgertransaction (organization_id, id, at, entry_count, kind, key, currency)
    SELECT moved.organization_id, t.id, %(now)s, t.entry_count, t.kind, t.key, moved.currency
    FROM moved, unnest(%(transaction_ids)s::uuid[], %(transaction_counts)s::smallint[], %(kinds)s::text[], %(keys)s::text[])
        AS t (id, entry_count, kind, key)
)
INSERT INTO ledger_ledgerentry (organization_id, transaction_id, position, entry_count, account, amount)
SELECT moved.organization_id, entry.id, entry.position, entry.entry_count, entry.account, entry.amount FROM moved, entry
"""


@dataclass(frozen=True, slots=True)
class Posting:
    """One movement: what it is, the key of what it posts, and its entries, debits above zero. Those of zero are left out."""

    kind: TransactionKind
    key: str
    entries: Mapping[Account, Decimal]


class NothingPosted(Exception):
    """The organization has no balance that the running transaction may see."""


def post(*, organization_id: int, postings: Sequence[Posting], now: datetime, using: str = "default") -> None:
    """Write postings and move the balance, whose row the caller holds, by them: one statement. Needs the tenant scope.

    Raises IntegrityError for a key that was posted before; entries that do not add up fail the commit.
    """
    rows = [(new_id(now), posting, _lines(posting)) for posting in postings]
    rows = [row for row in rows if row[2]]
    if not rows:
        return
    lines = [
        (number, position, len(entries), account, amount)
        for number, _posting, entries in rows
        for position, (account, amount) in enumerate(entries, start=1)
    ]
    ids, positions, counts, accounts, amounts = (list(column) for column in zip(*lines, strict=True))
    with connections[using].cursor() as cursor:
        cursor.execute(
            POST,
            {
                "organization_id": organization_id,
                "now": now,
                "ids": ids,
                "positions": positions,
                "counts": counts,
                "accounts": [account.value for account in accounts],
                "amounts": amounts,
                "transaction_ids": [number for number, _posting, _entries in rows],
                "transaction_counts": [len(entries) for _number, _posting, entries in rows],
                "kinds": [posting.kind.value for _number, posting, _entries in rows],
                "keys": [posting.key for _number, posting, _entries in rows],
                **_cached(postings),
            },
        )
        if cursor.rowcount != len(lines):
            raise NothingPosted(f"organization {organization_id} has no balance in sight")


def _lines(posting: Posting) -> list[tuple[Account, Decimal]]:
    return [(account, amount) for account, amount in posting.entries.items() if amount]


def _cached(postings: Sequence[Posting]) -> dict[str, Decimal]:
    """What postings change on the balance, by column."""
    return {
        account.value: exact_product(exact_sum(posting.entries.get(account, ZERO) for posting in postings), sign)
        for account, sign in CACHED.items()
    }
