"""Credit expires: what is left of it then, beyond the usage that it was there for, is posted away (decision 0017).

Usage that is not invoiced yet keeps the credit that would pay it, so nobody loses what was used in time to the day on which the
invoice is made. Everything else is gone at that moment: `reserve` and whoever reads a balance ask here, the sweep only writes down.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from functools import partial

from accounts.audit_log import write_audit_entry
from accounts.models import Organization
from accounts.tenancy import tenant_scope
from ledger.balances import with_tax
from ledger.credit_order import CreditLeft, credits_left, is_expired, less, next_expiry
from ledger.journal import Posting, post
from ledger.models import Account, Balance, CreditGrant, CreditUse, TransactionKind
from ledger.retrying import with_retries
from ledger.sweeping import others_go_on
from pricing.exact import EXACT, ZERO, exact_sum
from pricing.plain_text import plain
from pricing.totals import MINOR_UNITS

INCOME = {CreditGrant.Kind.PROMOTIONAL: Account.PROMOTION, CreditGrant.Kind.PAID: Account.BREAKAGE}
"""Where expired credit goes: a promotion was no expense after all, money that was paid becomes income."""


def is_due(balance: Balance, *, now: datetime) -> bool:
    """Whether credit of this balance expired that still has something left."""
    return balance.credit_expires_at is not None and balance.credit_expires_at <= now


def lost(
    grants: Sequence[CreditLeft], *, balance: Balance, now: datetime, invoiced_until: datetime | None = None
) -> list[CreditLeft]:
    """What expired of each credit: what is left of it but for the usage that is not invoiced and that no credit before it pays.

    What expired up to `invoiced_until` covers nothing any more: all usage of its time is invoiced.
    """
    used = with_tax(max(balance.unbilled, ZERO), balance.tax_rate)
    uncovered = used.quantize(Decimal(1).scaleb(-MINOR_UNITS[balance.currency]), rounding=ROUND_CEILING)
    gone = []
    for grant, left in grants:
        cover = min(left, uncovered)
        if is_expired(grant, now=now):
            kept = ZERO if invoiced_until is not None and is_expired(grant, now=invoiced_until) else cover
            if kept < left:
                gone.append((grant, EXACT.subtract(left, kept)))
        uncovered = EXACT.subtract(uncovered, cover)
    return gone


def expire(balance: Balance, *, now: datetime, invoiced_until: datetime | None = None) -> Decimal:
    """Post what expired of a locked balance, and note when to look next. Returns how much; `balance` knows it afterwards."""
    before = balance.prepaid
    expire_of(credits_left(balance.pk), balance=balance, now=now, invoiced_until=invoiced_until)
    return EXACT.subtract(before, balance.prepaid)


def expire_of(
    grants: Sequence[CreditLeft], *, balance: Balance, now: datetime, invoiced_until: datetime | None = None
) -> list[CreditLeft]:
    """The same of a balance whose credits are known. Returns what is left of them."""
    gone = lost(grants, balance=balance, now=now, invoiced_until=invoiced_until)
    for grant, amount in gone:
        _post(grant, amount, now=now)
    balance.prepaid = EXACT.subtract(balance.prepaid, exact_sum(amount for _grant, amount in gone))
    left = less(grants, gone)
    _note_next(balance, next_expiry(left))
    return left


def lapse(balance: Balance, *, now: datetime) -> Decimal:
    """Post away all credit that is left of a locked balance, whose organization closes: gifts, and fractions of a won that cannot
    be sent back. Returns how much.
    """
    gone = credits_left(balance.pk)
    for grant, amount in gone:
        _post(grant, amount, now=now)
    note_next_expiry(balance)
    return exact_sum(amount for _grant, amount in gone)


def note_next_expiry(balance: Balance) -> None:
    """Look up when the credits of a locked balance expire next."""
    _note_next(balance, next_expiry(credits_left(balance.pk)))


def balance_at(organization: Organization | int, *, now: datetime) -> Balance:
    """The balance for reading, without what expired up to `now`, posted or not. Needs the tenant scope."""
    balance = Balance.objects.for_organization(organization).get()
    if is_due(balance, now=now):
        gone = lost(credits_left(balance.pk), balance=balance, now=now)
        balance.prepaid = EXACT.subtract(balance.prepaid, exact_sum(amount for _grant, amount in gone))
    return balance


def expire_due(*, now: datetime) -> int:
    """Post what expired, of every organization; how many lost something. Again, it finds nothing."""
    due = Balance.objects.using("system").filter(credit_expires_at__lte=now).order_by("pk").values_list("pk", flat=True)
    lost_something = 0
    for number in due:
        with others_go_on(organization_id=number):
            lost_something += with_retries(partial(_expire, number, now)) > ZERO
    return lost_something


def _expire(organization_id: int, now: datetime) -> Decimal:
    with tenant_scope([organization_id]):
        balance = Balance.objects.select_for_update().for_organization(organization_id).get()
        return expire(balance, now=now) if is_due(balance, now=now) else ZERO


def _post(grant: CreditGrant, amount: Decimal, *, now: datetime) -> None:
    use = CreditUse.objects.create(organization_id=grant.organization_id, grant=grant, amount=amount, at=now)
    posting = Posting(
        TransactionKind.CREDIT_EXPIRED,
        str(use.pk),
        {Account.PREPAID: amount, INCOME[CreditGrant.Kind(grant.kind)]: EXACT.minus(amount)},
    )
    post(organization_id=grant.organization_id, postings=[posting], now=now)
    write_audit_entry(
        action="credit.expired",
        target=grant.key,
        organization=grant.organization,
        actor=None,
        now=now,
        detail={"amount": plain(amount), "currency": grant.currency},
    )


def _note_next(balance: Balance, moment: datetime | None) -> None:
    if moment != balance.credit_expires_at:
        balance.credit_expires_at = moment
        Balance.objects.for_organization(balance.pk).update(credit_expires_at=moment)
