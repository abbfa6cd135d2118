"""Mails over real SMTP into the mailbox stand-in: at least once, one Message-ID, and nobody waits for somebody else's trouble."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.urls import resolve
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from accounts import invitations
from accounts.models import AuditEntry, BillingProfile, Membership, Organization, Role
from accounts.tenancy import tenant_scope
from billing import cycle, delivery, documents, invoicing, tasks
from billing.bank.bank_transfers import record_transfer
from billing.mail import mails, outbox
from billing.models import BouncingAddress, Invoice, OutboxMail
from config.launch.places import CHECKOUT
from config.launch.ports import free_port
from tests.billing.collecting import AFTER, LOTS, OCTOBER, meet_the_debtors, open_invoice
from tests.sandbox.processes import StandIn, stand_in
from tests.stories import Cast, use

LATER = AFTER + timedelta(hours=1)
ACME, GLOBEX = "owner@acme.example", "owner@globex.example"


@pytest.fixture(scope="module")
def post_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in("mailbox", "--smtp-port", "0", "--directory", str(tmp_path_factory.mktemp("mails"))) as running:
        yield running


@pytest.fixture
def mailbox(post_office: StandIn, settings: Settings) -> StandIn:
    """The mailbox, emptied, and this installation's mail server."""
    post_office.call("DELETE", "/api/messages")
    post_office.call("DELETE", "/sandbox/faults")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", post_office.started["smtp_port"]
    return post_office


@pytest.fixture
def cast(db: None, mailbox: StandIn) -> Cast:
    return meet_the_debtors()


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """Acme's, its PDF made and its mail waiting."""
    return documented(open_invoice(cast.acme))


def documented(invoice: Invoice) -> Invoice:
    documents.render_document(organization_id=invoice.organization_id, subject_id=invoice.pk, now=AFTER)
    return invoice


def received(mailbox: StandIn, to: str = "") -> list[dict[str, Any]]:
    """The mails in the box, oldest first."""
    found = mailbox.get(f"/api/messages?to={to}")["messages"]
    return [mailbox.get(f"/api/messages/{message['id']}") for message in reversed(found)]


def mail_of(invoice: Invoice) -> OutboxMail:
    return OutboxMail.objects.using("system").get(invoice=invoice, kind=OutboxMail.Kind.INVOICE)


def deliver(mail: OutboxMail, *, now: datetime = LATER) -> str | None:
    return delivery.deliver(organization_id=mail.organization_id, mail_id=mail.pk, now=now)


def again(mail: OutboxMail) -> bool:
    return outbox.send_again(
        organization_id=mail.organization_id, mail_id=mail.pk, reason="The address works now", now=LATER, actor=None
    )


def test_a_receipt_arrives_with_its_pdf(invoice: Invoice, mailbox: StandIn) -> None:
    payment = record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(2260),
        payer_name="Acme",
        key="line-1",
        received_at=AFTER,
        actor=None,
        now=AFTER,
    )
    deliver(OutboxMail.objects.using("system").get(kind=OutboxMail.Kind.RECEIPT))
    [letter] = received(mailbox)
    assert [one["filename"] for one in letter["attachments"]] == [f"R-{payment.pk.hex[:12].upper()}.pdf"]
    assert mailbox.get(f"/api/messages/{letter['id']}/attachments/0") == documents.open_document(payment, now=LATER)
    assert "PDF 파일을 첨부하였습니다." in letter["text"]


def tell(invoice: Invoice, kind: OutboxMail.Kind, **context: str) -> OutboxMail:
    """A mail about the invoice, as collection queues them."""
    with tenant_scope([invoice.organization_id]):
        return mails.enqueue(
            kind=kind,
            key=f"{kind}:test",
            organization=invoice.organization,
            recipient=ACME,
            language=invoice.language,
            invoice=invoice,
            context=context,
            now=AFTER,
        )


