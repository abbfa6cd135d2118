"""The balance of an organization: what it may still spend, and what it owes."""

from decimal import Decimal

from accounts.models import Organization
from ledger.models import Balance
from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum

UNSPENT = "balance.prepaid + balance.credit_line - balance.unbilled * (1 + balance.tax_rate) - balance.receivable"
"""`unspent` as SQL, of a row named balance."""


def open_balance(organization: Organization, *, tax_rate: Decimal, credit_line: Decimal = ZERO) -> Balance:
    """Make the balance row of a new organization, as the `system` role."""
    return Balance.objects.using("system").create(
        organization=organization, currency=organization.billing_currency, tax_rate=tax_rate, credit_line=credit_line
    )


def available(balance: Balance) -> Decimal:
    """What may still be spent, tax included; below zero it is an overrun, which blocks new holds."""
    return EXACT.subtract(unspent(balance), balance.held)


def unspent(balance: Balance) -> Decimal:
    """What was not spent yet, tax included: what running calls hold is no spend, so bursts do not make it low."""
    owed = exact_sum((with_tax(balance.unbilled, balance.tax_rate), balance.receivable))
    return EXACT.subtract(exact_sum((balance.prepaid, balance.credit_line)), owed)


def with_tax(amount: Decimal, tax_rate: Decimal) -> Decimal:
    """A charge as balances, holds and limits count it: tax included, exactly."""
    return exact_product(amount, exact_sum((ONE, tax_rate)))
