"""Paid credit that nobody used goes back to the customer (decision 0032): it is taken out of the balance and its refunds are
written down in one transaction, then the processor is called. Account closure and the console come here alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.corrections import refunds
from billing.corrections.refundable import lock_payments
from billing.corrections.unresolved_refunds import call_first
from billing.models import CreditPayout, Payment
from billing.payments.credit_origins import payments_behind
from ledger.credit_expiry import balance_at, expire
from ledger.credit_payouts import take_out, unused_paid
from ledger.models import Balance, CreditGrant
from ledger.settling import lock_balance
from pricing.exact import ZERO
from pricing.plain_text import plain
from pricing.totals import round_to_minor


class NothingUnused(Exception):
    """No paid credit is left that nothing needs."""


class InvalidPayout(ValueError):
    """More than is unused of a credit, or something else than whole minor units above zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A paid credit, what of it nothing needs, tax included, and the payments that brought it, the newest first."""

    grant: CreditGrant
    left: Decimal
    payments: list[Payment]


def unused_credit(*, organization_id: int, now: datetime) -> list[Unused]:
    """What could be sent back now, the credit that is used last first. Needs the tenant scope; nothing is written."""
    balance = balance_at(organization_id, now=now)
    return [
        Unused(grant=grant, left=left, payments=payments_behind(grant)) for grant, left in unused_paid(balance, now=now)
    ]


def refund_unused_credit(
    *,
    organization_id: int,
    request_key: UUID,
    reason: str,
    now: datetime,
    actor: User | None,
    amounts: Mapping[int, Decimal] | None = None,
) -> list[CreditPayout]:
    """Send back `amounts`, by the credit's primary key, or all paid credit that nothing needs. Under one `request_key`, once.

    What cards paid is asked for once all is committed; the rest is an operator's to transfer (`refunds.record_refund`). Raises
    NothingUnused, InvalidPayout.
    """
    with tenant_scope([organization_id]):
        lock_payments(_payments(organization_id, now=now))
        balance = lock_balance(organization_id)
        known = CreditPayout.objects.for_organization(organization_id).filter(key__startswith=f"{request_key}:")
        if known.exists():
            return list(known)
        expire(balance, now=now)
        unused = dict(unused_paid(balance, now=now))
        if not unused:
            raise NothingUnused(str(organization_id))
        wanted = {grant.pk: left for grant, left in unused.items()} if amounts is None else amounts
        _check(wanted, {grant.pk: left for grant, left in unused.items()}, balance.currency)
        made, going_back = [], []
        for grant in unused:
            if wanted.get(grant.pk):
                payout = _make(
                    balance, grant, wanted[grant.pk], request_key=request_key, reason=reason, now=now, actor=actor
                )
                made.append(payout)
                going_back += refunds.intend(origin=payout, now=now, actor=actor)
    call_first(going_back, now=now)
    return made


def _payments(organization_id: int, *, now: datetime) -> list[Payment]:
    return [payment for one in unused_credit(organization_id=organization_id, now=now) for payment in one.payments]


def _check(wanted: Mapping[int, Decimal], unused: Mapping[int, Decimal], currency: str) -> None:
    for credit, amount in wanted.items():
        left = unused.get(credit, ZERO)
        if not ZERO < amount <= left or amount != round_to_minor(amount, currency):
            raise InvalidPayout(f"{amount} of {left}")


def _make(
    balance: Balance,
    grant: CreditGrant,
    amount: Decimal,
    *,
    request_key: UUID,
    reason: str,
    now: datetime,
    actor: User | None,
) -> CreditPayout:
    payout = CreditPayout.objects.create(
        organization_id=balance.pk,
        credit_use=take_out(balance=balance, grant=grant, amount=amount, now=now),
        key=f"{request_key}:{grant.pk}",
        currency=grant.currency,
        reason=reason,
        taken_at=now,
        taken_by=actor,
    )
    write_audit_entry(
        action="credit.taken_out",
        target=grant.key,
        organization=payout.organization,
        actor=actor,
        now=now,
        detail={"amount": plain(amount), "currency": grant.currency, "reason": reason},
    )
    return payout
