"""Mails in the console: what they say, without doing anything, and sent again when they were given up."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.invitations import invite
from accounts.models import AuditEntry, BillingProfile, Membership, Role
from accounts.tenancy import tenant_scope
from billing.mail import mails
from billing.mail.sample_mails import MOST_AN_HOUR
from billing.models import Invoice, OutboxMail, SampleMail
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast


@pytest.fixture
def mail(invoice: Invoice) -> OutboxMail:
    """The invoice's, given up after an outage."""
    found = OutboxMail.objects.get(invoice=invoice)
    found.status, found.attempts = OutboxMail.Status.FAILED, 10
    found.last_error = "SMTPRecipientsRefused: 550 No such mailbox"
    found.save()
    return found


def page(client: Client, mail: OutboxMail, *, language: str = "en") -> str:
    client.cookies["invoicedream_language"] = language
    answer = client.get(reverse("admin:billing_outboxmail_change", args=[mail.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_its_page_shows_what_it_says_and_why_it_failed(operator: Client, mail: OutboxMail, invoice: Invoice) -> None:
    text = page(operator, mail)
    assert f"({invoice.number})" in text and "550 No such mailbox" in text
    assert '<iframe class="mail-frame" sandbox=""' in text and "srcdoc=" in text
    assert "&lt;!doctype html&gt;" in text, "escaped into the frame"
    assert reverse("admin:send_again", args=[mail.pk]) in text


def test_what_customers_wrote_runs_nowhere(operator: Client, mail: OutboxMail, cast: Cast) -> None:
    mail.kind, mail.invoice = OutboxMail.Kind.INVITATION, None
    cast.acme.organization.name = "<script>alert(1)</script>"
    cast.acme.organization.save()
    mail.context = {"invitation": invited(cast, mail.created_at).pk}
    mail.save()
    text = page(operator, mail)
    assert "<script>alert" not in text and "&amp;lt;script&amp;gt;alert(1)" in text


def invited(cast: Cast, now: datetime) -> object:
    owner = Membership.objects.get(user=cast.acme.owner)
    return invite(
        organization=cast.acme.organization, email="lee@acme.example", role=Role.DEVELOPER, inviter=owner, now=now
    )


def test_an_invitation_is_shown_without_its_token(operator: Client, cast: Cast, now: datetime) -> None:
    with tenant_scope([cast.acme.organization.pk]):
        mail = mails.enqueue_invitation(invited(cast, now), now=now)
    assert "/invitations/••••" in page(operator, mail)


def test_a_mail_that_cannot_be_worded_opens_all_the_same(operator: Client, mail: OutboxMail) -> None:
    mail.kind, mail.context = OutboxMail.Kind.INVITATION, {"invitation": 0}
    mail.save()
    assert "It cannot be worded" in page(operator, mail)


def test_it_is_sent_again_with_a_reason(operator: Client, cast: Cast, mail: OutboxMail, invoice: Invoice) -> None:
    address = reverse("admin:send_again", args=[mail.pk])
    refused(operator, address, {"reason": ""})
    carry_out(operator, address, {"reason": "The address works now"})
    mail.refresh_from_db()
    assert (mail.status, mail.attempts, mail.last_error) == ("waiting", 0, "")
    entry = audited("mail.sent_again", cast)
    assert (entry.target, entry.detail["reason"]) == (invoice.number, "The address works now")
    refused(operator, address, {"reason": "Twice"})
    assert AuditEntry.objects.filter(action="mail.sent_again").count() == 1


def failed_mails(client: Client) -> tuple[str, int]:
    """What the home says of them, and how many the list behind it has."""
    [tile] = [tile for tile in client.get("/").context["tiles"] if "given_up" in tile.url]
    return tile.value, client.get(tile.url).context["cl"].result_count


def test_the_mail_of_a_void_invoice_stays(operator: Client, mail: OutboxMail, invoice: Invoice) -> None:
    assert failed_mails(operator) == ("1", 1)
    carry_out(operator, reverse("admin:void_invoice", args=[invoice.pk]), {"reason": "x"})
    assert failed_mails(operator) == ("0", 0), "nobody has to see to it"
    assert reverse("admin:send_again", args=[mail.pk]) not in page(operator, mail)
    refused(operator, reverse("admin:send_again", args=[mail.pk]), {"reason": "x"})
    refused(operator, "/do/mails/again/", {"reason": "x"})


def test_all_of_a_kind_at_once(operator: Client, cast: Cast, mail: OutboxMail) -> None:
    refused(operator, "/do/mails/again/", {"kind": "receipt", "reason": "x"})
    review = carry_out(operator, "/do/mails/again/", {"kind": "", "reason": "The server is back"})
    assert ("SMTPRecipientsRefused: 550 No such mailbox", "1") in review.context["review"]
    mail.refresh_from_db()
    assert mail.status == "waiting" and audited("mail.sent_again", cast).detail["reason"] == "The server is back"


def test_a_waiting_mail_goes_out_by_itself(operator: Client, mail: OutboxMail, now: datetime) -> None:
    mail.status, mail.next_attempt_at = OutboxMail.Status.WAITING, now + timedelta(hours=1)
    mail.save()
    assert "go out by themselves" in refused(operator, reverse("admin:send_again", args=[mail.pk]), {"reason": "x"})


def test_what_was_sent_is_sent_once_more_as_a_message_of_its_own(
    operator: Client, cast: Cast, mail: OutboxMail, invoice: Invoice, now: datetime
) -> None:
    address = reverse("admin:send_anew", args=[mail.pk])
    values = {"recipient": "accounting@acme.example", "reason": "They lost it", "copy": "1"}
    assert "Only a mail that was sent" in refused(operator, address, values)
    mail.status, mail.sent_at, mail.last_error = OutboxMail.Status.SENT, now, ""
    mail.save()
    assert address in page(operator, mail)
    BillingProfile.objects.filter(organization=invoice.organization).update(contact_email="new@acme.example")
    assert operator.get(address).context["form"].initial == {"recipient": "new@acme.example", "copy": 1}
    refused(operator, address, values | {"reason": ""})
    carry_out(operator, address, values)
    copy = OutboxMail.objects.exclude(pk=mail.pk).get()
    assert (copy.kind, copy.invoice, copy.recipient) == (mail.kind, invoice, "accounting@acme.example")
    assert copy.status == "waiting" and copy.message_id != mail.message_id
    before = mail.sent_at
    mail.refresh_from_db()
    assert (mail.status, mail.sent_at) == ("sent", before)
    entry = audited("mail.sent_anew", cast)
    assert (entry.target, entry.detail["reason"]) == (invoice.number, "They lost it")
    assert operator.post(address, values | {"confirm": "1"}).status_code == 422, "a second click sends no second one"
    assert OutboxMail.objects.count() == 2


def test_a_sent_invitation_goes_to_nobody_else(operator: Client, cast: Cast, now: datetime) -> None:
    with tenant_scope([cast.acme.organization.pk]):
        mail = mails.enqueue_invitation(invited(cast, now), now=now)
    mail.status, mail.sent_at = OutboxMail.Status.SENT, now
    mail.save()
    values = {"recipient": "someone@else.example", "reason": "x", "copy": "1"}
    assert "invited address only" in refused(operator, reverse("admin:send_anew", args=[mail.pk]), values)


def test_only_a_mail_that_waits_has_a_next_attempt(operator: Client, mail: OutboxMail, now: datetime) -> None:
    from console.mails import next_attempt

    mail.status, mail.sent_at = OutboxMail.Status.SENT, now
    assert next_attempt(mail) == "–"
    mail.status = OutboxMail.Status.WAITING
    assert next_attempt(mail) != "–"


@pytest.mark.parametrize("language", ["ko", "en"])
def test_samples_show_every_kind_and_run_nothing(operator: Client, language: str) -> None:
    address = reverse("admin:mail_samples")
    page_of = operator.get(address, {"name": "overdue", "language": language}).content.decode()
    assert '<iframe class="mail-frame" sandbox=""' in page_of and "&lt;!doctype html&gt;" in page_of
    said = operator.get(address, {"name": "overdue", "language": language, "form": "text"}).content.decode()
    assert {"ko": "미납 금액: ₩1,308,023", "en": "Still to be paid: ₩1,308,023"}[language] in said
    assert operator.get(address, {"name": "nothing"}).status_code == 404
    assert not OutboxMail.objects.exists()


def test_a_sample_is_sent_to_whoever_is_signed_in(operator: Client, cast: Cast) -> None:
    address = reverse("admin:mail_samples") + "?name=overdue&language=en"
    operator.cookies["invoicedream_language"] = "en"
    said = operator.post(address, {"recipient": "somebody@else.example"}, follow=True).content.decode()
    assert f"The sample is on its way to {cast.operator.email}." in said and "Sent to you" in said
    [row] = SampleMail.objects.all()
    assert (row.operator, row.recipient) == (cast.operator, cast.operator.email)
    for _one in range(MOST_AN_HOUR - 1):
        operator.post(address)
    assert "Please wait before the next one." in operator.post(address, follow=True).content.decode()
    assert SampleMail.objects.count() == MOST_AN_HOUR