def test_the_invoice_arrives_with_its_pdf(cast: Cast, mailbox: StandIn) -> None:
    invoice = open_invoice(cast.acme)
    mail = mail_of(invoice)
    assert deliver(mail) is None, "it waits for the PDF"
    assert outbox.count_without_document() == 1
    documented(invoice)
    assert deliver(mail) == "sent"

    [letter] = received(mailbox)
    assert (letter["to"], letter["message_id"]) == ([ACME], mail.message_id)
    assert letter["from"] == "인보이스랩 <billing@invoicedream.example>"
    headers = dict(letter["headers"])
    assert (headers["Reply-To"], headers["Auto-Submitted"]) == ("billing@invoicedream.example", "auto-generated")
    assert letter["subject"] == "[인보이스랩] 2026년 10월 청구서 (INV-000001)"
    for text in ("안녕하세요, owner@acme.example 님.", "공급가액: ₩6,600", "부가세: ₩660", "합계금액: ₩7,260",
                 "크레딧 사용: −₩5,000", "청구 금액: ₩2,260", "납부 기한: 2026년 11월 16일", "감사합니다.",
                 "주식회사 인보이스랩 드림", f"/o/acme/invoices/{invoice.pk}"):  # fmt: skip
        assert text in letter["text"]
    for text in ("청구 금액", "₩2,260", "INV-000001", "주식회사 인보이스랩 드림"):
        assert text in letter["html"]
    [page] = [link for link in letter["links"] if "/invoices/" in link]
    assert resolve(urlsplit(page).path).kwargs == {"slug": "acme", "invoice_id": invoice.pk}
    [pdf] = letter["attachments"]
    assert (pdf["filename"], pdf["content_type"]) == ("INV-000001.pdf", "application/pdf")
    content = mailbox.get(f"/api/messages/{letter['id']}/attachments/0")
    assert content == documents.open_document(invoice, now=LATER)

    sent = mail_of(invoice)
    assert (sent.status, sent.sent_at, sent.attempts, sent.last_error) == ("sent", LATER, 1, "")
    assert deliver(mail) is None
    assert len(received(mailbox)) == 1


@pytest.fixture
def workers() -> Iterator[None]:
    """Tasks that are rung for are done at once."""
    configuration = tasks.close_periods.app.conf
    configuration.task_always_eager = True
    yield
    configuration.task_always_eager = False


def test_closing_a_month_rings_for_the_pdf_and_the_mail(cast: Cast, mailbox: StandIn, workers: None) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=LOTS)
    [period] = cycle.periods_of_month("2026-10", now=AFTER)
    tasks.close_periods.delay(periods=[(period.organization_id, period.period_id)])
    [letter] = received(mailbox, ACME)
    assert [attachment["filename"] for attachment in letter["attachments"]] == ["INV-000001.pdf"]


def test_a_receipt_leaves_as_soon_as_it_is_committed(invoice: Invoice, mailbox: StandIn, workers: None) -> None:
    pay(invoice)
    assert [letter["subject"] for letter in received(mailbox, ACME)] == ["[인보이스랩] 결제 영수증 (INV-000001)"]


def test_nobody_is_rung_for_what_was_not_committed(cast: Cast, mailbox: StandIn, workers: None) -> None:
    acme = cast.acme.organization
    with contextlib.suppress(ZeroDivisionError), tenant_scope([acme.pk]):
        invite(acme, cast)
        assert received(mailbox) == [], "not before the end of the transaction"
        raise ZeroDivisionError
    assert received(mailbox) == []
    with tenant_scope([acme.pk]):
        invite(acme, cast)
    assert len(received(mailbox, "minji@acme.example")) == 1


def test_without_a_broker_the_mail_waits_for_the_sweep(
    invoice: Invoice, mailbox: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_arguments: object, **_options: object) -> None:
        raise OperationalError("the broker is gone")

    monkeypatch.setattr(tasks.deliver_mail, "apply_async", lose)
    pay(invoice)
    assert received(mailbox) == []
    assert delivery.deliver_waiting(now=LATER).sent == 2, "the invoice and the receipt"


def pay(invoice: Invoice) -> None:
    record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=invoice.amount_due,
        payer_name="Acme",
        key="t1",
        received_at=AFTER,
        actor=None,
        now=AFTER,
    )


def invite(organization: Organization, cast: Cast) -> None:
    inviter = Membership.objects.for_organization(organization).get(user=cast.acme.owner)
    invitation = invitations.invite(
        organization=organization,
        email="minji@acme.example",
        role=Role.VIEWER,
        inviter=inviter,
        now=timezone.now(),
    )
    mails.enqueue_invitation(invitation, now=invitation.sent_at)


