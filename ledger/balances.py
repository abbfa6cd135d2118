"""The balance of an organization: what it may still spend, what it owes, and how charges accrue to it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connections

from accounts.models import Organization
from ledger.event_ids import new_id
from ledger.models import Balance, TransactionKind
from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum

ACCRUE = """
WITH change AS MATERIALIZED (
    SELECT t.organization_id, t.charged, t.released, t.id, t.key
    FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::uuid[], %s::text[])
        AS t (organization_id, charged, released, id, key)
), moved AS (
    UPDATE ledger_balance AS balance SET unbilled = balance.unbilled + change.charged, held = balance.held - change.released
    FROM change WHERE balance.organization_id = change.organization_id
    RETURNING balance.organization_id, balance.limited, balance.currency, change.charged, change.id, change.key
), posted AS (
    INSERT INTO ledger_ledgertransaction (organization_id, id, at, entry_count, kind, key, currency)
    SELECT organization_id, id, %s, 2, %s, key, currency FROM moved WHERE charged <> 0
), entry AS (
    INSERT INTO ledger_ledgerentry (organization_id, transaction_id, position, entry_count, account, amount)
    SELECT organization_id, id, side.position, 2, side.account, CASE side.position WHEN 1 THEN charged ELSE -charged END
    FROM moved, (VALUES (1, 'unbilled'), (2, 'revenue')) AS side (position, account) WHERE charged <> 0
)
SELECT organization_id, limited FROM moved
"""
LOCK = "SELECT 1 FROM ledger_balance WHERE organization_id = ANY(%s) ORDER BY organization_id FOR UPDATE"


def open_balance(organization: Organization, *, tax_rate: Decimal, credit_line: Decimal = ZERO) -> Balance:
    """Make the balance row of a new organization, as the `system` role."""
    return Balance.objects.using("system").create(
        organization=organization, currency=organization.billing_currency, tax_rate=tax_rate, credit_line=credit_line
    )


def available(balance: Balance) -> Decimal:
    """What may still be spent, tax included; below zero it is an overrun, which blocks new holds."""
    owed = with_tax(balance.unbilled, balance.tax_rate)
    return EXACT.subtract(
        exact_sum((balance.prepaid, balance.credit_line)), exact_sum((owed, balance.receivable, balance.held))
    )


def with_tax(amount: Decimal, tax_rate: Decimal) -> Decimal:
    """A charge as balances, holds and limits count it: tax included, exactly."""
    return exact_product(amount, exact_sum((ONE, tax_rate)))


def accrue(
    charged: Mapping[int, Decimal],
    *,
    released: Mapping[int, Decimal],
    keys: Mapping[int, UUID],
    now: datetime,
    kind: TransactionKind = TransactionKind.USAGE,
) -> set[int]:
    """Add charges (before tax) to the unbilled sums, post them, and give back settled holds. Never refused (DESIGN §4.12).

    A batch is one statement, and one transaction of the journal for each organization; `keys` names it by one of the rows that are
    charged, which are unique themselves. Balances are locked in the order of their ids, as `holds.reserve` does, so that the two
    never block each other for good. Returns the organizations that have spend limits, whose counters are the caller's to move.
    """
    organization_ids = sorted(charged.keys() | released.keys())
    if not organization_ids:
        return set()
    with connections["default"].cursor() as cursor:
        if len(organization_ids) > 1:
            cursor.execute(LOCK, [organization_ids])
        cursor.execute(
            ACCRUE,
            [
                organization_ids,
                [charged.get(organization_id, ZERO) for organization_id in organization_ids],
                [released.get(organization_id, ZERO) for organization_id in organization_ids],
                [new_id(now) for _organization_id in organization_ids],
                [str(keys.get(organization_id, "")) for organization_id in organization_ids],
                now,
                kind,
            ],
        )
        return {organization_id for organization_id, limited in cursor.fetchall() if limited}
