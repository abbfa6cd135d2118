"""The journal: every movement of money of an organization as entries that add up to zero, and the balance that counts them along.

A posting and the change of the balance are one statement, so neither is ever without the other. That entries add up is checked by
the database when the transaction commits (migration 0005); that nothing is posted twice, by the unique key of what is posted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from accounts.round_trips import Statement, run
from ledger.event_ids import new_id
from ledger.models import CACHED, Account, TransactionKind
from pricing.exact import ZERO, exact_product, exact_sum

POST = Statement("""
WITH entry AS MATERIALIZED (
    SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::smallint[], %s::text[], %s::numeric[])
        AS t (id, position, entry_count, account, amount)
), moved AS (
    UPDATE ledger_balance SET unbilled = unbilled + %s, receivable = receivable + %s, prepaid = prepaid + %s
    WHERE organization_id = %s RETURNING organization_id, currency
), posted AS (
    INSERT INTO ledger_ledgertransaction (organization_id, id, at, entry_count, kind, key, currency)
    SELECT moved.organization_id, t.id, %s::timestamptz, t.entry_count, t.kind, t.key, moved.currency
    FROM moved, unnest(%s::uuid[], %s::smallint[], %s::text[], %s::text[]) AS t (id, entry_count, kind, key)
)
INSERT INTO ledger_ledgerentry (organization_id, transaction_id, position, entry_count, account, amount)
SELECT moved.organization_id, entry.id, entry.position, entry.entry_count, entry.account, entry.amount FROM moved, entry
RETURNING position
""")


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
    change = changes_of(postings)
    parameters = [
        ids,
        positions,
        counts,
        [account.value for account in accounts],
        amounts,
        change[Account.UNBILLED],
        change[Account.RECEIVABLE],
        change[Account.PREPAID],
        organization_id,
        now,
        [number for number, _posting, _entries in rows],
        [len(entries) for _number, _posting, entries in rows],
        [posting.kind.value for _number, posting, _entries in rows],
        [posting.key for _number, posting, _entries in rows],
    ]
    [posted] = run([(POST, parameters)], using=using)
    if len(posted) != len(lines):
        raise NothingPosted(f"organization {organization_id} has no balance in sight")


def _lines(posting: Posting) -> list[tuple[Account, Decimal]]:
    return [(account, amount) for account, amount in posting.entries.items() if amount]


def changes_of(postings: Sequence[Posting]) -> dict[Account, Decimal]:
    """What postings change on the balance, by the account whose name its column has."""
    return {
        account: exact_product(exact_sum(posting.entries.get(account, ZERO) for posting in postings), sign)
        for account, sign in CACHED.items()
    }
