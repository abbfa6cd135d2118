"""Mails that were taken by a server and came back: its reports are read from their folder and noted on the mails concerned.

A report that is read twice notes nothing twice, also where the mail was sent again in between: each mail keeps which report it
heard last. One that cannot be read is flagged in its folder, for a person, and stops no other. A folder that cannot be read is an
alarm until it can. Decision 0042.
"""

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from accounts.alarms import clear_alarm, raise_alarm
from accounts.storable_text import storable_text
from accounts.tenancy import tenant_scope
from billing.mail import bounces
from billing.mail.delivery_reports import DeliveryReport, NotAReport, Outcome, read_report
from billing.mail.outbox import MailKey
from billing.mail.report_folders import FolderUnusable, unread_in
from billing.models import OutboxMail

logger = logging.getLogger(__name__)
Status = OutboxMail.Status
LONGEST_REASON = 300
STATUS_AFTER = {Outcome.REFUSED: Status.BOUNCED, Outcome.GIVEN_UP: Status.FAILED}
"""A mail that is delayed stays what it is."""
ALARM, SUBJECT = "mail_reports", "BOUNCE_MAILBOX"


@dataclass(slots=True)
class ReportsRead:
    """What became of the mails in the folder. `left` are no reports about a mail of ours, or could not be read."""

    refused: int = 0
    given_up: int = 0
    delayed: int = 0
    known: int = 0
    left: int = 0


def read_regularly(*, now: datetime) -> None:
    """The same for beat, if there is a folder for that."""
    if not settings.BOUNCE_MAILBOX:
        clear_alarm(kind=ALARM, subject=SUBJECT, now=now)
        return
    try:
        read_reports(now=now)
    except FolderUnusable as error:
        logger.warning("reports of mail servers wait", extra={"reason": str(error)})


def read_reports(*, now: datetime) -> ReportsRead:
    """Read what is unread in BOUNCE_MAILBOX. Raises FolderUnusable, and an alarm until the folder can be read again."""
    try:
        done = _read_folder(now=now)
    except FolderUnusable as error:
        summary = f"The mail servers' reports cannot be read. {error}"
        raise_alarm(kind=ALARM, subject=SUBJECT, summary=summary, now=now)
        raise
    clear_alarm(kind=ALARM, subject=SUBJECT, now=now)
    return done


def _read_folder(*, now: datetime) -> ReportsRead:
    done = ReportsRead()
    with unread_in(settings.BOUNCE_MAILBOX) as unread:
        for mail in unread:
            is_usable = _read(mail.raw, done, now=now)
            mail.mark(is_usable)
    return done


def _read(raw: bytes, done: ReportsRead, *, now: datetime) -> bool:
    """Note one; False where a person should look at it."""
    digest = hashlib.sha256(raw).hexdigest()
    report = _report_in(raw, digest)
    if report is None or (mail := _mail_of(report)) is None:
        done.left += 1
        return False
    outcome = note_report(report, mail, digest=digest, now=now)
    done.refused += outcome == Outcome.REFUSED
    done.given_up += outcome == Outcome.GIVEN_UP
    done.delayed += outcome == Outcome.DELAYED
    done.known += outcome is None
    return True


def _report_in(raw: bytes, digest: str) -> DeliveryReport | None:
    try:
        return read_report(raw, address=settings.BOUNCE_ADDRESS)
    except NotAReport as error:
        logger.info("a mail is no report of a mail server", extra={"mail_digest": digest, "reason": str(error)})
    except Exception:  # whatever somebody sends to this address
        logger.exception("a report cannot be read", extra={"mail_digest": digest})
    return None


def _mail_of(report: DeliveryReport) -> MailKey | None:
    rows = OutboxMail.objects.using("system")
    named = rows.filter(pk=report.mail_id) if report.mail_id else rows.filter(message_id=report.message_id)
    return named.values_list("organization_id", "pk").first()


def note_report(report: DeliveryReport, key: MailKey, *, digest: str, now: datetime) -> Outcome | None:
    """Note what it says on its mail; None if that says nothing new, or nothing of how the mail was sent last."""
    organization_id, mail_id = key
    with tenant_scope([organization_id]):
        mail = OutboxMail.objects.select_for_update().for_organization(organization_id).get(pk=mail_id)
        was_sent = mail.status == Status.SENT or (mail.status == Status.WAITING and mail.attempts > 0)
        if report.outcome == Outcome.ARRIVED or mail.report_digest == digest or not was_sent:
            return None
        mail.report_digest, mail.reported_at = digest, now
        mail.status = STATUS_AFTER.get(report.outcome, mail.status)
        mail.last_error = storable_text(report.reason)[:LONGEST_REASON]
        mail.save(update_fields=["report_digest", "reported_at", "status", "last_error"])
        if report.outcome == Outcome.REFUSED:
            bounces.note_bounce(mail, mail.last_error, now=now)
    return report.outcome