def test_english_customers_read_english(cast: Cast, mailbox: StandIn) -> None:
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(language="en")
    deliver(mail_of(documented(open_invoice(cast.acme))))
    [letter] = received(mailbox)
    assert letter["subject"] == "[InvoiceDream] October 2026 invoice (INV-000001)"
    for text in (
        "Hello owner@acme.example,",
        "Amount due: ₩2,260",
        "Due date: November 16, 2026",
        "View and pay the invoice",
    ):
        assert text in letter["text"]


def test_a_server_that_is_down_costs_no_mail_and_no_attempt(
    invoice: Invoice, mailbox: StandIn, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, free_port()
    for _time in range(3):
        with pytest.raises(delivery.MailServerUnreachable):
            delivery.deliver_waiting(now=LATER)
    tasks.sweep_mail()
    tasks.deliver_mail(organization_id=invoice.organization_id, mail_id=str(mail_of(invoice).pk))
    with pytest.raises(CommandError, match="nothing is lost"):
        call_command("deliver_mail")
    mail = mail_of(invoice)
    assert (mail.status, mail.attempts) == ("waiting", 0)
    assert "Connection refused" in mail.last_error

    settings.EMAIL_PORT = port
    assert delivery.deliver_waiting(now=LATER).sent == 1
    assert len(received(mailbox)) == 1


def test_a_bad_address_holds_up_nobody(cast: Cast, mailbox: StandIn) -> None:
    bad, good = documented(open_invoice(cast.acme)), documented(open_invoice(cast.globex))
    mailbox.order({"fault": "refuse-recipient", "times": 9, "where": ACME})

    swept = delivery.deliver_waiting(now=LATER)
    assert (swept.sent, swept.put_off, swept.failed) == (1, 1, 0)
    assert (mail_of(good).status, mail_of(bad).status) == ("sent", "waiting")
    assert "No such mailbox here" in mail_of(bad).last_error

    assert delivery.deliver_waiting(now=LATER).attempted == 0, "not before its pause is over"
    assert delivery.deliver_waiting(now=LATER + timedelta(minutes=1)).put_off == 1
    assert delivery.deliver_waiting(now=LATER + timedelta(minutes=3)).failed == 1
    assert delivery.deliver_waiting(now=LATER + timedelta(days=9)).attempted == 0
    assert (mail_of(bad).status, mail_of(bad).attempts) == ("bounced", delivery.MAX_REFUSALS)
    [bounce] = bounced()
    assert (bounce.organization_id, bounce.address, bounce.cleared_at) == (bad.organization_id, ACME, None)
    assert "550" in bounce.reason and "No such mailbox here" in bounce.reason

    mailbox.call("DELETE", "/sandbox/faults")
    mail = mail_of(bad)
    assert again(mail)
    assert delivery.deliver_waiting(now=LATER).sent == 1
    assert [letter["message_id"] for letter in received(mailbox, ACME)] == [mail.message_id]
    assert [bounce.cleared_at for bounce in bounced()] == [LATER], "its server takes mail again"
    assert not again(mail)
    entry = AuditEntry.objects.using("system").get(action="mail.sent_again")
    assert (entry.target, entry.organization_id) == (mail.invoice.number, mail.organization_id)
    assert entry.detail == {"mail": str(mail.pk), "kind": "invoice", "reason": "The address works now"}
    assert ACME not in str(entry.detail), "the log cannot forget"


def bounced() -> list[BouncingAddress]:
    return list(BouncingAddress.objects.using("system").order_by("pk"))


def test_one_bouncing_address_is_noted_once_and_anew_when_it_fails_again(cast: Cast, mailbox: StandIn) -> None:
    invoice = documented(open_invoice(cast.acme))
    mailbox.order({"fault": "refuse-recipient", "times": 99, "where": ACME})
    for kind in (OutboxMail.Kind.RECEIPT, OutboxMail.Kind.PAYMENT_FAILED):
        tell(invoice, kind, amount="1")
    for minutes in (0, 1, 3):
        delivery.deliver_waiting(now=LATER + timedelta(minutes=minutes))
    assert [mail.status for mail in OutboxMail.objects.using("system").all()] == ["bounced"] * 3
    assert len(bounced()) == 1

    mailbox.call("DELETE", "/sandbox/faults")
    assert again(mail_of(invoice))
    delivery.deliver_waiting(now=LATER)
    mailbox.order({"fault": "refuse-recipient", "times": 99, "where": ACME})
    receipt = OutboxMail.objects.using("system").get(kind=OutboxMail.Kind.RECEIPT)
    assert again(receipt)
    for minutes in (10, 11, 13):
        delivery.deliver_waiting(now=LATER + timedelta(minutes=minutes))
    assert [bounce.cleared_at is None for bounce in bounced()] == [False, True]


def test_all_that_was_given_up_is_sent_again_but_for_voided_invoices(cast: Cast, mailbox: StandIn) -> None:
    void, good = documented(open_invoice(cast.acme)), documented(open_invoice(cast.globex))
    receipt = tell(good, OutboxMail.Kind.RECEIPT, amount="1")
    OutboxMail.objects.using("system").update(status=OutboxMail.Status.FAILED, attempts=10)
    invoicing.void_invoice(
        organization_id=void.organization_id, invoice_id=void.pk, reason="x", now=LATER, actor=cast.operator
    )
    told = {"reason": "The server is back", "now": LATER, "actor": cast.operator}
    assert outbox.send_all_again(kind=OutboxMail.Kind.RECEIPT, **told) == 1
    receipt.refresh_from_db(using="system")
    assert (receipt.status, receipt.attempts) == ("waiting", 0)
    assert (outbox.send_all_again(**told), outbox.send_all_again(**told)) == (1, 0)
    assert (mail_of(good).status, mail_of(void).status) == ("waiting", "failed")
    entries = AuditEntry.objects.using("system").filter(action="mail.sent_again")
    assert {entry.actor_id for entry in entries} == {cast.operator.pk} and len(entries) == 2


def test_a_passing_refusal_is_tried_ever_more_seldom_and_then_left_to_people(
    invoice: Invoice, mailbox: StandIn
) -> None:
    mailbox.order({"fault": "temporary-451", "times": 99})
    now, pauses = LATER, []
    while mail_of(invoice).status == "waiting":
        assert delivery.deliver_waiting(now=now).attempted == 1
        pauses.append(mail_of(invoice).next_attempt_at - now)
        now = mail_of(invoice).next_attempt_at
    assert [pause.total_seconds() / 60 for pause in pauses] == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240]
    assert (mail_of(invoice).status, mail_of(invoice).attempts) == ("failed", delivery.MAX_ATTEMPTS)
    assert now - LATER < timedelta(hours=24)
    assert received(mailbox) == []


