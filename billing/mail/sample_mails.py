"""A sample goes out as real mail, to the operator who asks for it and nobody else: a row first, then the worker sends it.

It stands beside the outbox, whose mails are customers': the same steps (a lease, then the mail, then the mark), fewer attempts.
"""

import logging
import smtplib
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext

from accounts.audit_log import write_audit_entry
from accounts.mail_message import Mail
from accounts.mail_sender import mail_sender
from accounts.models import User
from billing.mail.mail_samples import sample
from billing.mail.mails import message_id
from billing.mail.outbox import FIRST_PAUSE, LEASE
from billing.models import SampleMail

MOST_AN_HOUR = 20
MAX_ATTEMPTS = 3
BATCH = 50

logger = logging.getLogger(__name__)


class TooManySamples(Exception):
    """The operator had as many sent within the hour as one may."""


def send_sample(*, operator: User, name: str, language: str, now: datetime) -> SampleMail:
    """Queue the sample to the operator's own address. Raises KeyError if there is none of that name, and TooManySamples."""
    sample(name, language=language, now=now)
    with transaction.atomic(using="system"):
        User.objects.using("system").select_for_update(no_key=True).get(
            pk=operator.pk
        )  # so that two at once are counted one by one
        if recent_samples(operator).filter(created_at__gt=now - timedelta(hours=1)).count() >= MOST_AN_HOUR:
            raise TooManySamples(operator.email)
        mail = SampleMail.objects.using("system").create(
            operator=operator,
            recipient=operator.email,
            sample=name,
            language=language,
            next_attempt_at=now,
            created_at=now,
        )
        write_audit_entry(
            action="mail.sample_sent",
            target=name,
            actor=operator,
            now=now,
            detail={"mail": str(mail.pk), "language": language, "recipient": mail.recipient},
            using="system",
        )
        transaction.on_commit(lambda: _ring(mail), using="system", robust=True)
    return mail


def recent_samples(operator: User) -> QuerySet[SampleMail]:
    """What the operator had sent, the latest first."""
    return SampleMail.objects.using("system").filter(operator=operator).order_by("-created_at", "-pk")


def deliver_sample(*, mail_id: UUID | str, now: datetime) -> str | None:
    """Send one if it is due; returns its status, or None where it is not due or somebody else is at it."""
    mail = _claim(mail_id, now=now)
    if mail is None:
        return None
    try:
        _message(mail, now=now).send()
    except (OSError, smtplib.SMTPException) as error:
        mail.status = SampleMail.Status.FAILED if mail.attempts >= MAX_ATTEMPTS else SampleMail.Status.WAITING
        mail.last_error, mail.next_attempt_at = f"{type(error).__name__}: {error}"[:300], now + FIRST_PAUSE
        logger.warning("a sample was not sent", extra={"mail": str(mail.pk), "status": mail.status})
    else:
        mail.status, mail.sent_at, mail.last_error = SampleMail.Status.SENT, now, ""
    mail.save(update_fields=["status", "sent_at", "last_error", "next_attempt_at"])
    return mail.status


def deliver_waiting_samples(*, now: datetime) -> int:
    """Send what nobody was rung for; how many went out."""
    due = SampleMail.objects.filter(status=SampleMail.Status.WAITING, next_attempt_at__lte=now)
    keys = list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:BATCH])
    return sum(deliver_sample(mail_id=key, now=now) == SampleMail.Status.SENT for key in keys)


def _claim(mail_id: UUID | str, *, now: datetime) -> SampleMail | None:
    with transaction.atomic():
        due = SampleMail.objects.filter(status=SampleMail.Status.WAITING, next_attempt_at__lte=now)
        mail = due.select_for_update(skip_locked=True).filter(pk=mail_id).first()
        if mail is not None:
            mail.attempts, mail.next_attempt_at = mail.attempts + 1, now + LEASE
            mail.save(update_fields=["attempts", "next_attempt_at"])
    return mail


def _message(mail: SampleMail, *, now: datetime) -> Mail:
    letter = sample(mail.sample, language=mail.language, now=now).letter
    with translation.override(mail.language):
        subject, sender = gettext("Test: %(subject)s") % {"subject": letter.subject}, mail_sender()
    message = Mail(
        subject=subject,
        body=letter.text,
        from_email=sender,
        to=[mail.recipient],
        headers={"Message-ID": message_id(mail.pk), "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(letter.html, "text/html")
    return message


def _ring(mail: SampleMail) -> None:
    from billing import tasks  # which run the steps that write mails down

    tasks.ring(tasks.deliver_sample_mail, mail_id=str(mail.pk))
