"""What becomes of a top-up: its money is paid credit, in the transaction that settles it; a refused one stops what made it.

The payment's own row is locked by the caller; the balance is locked here, by the grant.
"""

import logging
from datetime import datetime

from accounts.audit_log import write_audit_entry
from accounts.models import User
from billing.buyers import billing_profile, buyer_details
from billing.mail import mails
from billing.models import AutomaticTopUp, OutboxMail, Payment
from billing.processors import bank_transfer
from ledger.credits import grant_credit
from ledger.models import Account, CreditGrant
from pricing.plain_text import plain

logger = logging.getLogger(__name__)


def top_up_key(payment: Payment) -> str:
    """The key of the credit that a top-up became; invariant 44 finds it by this."""
    return f"top-up:{payment.pk}"


def settle_top_up(*, payment: Payment, now: datetime, actor: User | None = None) -> Payment:
    """The payment's money is ours: give it as paid credit, once, and send a receipt."""
    payment.status, payment.settled_at = Payment.Status.SUCCEEDED, now
    payment.action_url = payment.failure = ""
    payment.save()
    grant_credit(
        organization=payment.organization,
        amount=payment.amount,
        currency=payment.currency,
        kind=CreditGrant.Kind.PAID,
        reason="Top-up",
        key=top_up_key(payment),
        now=now,
        actor=actor or payment.started_by,
        source=Account.BANK if payment.processor == bank_transfer.NAME else Account.CLEARING,
    )
    write_audit_entry(
        action="payment.succeeded",
        target=payment.purpose,
        organization=payment.organization,
        actor=actor or payment.started_by,
        now=now,
        detail={"payment": str(payment.pk), "processor": payment.processor, "amount": plain(payment.amount)},
    )
    _mail(OutboxMail.Kind.TOP_UP, payment, now)
    return payment


def note_refused_top_up(*, payment: Payment, now: datetime) -> None:
    """A stored card refused a top-up. One that nobody asked for stops the automatic ones, and is told by mail."""
    if payment.started_by_id is not None:
        return
    setting = AutomaticTopUp.objects.for_organization(payment.organization_id).select_for_update().first()
    if setting is not None and setting.runs:
        setting.stop(failure=payment.failure, now=now)
        setting.save()
    _mail(OutboxMail.Kind.TOP_UP_FAILED, payment, now)


def _mail(kind: str, payment: Payment, now: datetime) -> None:
    organization = payment.organization
    recipient = buyer_details(organization, billing_profile(organization))["contact_email"]
    if not recipient:
        return
    mails.enqueue(
        kind=kind,
        key=f"{kind}:{payment.pk}",
        organization=organization,
        recipient=recipient,
        language=organization.language,
        context={
            "payment": str(payment.pk),
            "amount": plain(payment.amount),
            "currency": payment.currency,
            "processor": payment.processor,
            "paid_at": payment.paid_at.isoformat() if payment.paid_at else "",
            "method": payment.method.label if payment.method else "",
            "failure": payment.failure,
        },
        now=now,
    )
