"""A sample goes to the operator who asks for it, as real mail, and to nobody else."""

import smtplib
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail as sent_mails
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone, translation

from accounts.models import AuditEntry
from billing import tasks
from billing.mail import sample_mails
from billing.mail.mail_samples import sample, sample_names
from billing.models import OutboxMail, SampleMail
from tests.stories import Cast, meet_the_cast

Status = SampleMail.Status


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(db: None, now: datetime) -> Cast:
    return meet_the_cast(now=now)


def asked(cast: Cast, *, now: datetime, name: str = "overdue", language: str = "en") -> SampleMail:
    return sample_mails.send_sample(operator=cast.operator, name=name, language=language, now=now)


def test_it_is_in_the_operators_mailbox_and_in_the_audit_log(cast: Cast, now: datetime) -> None:
    asked(cast, now=now)
    tasks.sweep_mail()
    tasks.sweep_mail()
    [message] = sent_mails.outbox
    assert message.to == [cast.operator.email] and message.subject.startswith("Test: [InvoiceDream] ")
    assert "Still to be paid: ₩1,308,023" in message.body
    [row] = SampleMail.objects.all()
    assert (row.status, row.attempts) == (Status.SENT, 1)
    [entry] = AuditEntry.objects.using("system").filter(action="mail.sample_sent")
    assert (entry.actor, entry.target) == (cast.operator, "overdue")
    assert not OutboxMail.objects.using("system").exists(), "it is no customer's"


@pytest.mark.parametrize("name", sample_names())
def test_every_sample_can_be_sent_in_korean(cast: Cast, now: datetime, name: str) -> None:
    row = asked(cast, now=now, name=name, language="ko")
    assert sample_mails.deliver_sample(mail_id=row.pk, now=now) == Status.SENT
    assert sent_mails.outbox[0].subject.startswith("시험: ")


def test_twenty_an_hour_and_no_more(cast: Cast, now: datetime) -> None:
    for _one in range(sample_mails.MOST_AN_HOUR):
        asked(cast, now=now)
    with pytest.raises(sample_mails.TooManySamples):
        asked(cast, now=now + timedelta(minutes=59))
    asked(cast, now=now + timedelta(hours=1, seconds=1))
    with pytest.raises(KeyError):
        asked(cast, now=now, name="nothing")


def test_a_server_that_is_away_is_asked_three_times(cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    row = asked(cast, now=now)

    def refuse(*_given: Any) -> int:
        raise smtplib.SMTPServerDisconnected("gone")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    for attempt, status in enumerate((Status.WAITING, Status.WAITING, Status.FAILED)):
        assert sample_mails.deliver_sample(mail_id=row.pk, now=now + timedelta(hours=attempt)) == status
    assert sample_mails.deliver_sample(mail_id=row.pk, now=now + timedelta(days=1)) is None
    row.refresh_from_db()
    assert row.last_error == "SMTPServerDisconnected: gone"


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_two_samples_share_a_name(db: None, now: datetime, language: str) -> None:
    with translation.override(language):
        labels = [sample(name, language=language, now=now).label for name in sample_names()]
    assert len(set(labels)) == len(labels), sorted(label for label in labels if labels.count(label) > 1)
