"""The rows of the outbox: which mails are due, whose turn it is to send one, and what became of it."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.audit_log import write_audit_entry
from accounts.invariants import LIMIT, Violations
from accounts.models import User
from accounts.tenancy import TenantQuerySet, tenant_scope
from billing.mail import bounces
from billing.models import Document, Invoice, OutboxMail

LEASE = timedelta(minutes=10) * settings.SWEEP_PACE
"""Longer than a sweep and the slowest conversation at its end."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=4)
BATCH = 500

MailKey = tuple[int, UUID]
"""(organization, mail)"""
Status = OutboxMail.Status
GIVEN_UP_STATUSES = (Status.FAILED, Status.BOUNCED)
REMINDERS = (OutboxMail.Kind.DUE_SOON, OutboxMail.Kind.OVERDUE)
_NEEDLESS = Q(kind=OutboxMail.Kind.INVOICE, invoice__status=Invoice.Status.VOID) | (
    Q(kind__in=REMINDERS) & ~Q(invoice__status=Invoice.Status.OPEN)
)
GIVEN_UP = Q(status__in=GIVEN_UP_STATUSES) & ~_NEEDLESS
"""Not those of invoices that were voided before their mail went out, nor reminders of paid ones: they are not to be sent."""


def due_mails(*, now: datetime) -> list[MailKey]:
    """What may go out now, the longest due first. Looks at all tenants."""
    due = _due(OutboxMail.objects.using("system"), now=now).order_by("next_attempt_at", "pk")
    return list(due.values_list("organization_id", "pk")[:BATCH])


def count_without_document() -> int:
    """How many mails wait for their invoice's PDF. Looks at all tenants."""
    return OutboxMail.objects.using("system").filter(~_is_complete(), status=Status.WAITING).count()


def waiting_for_document(*, organization_id: int, invoice_id: UUID | str) -> list[UUID]:
    """The mails that wait for this invoice's PDF, or did so a moment ago."""
    with tenant_scope([organization_id]):
        mails = OutboxMail.objects.for_organization(organization_id).filter(
            invoice_id=invoice_id, kind=OutboxMail.Kind.INVOICE, status=Status.WAITING
        )
        return list(mails.values_list("pk", flat=True))


def claim(organization_id: int, mail_id: UUID | str, *, now: datetime) -> OutboxMail | None:
    """The mail, counted as attempted and nobody else's until its lease ends; None if it is not due or somebody is at it."""
    with tenant_scope([organization_id]):
        rows = OutboxMail.objects.select_for_update(skip_locked=True).for_organization(organization_id)
        mail = _due(rows, now=now).filter(pk=mail_id).first()
        if mail is not None:
            mail.attempts += 1
            mail.next_attempt_at = now + LEASE
            mail.save(update_fields=["attempts", "next_attempt_at"])
    return mail


def note_sent(mail: OutboxMail, *, now: datetime) -> None:
    with tenant_scope([mail.organization_id]):
        row = OutboxMail.objects.for_organization(mail.organization_id).filter(pk=mail.pk)
        row.update(status=Status.SENT, sent_at=now, last_error="")
        bounces.note_taken(mail, now=now)


def note_failure(mail: OutboxMail, reason: str, *, attempts_allowed: int, refused: bool, now: datetime) -> str:
    """Try again later, ever more seldom; after the last attempt an operator must look, and the customer, if their own server
    `refused` it for good. Returns the new status."""
    last = Status.BOUNCED if refused else Status.FAILED
    status = last if mail.attempts >= attempts_allowed else Status.WAITING
    pause = min(FIRST_PAUSE * 2 ** (mail.attempts - 1), LONGEST_PAUSE)
    with tenant_scope([mail.organization_id]):
        row = OutboxMail.objects.for_organization(mail.organization_id).filter(pk=mail.pk, status=Status.WAITING)
        row.update(status=status, next_attempt_at=now + pause, last_error=_short(reason))
        if status == Status.BOUNCED:
            bounces.note_bounce(mail, _short(reason), now=now)
    return status


def note_outage(reason: str, *, now: datetime) -> None:
    """Let an operator who looks at the due mails see why they wait. It counts as no attempt."""
    _due(OutboxMail.objects.using("system"), now=now).exclude(last_error=_short(reason)).update(
        last_error=_short(reason)
    )


def send_again(*, organization_id: int, mail_id: UUID | str, reason: str, now: datetime, actor: User | None) -> bool:
    """Put a mail that was given up back in the queue, under the same Message-ID; False if it had not been given up."""
    with tenant_scope([organization_id]):
        mails = OutboxMail.objects.for_organization(organization_id).filter(pk=mail_id)
        given_up = mails.filter(status__in=GIVEN_UP_STATUSES)
        if not given_up.update(status=Status.WAITING, attempts=0, next_attempt_at=now, last_error=""):
            return False
        mail = mails.select_related("organization", "invoice").get()
        write_audit_entry(
            action="mail.sent_again",
            target=mail.invoice.number if mail.invoice else mail.kind,
            organization=mail.organization,
            actor=actor,
            now=now,
            detail={"mail": str(mail.pk), "kind": mail.kind, "reason": reason},
        )
    return True


def given_up() -> TenantQuerySet[OutboxMail]:
    """The mails that nobody tries to send any more though they should have gone out. Looks at all tenants."""
    return OutboxMail.objects.using("system").filter(GIVEN_UP)


def send_all_again(*, reason: str, now: datetime, actor: User | None, kind: str = "") -> int:
    """Put all mails that were given up, or those of one kind, back in the queue. Returns how many, 500 at most."""
    mails = given_up().filter(kind=kind) if kind else given_up()
    keys = list(mails.order_by("created_at", "pk").values_list("organization_id", "pk")[:BATCH])
    return sum(
        send_again(organization_id=organization_id, mail_id=mail_id, reason=reason, now=now, actor=actor)
        for organization_id, mail_id in keys
    )


def overdue_mails() -> Violations:
    """Mails that nobody sends though they are due: the sweep stands still, the server is gone, or a PDF cannot be made."""
    limit = timezone.now() - timedelta(hours=settings.MAIL_OVERDUE_HOURS)
    overdue = OutboxMail.objects.using("system").filter(status=Status.WAITING, next_attempt_at__lt=limit)
    return [
        f"organization_id {mail.organization_id}, id {mail.pk}, due {mail.next_attempt_at.isoformat()}"
        for mail in overdue.order_by("next_attempt_at")[:LIMIT]
    ]


def _due(mails: TenantQuerySet[OutboxMail], *, now: datetime) -> TenantQuerySet[OutboxMail]:
    return mails.filter(_is_complete(), status=Status.WAITING, next_attempt_at__lte=now)


def _is_complete() -> Q:
    """An invoice's mail waits for its PDF."""
    documents = Document.objects.filter(invoice=OuterRef("invoice"), kind=Document.Kind.INVOICE)
    return ~Q(kind=OutboxMail.Kind.INVOICE) | Q(Exists(documents))


def _short(reason: str) -> str:
    return reason[:300]
