"""The outbox: a mail is written down in the transaction of what it tells, and goes out (`delivery.py`) once that is committed: at
once if the broker is there to ring the worker, else with beat's next sweep. An invoice's mail waits for its PDF.

What each kind carries in `context` (money as text, in the invoice's currency):

- invoice: `card` and `charged_on` if it will be charged by itself; all else is in the invoice
- receipt: `payment` (its id), `amount`, `currency`, `processor`, `paid_at`, and `to_credit` where more came in than was due
- payment_failed: the same, and `failure` (the processor's code)
- top_up, top_up_failed: the same, and `method` (the card's label, "" for a page), `failure`
- payment_reversed: `payment`, `amount`, `currency`
- credit_note: `credit_note` (its id); refund: the same, or `credit_payout` and `currency`, with `amount`, `processor`
- due_soon, overdue: `suspension_on`, the day on which calls will be refused, or empty
- tax_invoice: `tax_invoice` (its id; the rest is in its row)
- notice: `notice` (its id: `notice_texts.py` words it)
- invitation: `invitation` (its number; the token is made when the mail is written, so the outbox opens no door)
"""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Invitation, Organization, User
from accounts.round_trips import run
from accounts.stored_rows import insertion, values
from accounts.tenancy import tenant_scope
from billing.models import Invoice, OutboxMail

QUEUE = insertion(OutboxMail, after=" ON CONFLICT (organization_id, key) DO NOTHING RETURNING id")
"""Returns nothing where there is a mail of that key."""


def enqueue(
    *,
    kind: str,
    key: str,
    organization: Organization,
    recipient: str,
    language: str,
    now: datetime,
    invoice: Invoice | None = None,
    context: Mapping[str, object] | None = None,
) -> OutboxMail:
    """Queue a mail once per `key`; its Message-ID stays the same however often it must be sent."""
    mail = new_mail(
        kind=kind,
        key=key,
        organization=organization,
        recipient=recipient,
        language=language,
        invoice=invoice,
        context=context,
        now=now,
    )
    [made] = run([(QUEUE, values(mail))])
    if not made:
        return OutboxMail.objects.for_organization(organization).get(key=key)
    mail._state.adding = False
    if kind != OutboxMail.Kind.INVOICE:
        transaction.on_commit(lambda: _ring(mail), robust=True)
    return mail


def new_mail(
    *,
    kind: str,
    key: str,
    organization: Organization,
    recipient: str,
    language: str,
    now: datetime,
    invoice: Invoice | None = None,
    context: Mapping[str, object] | None = None,
) -> OutboxMail:
    """A row that QUEUE writes."""
    mail_id = uuid4()
    return OutboxMail(
        id=mail_id,
        organization=organization,
        kind=kind,
        key=key,
        recipient=recipient,
        language=language,
        invoice=invoice,
        context=dict(context or {}),
        message_id=message_id(mail_id),
        next_attempt_at=now,
        created_at=now,
    )


def send_anew(
    *, mail: OutboxMail, recipient: str, copy: int, reason: str, now: datetime, actor: User | None
) -> OutboxMail | None:
    """Queue a mail that was sent already once more, as a message of its own; None if this very copy was asked for before.

    Under its old Message-ID a mail program would take it for the one that it has. `copy` counts from 1.
    """
    with tenant_scope([mail.organization_id]):
        key = f"{mail.key}:copy:{copy}"
        if OutboxMail.objects.for_organization(mail.organization_id).filter(key=key).exists():
            return None
        again = enqueue(
            kind=mail.kind,
            key=key,
            organization=mail.organization,
            recipient=recipient,
            language=mail.language,
            invoice=mail.invoice,
            context=mail.context,
            now=now,
        )
        if mail.kind == OutboxMail.Kind.INVOICE:
            transaction.on_commit(lambda: _ring(again), robust=True)
        write_audit_entry(
            action="mail.sent_anew",
            target=mail.invoice.number if mail.invoice else mail.kind,
            organization=mail.organization,
            actor=actor,
            now=now,
            detail={"mail": str(mail.pk), "copy": str(again.pk), "recipient": recipient, "reason": reason},
        )
    return again


def copies_of(mail: OutboxMail) -> int:
    """How often it was sent anew. Needs the tenant scope or the system role."""
    rows = OutboxMail.objects.for_organization(mail.organization_id)
    return rows.filter(key__startswith=f"{mail.key}:copy:").count()


def enqueue_invitation(invitation: Invitation, *, now: datetime) -> OutboxMail:
    """Queue the mail of an invitation that was just made or renewed, in that transaction."""
    return enqueue(
        kind=OutboxMail.Kind.INVITATION,
        key=f"invitation:{invitation.pk}:{invitation.sent_at.isoformat()}",
        organization=invitation.organization,
        recipient=invitation.email,
        language=invitation.organization.language,
        context={"invitation": invitation.pk},
        now=now,
    )


def _ring(mail: OutboxMail) -> None:
    from billing import tasks  # which run the steps that write mails down

    tasks.ring(tasks.deliver_mail, organization_id=mail.organization_id, mail_id=str(mail.pk))


def message_id(mail_id: UUID) -> str:
    """The Message-ID of a mail of ours, on our own domain."""
    _name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return f"<{mail_id}@{address.rpartition('@')[2]}>"