def test_a_server_that_hangs_up_after_taking_the_mail_gets_it_again(invoice: Invoice, mailbox: StandIn) -> None:
    mailbox.order("drop-after-data")
    assert delivery.deliver_waiting(now=LATER).put_off == 1
    assert delivery.deliver_waiting(now=LATER + timedelta(minutes=1)).sent == 1
    assert [letter["message_id"] for letter in received(mailbox)] == [mail_of(invoice).message_id] * 2


def test_killed_between_sending_and_marking_it_is_sent_again(
    invoice: Invoice, mailbox: StandIn, process_environment: dict[str, str]
) -> None:
    program = (
        "import django, os, signal; django.setup()\n"
        "from billing.mail import outbox\n"
        "outbox.note_sent = lambda *_args, **_options: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from django.core.management import call_command\n"
        "call_command('deliver_mail')\n"
    )
    environment = process_environment | {"EMAIL_URL": f"smtp://127.0.0.1:{mailbox.started['smtp_port']}"}
    killed = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, env=environment, timeout=240, check=False)
    assert killed.returncode == -9

    mail = mail_of(invoice)
    assert (mail.status, mail.attempts, len(received(mailbox))) == ("waiting", 1, 1)
    lease_ends = mail.next_attempt_at
    assert delivery.deliver_waiting(now=lease_ends - timedelta(seconds=1)).attempted == 0, "somebody may still be at it"
    assert delivery.deliver_waiting(now=lease_ends).sent == 1
    assert [letter["message_id"] for letter in received(mailbox)] == [mail.message_id] * 2


