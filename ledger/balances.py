"""The balance of an organization: what it may still spend, what it owes, and how charges accrue to it."""

from collections.abc import Mapping
from decimal import Decimal

from django.db import connections

from accounts.models import Organization
from ledger.models import Balance
from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum

ACCRUE = """
UPDATE ledger_balance AS balance
SET unbilled = balance.unbilled + change.charged, held = balance.held - change.released
FROM (SELECT balance.organization_id, sum(t.charged) AS charged, sum(t.released) AS released
      FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[]) AS t (organization_id, charged, released)
      JOIN ledger_balance AS balance USING (organization_id)
      GROUP BY 1) AS change
WHERE balance.organization_id = change.organization_id
RETURNING balance.organization_id, balance.limited
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


def accrue(charged: Mapping[int, Decimal], *, released: Mapping[int, Decimal]) -> set[int]:
    """Add charges (before tax) to the unbilled sums and give back settled holds. Never refused (DESIGN §4.12).

    Rows are locked in the order of their ids, as `holds.reserve` does, so that the two never block each other for good. Returns the
    organizations that have spend limits, whose counters are the caller's to move.
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
            ],
        )
        return {organization_id for organization_id, limited in cursor.fetchall() if limited}
