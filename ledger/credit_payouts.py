"""Take paid credit out of the balance to send it back: from that moment on no call can spend it.

Usage that is not invoiced, unpaid invoices and running calls keep the credit that would pay them, in the order in which credit is
used; only what is left of paid credit after them can go.
"""

from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from ledger.balances import with_tax
from ledger.credit_expiry import note_next_expiry
from ledger.credit_order import CreditLeft, credits_left, is_expired
from ledger.journal import Posting, post
from ledger.models import Account, Balance, CreditGrant, CreditUse, TransactionKind
from ledger.settling import whole_units
from pricing.exact import EXACT, ZERO, exact_sum
from pricing.totals import MINOR_UNITS


def unused_paid(balance: Balance, *, now: datetime) -> list[CreditLeft]:
    """The paid credits of which something is not needed, and how much in whole minor units, tax included; used last comes first.

    Needs the tenant scope; exact while the balance is locked.
    """
    spent = with_tax(max(balance.unbilled, ZERO), balance.tax_rate)
    needed = exact_sum((spent, max(balance.receivable, ZERO), balance.held))
    needed = needed.quantize(Decimal(1).scaleb(-MINOR_UNITS[balance.currency]), rounding=ROUND_CEILING)
    unused = []
    for grant, left in credits_left(balance.pk):
        cover = min(left, needed)
        needed = EXACT.subtract(needed, cover)
        rest = whole_units(EXACT.subtract(left, cover), balance.currency)
        if rest > ZERO and grant.kind == CreditGrant.Kind.PAID and not is_expired(grant, now=now):
            unused.append((grant, rest))
    return unused[::-1]


def take_out(*, balance: Balance, grant: CreditGrant, amount: Decimal, now: datetime) -> CreditUse:
    """`amount` of a credit is set aside to be sent back; the balance is locked and `unused_paid` says that it may."""
    use = CreditUse.objects.create(organization_id=balance.pk, grant=grant, amount=amount, at=now)
    posting = Posting(
        TransactionKind.CREDIT_TAKEN_OUT,
        str(use.pk),
        {Account.PREPAID: amount, Account.REFUNDABLE: EXACT.minus(amount)},
    )
    post(organization_id=balance.pk, postings=[posting], now=now)
    note_next_expiry(balance)
    return use