def test_many_who_deliver_at_once_send_each_mail_once(cast: Cast, mailbox: StandIn) -> None:
    invoice = documented(open_invoice(cast.acme))
    documented(open_invoice(cast.globex))
    for number in range(8):
        with tenant_scope([invoice.organization_id]):
            mails.enqueue(
                kind=OutboxMail.Kind.RECEIPT,
                key=f"receipt:{number}",
                organization=cast.acme.organization,
                recipient=f"person{number}@acme.example",
                language="ko",
                invoice=invoice,
                now=AFTER,
            )

    def work() -> None:
        delivery.deliver_waiting(now=LATER)
        connections.close_all()

    workers = [threading.Thread(target=work) for _number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    letters = received(mailbox)
    assert len(letters) == len({letter["message_id"] for letter in letters}) == 10
    assert set(OutboxMail.objects.using("system").values_list("status", "attempts")) == {("sent", 1)}


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c.example", "x@acme.example\r\nBcc: spy@evil.example"])
def test_what_is_no_address_fails_at_once(cast: Cast, mailbox: StandIn, address: str) -> None:
    invoice = documented(open_invoice(cast.acme))
    OutboxMail.objects.using("system").update(recipient=address)
    assert delivery.deliver_waiting(now=LATER).failed == 1
    assert mail_of(invoice).last_error == "The recipient is not an e-mail address."
    assert received(mailbox) == []


def test_a_name_cannot_write_headers_or_paragraphs(cast: Cast, mailbox: StandIn) -> None:
    evil = "Kim\r\nBcc: spy@evil.example\r\n\r\n납부 계좌가 변경되었습니다"
    with tenant_scope([cast.acme.organization.pk]):
        BillingProfile.objects.update_or_create(
            organization=cast.acme.organization, defaults={"contact_name": evil, "contact_email": ACME}
        )
    deliver(mail_of(documented(open_invoice(cast.acme))))
    [letter] = received(mailbox)
    assert letter["to"] == [ACME]
    assert "Bcc" not in dict(letter["headers"])
    assert letter["text"].splitlines()[0] == "안녕하세요, Kim Bcc: spy@evil.example 납부 계좌가 변경되었습니다 님."


def test_a_voided_invoice_is_not_mailed_any_more(invoice: Invoice, mailbox: StandIn) -> None:
    invoicing.void_invoice(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, reason="test", now=LATER, actor=None
    )
    assert deliver(mail_of(invoice)) == "failed"
    assert mail_of(invoice).last_error == "The invoice was voided before this mail went out."
    assert received(mailbox) == []


def test_a_pdf_that_cannot_be_opened_is_an_attempt_that_failed(
    invoice: Invoice, mailbox: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "open_document", lambda *_args, **_options: 1 / 0)
    assert deliver(mail_of(invoice)) == "waiting"
    assert mail_of(invoice).last_error.startswith("ZeroDivisionError")


def test_one_mail_a_key_under_one_message_id(invoice: Invoice) -> None:
    first, second = (tell(invoice, OutboxMail.Kind.RECEIPT) for _time in range(2))
    assert (first.pk, first.message_id) == (second.pk, second.message_id)
    assert first.message_id == f"<{first.pk}@invoicedream.example>"


def test_a_neighbours_mail_is_nobodys(cast: Cast, invoice: Invoice, mailbox: StandIn) -> None:
    mail = mail_of(invoice)
    assert delivery.deliver(organization_id=cast.globex.organization.pk, mail_id=mail.pk, now=LATER) is None
    assert received(mailbox) == []


def test_the_command_says_what_became_of_the_mails(
    cast: Cast, mailbox: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    documented(open_invoice(cast.acme))
    open_invoice(cast.globex)
    call_command("deliver_mail")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "1 sent, 0 will be tried again, 0 failed.",
        "1 wait for their PDF: run `manage.py render_documents`.",
    ]
    call_command("render_documents")
    capsys.readouterr()
    call_command("deliver_mail")
    call_command("deliver_mail")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "1 sent, 0 will be tried again, 0 failed.",
        "0 sent, 0 will be tried again, 0 failed.",
    ]
    assert {tuple(letter["to"]) for letter in received(mailbox)} == {(ACME,), (GLOBEX,)}
