"""The mail goes out: at least once, always under the same Message-ID, and nobody's bad address holds up another's mail.

A row is claimed (its next attempt put off by a lease) and committed, then the mail is sent, then the row is marked. Killed in
between, it is sent again when the lease ends: twice is better than never, and a mail program shows one Message-ID once. A mail
server that cannot be reached costs no attempt; the mails wait for it.
"""

import logging
import smtplib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.validators import validate_email
from django.utils import translation

from accounts.invitations import is_open
from accounts.mail_message import Mail
from accounts.mail_sender import mail_sender
from accounts.tenancy import tenant_scope
from billing import documents
from billing.mail import outbox
from billing.mail.delivery_reports import envelope_sender
from billing.mail.mail_texts import compose, invitation_of, sheet_of
from billing.models import CreditNote, Invoice, OutboxMail, Payment, TaxInvoice
from billing.papers.paper_kinds import Subject, file_name

MAX_ATTEMPTS, MAX_REFUSALS = 10, 3
"""Ten attempts take about eight hours. An address that the server refuses for good is believed the third time."""
SWEEP_SECONDS = 120.0 * settings.SWEEP_PACE

log = logging.getLogger(__name__)


class MailServerUnreachable(Exception):
    """No conversation with the mail server could be begun. Nothing was counted against any mail."""


class Hopeless(Exception):
    """A mail that will not go out however often it is tried."""


@dataclass(slots=True)
class Sweep:
    """What became of the mails that were due."""

    sent: int = 0
    put_off: int = 0
    failed: int = 0

    @property
    def attempted(self) -> int:
        return self.sent + self.put_off + self.failed

    def add(self, other: "Sweep") -> None:
        self.sent += other.sent
        self.put_off += other.put_off
        self.failed += other.failed

    def count(self, status: str) -> None:
        self.sent += status == OutboxMail.Status.SENT
        self.put_off += status == OutboxMail.Status.WAITING
        self.failed += status in outbox.GIVEN_UP_STATUSES


def deliver(*, organization_id: int, mail_id: UUID | str, now: datetime) -> str | None:
    """Send one mail if it is due; returns its status, or None where it is not due or somebody else is at it.

    Raises MailServerUnreachable.
    """
    connection = _connect(now=now)
    try:
        return _deliver(connection, organization_id, mail_id, now=now)
    finally:
        _hang_up(connection)


def deliver_waiting(*, now: datetime, progress: Callable[[Sweep, int], None] = lambda swept, due: None) -> Sweep:
    """Send what is due, for a while, over one connection. Looks at all tenants. Raises MailServerUnreachable."""
    swept, due = Sweep(), outbox.due_mails(now=now)
    if not due:
        return swept
    connection = _connect(now=now)
    deadline = time.monotonic() + SWEEP_SECONDS
    for organization_id, mail_id in due:
        status = _deliver(connection, organization_id, mail_id, now=now)
        if status is not None:
            swept.count(status)
        progress(swept, len(due))
        if time.monotonic() > deadline:
            break
        if status not in (None, OutboxMail.Status.SENT):
            _hang_up(connection)  # what state the server is in after a failure, only a new conversation knows
            connection = _connect(now=now)
    _hang_up(connection)
    return swept


def _connect(*, now: datetime) -> BaseEmailBackend:
    connection: BaseEmailBackend = get_connection()
    try:
        connection.open()
    except (OSError, smtplib.SMTPException) as error:
        reason = f"The mail server cannot be reached: {error}"
        outbox.note_outage(reason, now=now)
        raise MailServerUnreachable(reason) from error
    return connection


def _hang_up(connection: BaseEmailBackend) -> None:
    """Politely if the server still listens; what was sent is sent either way."""
    with suppress(OSError, smtplib.SMTPException):
        connection.close()


