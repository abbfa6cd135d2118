"""Papers of more than invoices: receipts of payments and statements – what they say, where they lie, and whose they are."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import Organization
from accounts.tenancy import tenant_scope
from billing import documents
from billing.bank.bank_transfers import record_transfer
from billing.models import Document, Invoice, OutboxMail, Payment
from billing.papers import document_files
from billing.papers.document_audit import documents_that_differ
from billing.papers.document_texts import won_in_hangul
from billing.papers.typesetting import keywords_of
from tests.billing.collecting import AFTER, meet_the_debtors, open_invoice
from tests.billing.papers import pages, squeezed
from tests.stories import Cast

LATER = AFTER + timedelta(days=1)


@pytest.fixture
def cast(db: None) -> Cast:
    return meet_the_debtors()


def paid(invoice: Invoice, amount: int = 2260, *, key: str = "line-1") -> Payment:
    return record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(amount),
        payer_name="에이크미(주)",
        key=key,
        received_at=LATER,
        actor=None,
        now=LATER,
    )


def speak(cast: Cast, language: str) -> None:
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(language=language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ko", ["영수증", "영수금액", "₩2,260", "결제일", "2026.11.03", "계좌이체", "에이크미(주)", "일금이천이백육십원정",
                "공급가액₩6,600", "부가세(10%)₩660", "청구서합계금액₩7,260", "세금계산서나현금영수증을대신하지않습니다"]),
        ("en", ["Receipt", "Amountreceived", "2026-11-03", "Banktransfer", "₩2,260", "Totaloftheinvoice₩7,260"]),
    ],
)  # fmt: skip
def test_a_receipt_says_what_came_in_and_for_which_invoice(cast: Cast, language: str, words: list[str]) -> None:
    speak(cast, language)
    payment = paid(open_invoice(cast.acme))
    content = documents.open_document(payment, now=LATER)
    [said] = pages(content)
    for word in (*words, "INV-000001", f"R-{payment.pk.hex[:12].upper()}", "220-81-62517"):
        assert squeezed(word) in said
    assert keywords_of(content)[1] == "KRW 2260"
    assert documents.open_document(payment, now=LATER + timedelta(days=9)) == content
    assert documents_that_differ() == []


def test_a_transfer_is_receipted_with_the_day_on_which_the_bank_had_it(cast: Cast) -> None:
    """It may be entered days later; the page of the invoice, the receipt and the mail say one day."""
    invoice = open_invoice(cast.acme)
    payment = record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=invoice.amount_due,
        payer_name="에이크미",
        key="late",
        received_at=LATER - timedelta(days=2),
        actor=None,
        now=LATER,
    )
    [said] = pages(documents.open_document(payment, now=LATER))
    assert f"결제일{LATER - timedelta(days=2):%Y.%m.%d}" in said
    mail = OutboxMail.objects.using("system").get(kind="receipt", invoice=invoice)
    assert mail.context["paid_at"] == (LATER - timedelta(days=2)).isoformat()


def test_every_payment_has_a_receipt_of_its_own(cast: Cast) -> None:
    invoice = open_invoice(cast.acme)
    parts = [paid(invoice, 1000), paid(invoice, 1260, key="line-2")]
    first, second = (pages(documents.open_document(part, now=LATER))[0] for part in parts)
    assert "영수금액₩1,000" in first and "영수금액₩1,260" in second
    rows = Document.objects.using("system").order_by("pk")
    assert [(row.kind, row.payment_id, row.invoice_id) for row in rows] == [
        ("receipt", part.pk, None) for part in parts
    ]
    call_command("audit")


@pytest.mark.parametrize(("language", "title"), [("ko", "거래명세서"), ("en", "Statement")])
def test_a_statement_has_the_figures_of_its_invoice_and_asks_for_nothing(cast: Cast, language: str, title: str) -> None:
    speak(cast, language)
    invoice = open_invoice(cast.acme)
    said = "".join(pages(documents.open_document(invoice, kind=Document.Kind.STATEMENT, now=LATER)))
    for word in (title, "INV-000001", "mistralai/devstral-small", "100,000,000", "₩66/1M", "₩6,600", "₩660", "₩7,260"):
        assert squeezed(word) in said
    assert "한빛은행" not in said and "₩2,260" not in said
    documents.open_document(invoice, now=LATER)
    assert {row.kind: row.path.rpartition("/")[2] for row in Document.objects.using("system").all()} == {
        "statement": "INV-000001-statement.pdf",
        "invoice": "INV-000001.pdf",
    }


def test_papers_come_back_after_their_file_was_lost(cast: Cast) -> None:
    payment = paid(open_invoice(cast.acme))
    good = documents.open_document(payment, now=LATER)
    [row] = Document.objects.using("system").all()
    document_files.absolute(row.path).unlink()
    [fault] = documents_that_differ()
    assert row.path in fault
    call_command("render_documents", "--verify")
    assert document_files.absolute(row.path).read_bytes() == good


def test_an_attempt_without_money_has_no_receipt(cast: Cast) -> None:
    invoice = open_invoice(cast.acme)
    with tenant_scope([invoice.organization_id]):
        payment = Payment.objects.create(
            organization=invoice.organization,
            invoice=invoice,
            processor="stripe",
            amount=Decimal(2260),
            currency="KRW",
            status=Payment.Status.FAILED,
            idempotency_key="x",
            created_at=LATER,
        )
    with pytest.raises(Payment.DoesNotExist):
        documents.open_document(payment, now=LATER)
    assert Client(headers=cast.acme.headers).get(f"/api/v1/payments/{payment.pk}/receipt").status_code == 404


def noted(cast: Cast, **of: object) -> Document:
    organization = cast.acme.organization
    with transaction.atomic(using="system"):
        return Document.objects.using("system").create(
            organization=organization, path="1/x.pdf", sha256="0" * 64, size=1, rendered_at=LATER, **of
        )


def test_one_row_has_one_document_of_a_kind_and_belongs_to_one_tenant(cast: Cast) -> None:
    invoice, foreign = open_invoice(cast.acme), open_invoice(cast.globex)
    payment, theirs = paid(invoice), paid(foreign, key="line-9")
    noted(cast, kind="receipt", payment=payment)
    for wrong in (
        {"kind": "receipt", "payment": payment},
        {"kind": "receipt", "payment": theirs},
        {"kind": "statement", "invoice": foreign},
        {"kind": "receipt", "invoice": invoice},
        {"kind": "invoice", "payment": payment},
        {"kind": "invoice", "invoice": invoice, "payment": payment},
        {"kind": "quotation"},
    ):
        with pytest.raises(IntegrityError):
            noted(cast, **wrong)
    noted(cast, kind="statement", invoice=invoice)


def test_papers_are_downloads_of_the_api(cast: Cast) -> None:
    payment = paid(open_invoice(cast.acme))
    client = Client(headers=cast.acme.headers)
    for address, name in (
        (f"/api/v1/payments/{payment.pk}/receipt", f"R-{payment.pk.hex[:12].upper()}.pdf"),
        (f"/api/v1/invoices/{payment.invoice_id}/statement", "INV-000001-statement.pdf"),
    ):
        answer = client.get(address)
        assert (answer.status_code, answer["Content-Disposition"]) == (200, f'attachment; filename="{name}"')
        assert answer.content.startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "영"), (1, "일"), (10, "일십"), (110, "일백일십"), (10_000, "일만"), (20_005, "이만오"),
        (1_358_023, "일백삼십오만팔천이십삼"), (100_000_000, "일억"), (1_000_020_000, "일십억이만"),
        (999_999_999_999, "구천구백구십구억구천구백구십구만구천구백구십구"),
    ],
)  # fmt: skip
def test_amounts_in_korean_words(amount: int, said: str) -> None:
    assert won_in_hangul(Decimal(amount)) == f"일금 {said}원정"


def test_a_top_up_has_a_receipt_that_stays_as_it_was(cast: Cast) -> None:
    organization = cast.acme.organization
    with tenant_scope([organization.pk]):
        payment = Payment.objects.create(
            organization=organization,
            processor="stripe",
            amount=Decimal(55_000),
            currency="KRW",
            status=Payment.Status.SUCCEEDED,
            idempotency_key="top-up",
            created_at=LATER,
            settled_at=LATER,
        )
    good = documents.open_document(payment, now=LATER)
    [said] = pages(good)
    for word in ("선불크레딧충전₩55,000", "신용카드", "일금오만오천원정", "Acme"):
        assert word in said
    Organization.objects.using("system").filter(pk=organization.pk).update(name="Renamed", language="en")
    [row] = Document.objects.using("system").all()
    document_files.absolute(row.path).unlink()
    assert documents.open_document(payment, now=LATER) == good