def _deliver(connection: BaseEmailBackend, organization_id: int, mail_id: UUID | str, *, now: datetime) -> str | None:
    mail = outbox.claim(organization_id, mail_id, now=now)
    if mail is None:
        return None
    try:
        _message(mail, connection, now=now).send()
    except Exception as error:
        return _note_failure(mail, error, now=now)
    outbox.note_sent(mail, now=now)
    return OutboxMail.Status.SENT


def _message(mail: OutboxMail, connection: BaseEmailBackend, *, now: datetime) -> Mail:
    with tenant_scope([mail.organization_id]):
        mail = OutboxMail.objects.select_related("organization", "invoice__period").get(pk=mail.pk)
        _refuse_hopeless(mail, now=now)
        letter, attached = compose(mail), _attached_to(mail)
    with translation.override(mail.language):
        sender = mail_sender()
    address = settings.BOUNCE_ADDRESS
    message = Mail(
        subject=letter.subject,
        body=letter.text,
        from_email=envelope_sender(address, mail.pk) if address else sender,
        to=[mail.recipient],
        reply_to=[mail.invoice.seller["email"]] if mail.invoice else None,
        headers={"From": sender, "Message-ID": mail.message_id, "Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    message.attach_alternative(letter.html, "text/html")
    if attached is not None:
        message.attach(file_name(attached), documents.open_document(attached, now=now), "application/pdf")
    return message


def _attached_to(mail: OutboxMail) -> Subject | None:
    """What the mail carries the document of. Needs the tenant scope."""
    if mail.kind == OutboxMail.Kind.INVOICE:
        return mail.invoice
    if mail.kind in (OutboxMail.Kind.RECEIPT, OutboxMail.Kind.TOP_UP) and "payment" in mail.context:
        return Payment.objects.for_organization(mail.organization_id).get(pk=mail.context["payment"])
    if mail.kind == OutboxMail.Kind.CREDIT_NOTE:
        return CreditNote.objects.for_organization(mail.organization_id).get(pk=mail.context["credit_note"])
    return None


def _refuse_hopeless(mail: OutboxMail, *, now: datetime) -> None:
    try:
        validate_email(mail.recipient)
    except ValidationError:
        raise Hopeless("The recipient is not an e-mail address.") from None
    if mail.kind == OutboxMail.Kind.INVOICE and mail.invoice is not None and mail.invoice.status == Invoice.Status.VOID:
        raise Hopeless("The invoice was voided before this mail went out.")
    if mail.kind == OutboxMail.Kind.TAX_INVOICE and sheet_of(mail).status == TaxInvoice.Status.CANCELED:
        raise Hopeless("The tax invoice was taken back before this mail went out.")
    if mail.kind in outbox.REMINDERS and mail.invoice is not None and mail.invoice.status != Invoice.Status.OPEN:
        raise Hopeless("Nothing was owed any more when this reminder would have gone out.")
    if mail.kind == OutboxMail.Kind.INVITATION and not is_open(invitation_of(mail), now=now):
        raise Hopeless("The invitation ended before this mail went out.")


def _note_failure(mail: OutboxMail, error: Exception, *, now: datetime) -> str:
    kind = type(error).__name__
    reason = str(error) if isinstance(error, Hopeless) else f"{kind}: {error}"
    refused = _is_refused_for_good(error)
    status = outbox.note_failure(
        mail, reason, attempts_allowed=_attempts_allowed(error, refused=refused), refused=refused, now=now
    )
    log.warning(
        "a mail was not sent",
        extra={"mail": str(mail.pk), "attempts": mail.attempts, "status": status, "error_type": kind},
    )
    return status


def _attempts_allowed(error: Exception, *, refused: bool) -> int:
    if isinstance(error, Hopeless):
        return 1
    return MAX_REFUSALS if refused else MAX_ATTEMPTS


def _is_refused_for_good(error: Exception) -> bool:
    """Whether a server said 5xx to the recipient: there is no such mailbox, or it takes nothing from us."""
    if not isinstance(error, smtplib.SMTPRecipientsRefused):
        return False
    return min(code for code, _reason in error.recipients.values()) >= 500
