"""The customer reads an invoice down to its requests, downloads it and pays it: through pages, by everybody's rights."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
import time_machine
from pytest_django.fixtures import Settings

from accounts.models import Role
from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.bank.bank_transfers import record_transfer
from billing.corrections.write_offs import write_off_invoice
from billing.models import BouncingAddress, Invoice, Payment
from billing.processors.interface import Answer, ProcessorUnreachable, Status
from billing.sellers import set_seller
from ledger.credits import grant_credit
from ledger.models import BillingPeriod, CreditGrant
from pricing.tokens import TokenUsage
from tests import stories
from tests.dashboard.conftest import Browse, text_of

OCTOBER = stories.NOON - timedelta(days=30)
AFTER = stories.NOON - timedelta(days=20)
LOTS = TokenUsage(input_tokens=100_000_000, output_tokens=0)
"""₩7,260 with VAT, of which the trial credit pays ₩5,000."""


@pytest.fixture
def invoice(cast: stories.Cast) -> Invoice:
    """Acme's for October, ₩2,260 of it unpaid, and overdue at noon: two days to pay."""
    set_seller(now=OCTOBER, payment_days=2, **stories.SELLER)
    return bill(cast.acme)


def bill(company: stories.Company, *, usage: TokenUsage = LOTS) -> Invoice:
    organization = company.organization
    for number in range(30):
        part = TokenUsage(input_tokens=usage.input_tokens // 30, output_tokens=usage.output_tokens)
        stories.use(organization, at=OCTOBER + timedelta(hours=number), api_key_id=company.key.pk, usage=part)
    rest = TokenUsage(input_tokens=usage.input_tokens - usage.input_tokens // 30 * 30, output_tokens=0)
    stories.use(organization, at=OCTOBER, usage=rest)
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.get(starts_at__lte=OCTOBER, ends_at__gt=OCTOBER)
    found = invoicing.close_period(organization_id=organization.pk, period_id=period.pk, now=AFTER)
    assert found is not None
    return found


def path(invoice: Invoice, rest: str = "") -> str:
    return f"/o/acme/invoices/{invoice.pk}{rest}"


class Stripe:
    """The processor's answers, as a test orders them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_pages", "http://127.0.0.1:9"
        self.status, self.failure, self.calls = Status.REQUIRES_ACTION, "", 0
        name = "billing.processors.stripe_processor.StripeProcessor"
        monkeypatch.setattr(f"{name}.start_payment", lambda _self, attempt: self.answer())
        monkeypatch.setattr(f"{name}.look_up", lambda _self, attempt: self.answer())

    def answer(self) -> Answer:
        self.calls += 1
        if self.status == Status.FAILED:
            return Answer(status=Status.FAILED, reference="cs_1", failure="expired")
        if self.status == Status.SUCCEEDED:
            return Answer(status=Status.SUCCEEDED, reference="cs_1", amount=Decimal(2260), currency="KRW")
        return Answer(
            status=Status.REQUIRES_ACTION,
            reference="cs_1",
            action_url="https://pay.example/cs_1",
            failure=self.failure,
        )


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Stripe:
    return Stripe(monkeypatch, settings)


def test_the_list(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    page = text_of(browse(cast.acme.owner).get("/o/acme/invoices"))
    assert "October 2026 INV-000001 2026-11-02 2026-11-04 ₩7,260 ₩2,260 Overdue PDF" in page
    assert "November 2026 running 2026-11-01 – 2026-11-30" in page
    korean = text_of(browse(cast.acme.owner, language="ko").get("/o/acme/invoices"))
    assert "2026년 10월 INV-000001 2026.11.02 2026.11.04 ₩7,260 ₩2,260" in korean
    assert "No invoice yet" in text_of(browse(cast.globex.owner).get("/o/globex/invoices"))


def test_what_is_not_invoiced_is_the_sum_of_what_invoices_will_say(cast: stories.Cast, browse: Browse) -> None:
    """Each of two months is ₩0.6, so its invoice says ₩1; together they are ₩2 and not ₩1.32, on every page."""
    for at in (OCTOBER, stories.NOON):
        stories.use(cast.acme.organization, at=at, usage=TokenUsage(input_tokens=9091, output_tokens=0))
    client = browse(cast.acme.owner)
    page = text_of(client.get("/o/acme/invoices"))
    assert page.count("Supply value ₩1 VAT (10%) ₩0 Total ₩1") == 2
    assert "Credit ₩5,000 Used, not invoiced (estimate) − ₩2 Held for running calls − ₩0 Available ₩4,998" in page
    assert "Available to spend ₩4,998" in text_of(client.get("/o/acme/"))


def test_the_page_says_what_the_invoice_says(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    page = text_of(browse(cast.acme.owner).get(path(invoice)))
    assert "Supply value ₩6,600 VAT (10%) ₩660 Total ₩7,260 Credit used − ₩5,000 Amount due ₩2,260" in page
    assert "주식회사 인보이스랩" in page and "220-81-62517" in page and "owner@acme.example" in page
    assert "Exchange rate 1 USD = ₩1,500 example rate, 2026-09-30" in page
    assert "한빛은행" in page and "123-456-789012" in page
    assert "Devstral Small mistralai/devstral-small ₩6,600 Input tokens 100,000,000 × ₩66 / 1M ₩6,600" in page
    assert "100,000,000 Input tokens $0.040 / 1M upstream cost (1 + 10%) markup ₩1,500 exchange rate ₩6,600" in page


def test_a_line_opens_to_its_requests_page_by_page(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner)
    first = client.get(path(invoice, "/lines/1"), headers={"HX-Request": "true"})
    assert first.content.decode().lstrip().startswith('<div class="line-requests"'), "the part, not the page"
    older = first.context["older_url"]
    second = client.get(path(invoice, f"/lines/1{older}"))
    shares = [row.share for answer in (first, second) for row in answer.context["shares"]]
    assert sum(share.amount for share in shares) == 6600
    assert len({share.event.id for share in shares}) == 31
    assert second.context["newest_url"] and not second.context["older_url"]
    receipt = f"/o/acme/requests/{shares[0].event.id}"
    assert receipt in first.content.decode()
    assert client.get(receipt).status_code == 200
    assert client.get(path(invoice, "/lines/2")).status_code == 404


def test_two_prices_of_a_model_say_why_they_are_two(cast: stories.Cast, browse: Browse) -> None:
    """Long prompts cost more: on the invoice, on the line's own page, in the running month, on the receipt."""
    dearer = {"min_prompt_tokens": 200_000, "prompt": "0.000002", "completion": "0.000006"}
    price = {"prompt": "0.000001", "completion": "0.000004", "overrides": [dearer]}
    stories.make_model("acme-labs/long", now=stories.NOON, pricing=price)
    set_seller(now=OCTOBER, **stories.SELLER)
    organization = cast.acme.organization
    for prompt, earlier in ((200_000, timedelta(hours=1)), (200_001, timedelta())):
        usage = TokenUsage(input_tokens=prompt, output_tokens=1000)
        for at in (OCTOBER, stories.NOON):
            stories.use(organization, at=at - earlier, model="acme-labs/long", usage=usage)
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.get(starts_at__lte=OCTOBER, ends_at__gt=OCTOBER)
    invoice = invoicing.close_period(organization_id=organization.pk, period_id=period.pk, now=AFTER)
    assert invoice is not None
    for language, short, long in (
        ("ko", "프롬프트 200,000 토큰 이하", "프롬프트 200,000 토큰 초과"),
        ("en", "prompts up to 200,000 tokens", "prompts over 200,000 tokens"),
    ):
        client = browse(cast.acme.owner, language=language)
        assert short in text_of(client.get(path(invoice, "/lines/1")))
        assert long in text_of(client.get(path(invoice, "/lines/3")))
        for address in (path(invoice), "/o/acme/invoices"):
            page = text_of(client.get(address))
            assert page.count(short) == page.count(long) == 2, "on the line of each class"
        newest = client.get("/o/acme/requests").context["rows"][0].event
        assert long in text_of(client.get(f"/o/acme/requests/{newest.id}"))


def test_the_pdf_is_a_download(
    invoice: Invoice, cast: stories.Cast, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browse(cast.acme.owner)
    answer = client.get(path(invoice, "/pdf"))
    assert answer["Content-Disposition"] == 'attachment; filename="INV-000001.pdf"'
    assert answer.content.startswith(b"%PDF-")

    def fail(*_words: object, **_more: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr("billing.documents.open_document", fail)
    answer = client.get(path(invoice, "/pdf"), follow=True)
    assert "The PDF cannot be made at the moment" in text_of(answer)


def test_pay_on_the_processors_page_and_come_back(
    invoice: Invoice, cast: stories.Cast, browse: Browse, stripe: Stripe, clock: time_machine.Traveller
) -> None:
    client = browse(cast.acme.owner)
    answer = client.post(path(invoice, "/pay"))
    assert (answer.status_code, answer["Location"]) == (302, "https://pay.example/cs_1")
    again = client.post(path(invoice, "/pay"), headers={"HX-Request": "true"})
    assert again["HX-Redirect"] == "https://pay.example/cs_1", "the same page, by script"
    assert stripe.calls == 1

    left = text_of(client.get(path(invoice, "?payment=canceled")))
    assert "You left the payment page" in left and "Continue to payment" in left

    waiting = client.get(path(invoice, "?payment=done"))
    assert "Your payment is being confirmed" in text_of(waiting)
    poll = path(invoice, f"/payment?state={waiting.context['state']}")
    clock.shift(timedelta(seconds=5))
    assert client.get(poll, headers={"HX-Request": "true"}).status_code == 204
    stripe.status = Status.SUCCEEDED
    assert client.get(poll, headers={"HX-Request": "true"}).status_code == 204, "asked a moment ago"
    clock.shift(timedelta(seconds=5))
    assert client.get(poll, headers={"HX-Request": "true"})["HX-Refresh"] == "true"

    paid = text_of(client.get(path(invoice, "?payment=done")))
    assert "Paid. Thank you. A receipt is on its way to owner@acme.example." in paid
    assert "₩2,260 received on November 22, 2026." in paid
    assert "Card Paid ₩2,260" in paid
    over = client.post(path(invoice, "/pay"), follow=True)
    assert "There is nothing to pay any more." in text_of(over)


def test_a_payment_that_fails_says_what_to_do(
    invoice: Invoice, cast: stories.Cast, browse: Browse, stripe: Stripe
) -> None:
    client = browse(cast.acme.owner)
    stripe.status = Status.FAILED
    page = text_of(client.post(path(invoice, "/pay"), follow=True))
    assert "The payment service did not accept this payment." in page
    assert "The payment did not go through" in text_of(client.get(path(invoice, "?payment=done")))


def test_a_declined_card_is_not_called_a_customer_who_is_waited_for(
    invoice: Invoice, cast: stories.Cast, browse: Browse, stripe: Stripe, clock: time_machine.Traveller
) -> None:
    client = browse(cast.acme.owner)
    client.post(path(invoice, "/pay"))
    assert "Waiting for the customer" in text_of(client.get(path(invoice)))
    stripe.failure = "generic_decline"
    clock.shift(timedelta(seconds=5))
    client.get(path(invoice, "/payment"), headers={"HX-Request": "true"})
    back = text_of(client.get(path(invoice, "?payment=canceled")))
    assert "The payment did not go through" in back and "Continue to payment" in back
    assert "Declined The card was declined." in back and "Waiting for the customer" not in back


def test_a_processor_that_does_not_answer_is_waited_for(
    invoice: Invoice, cast: stories.Cast, browse: Browse, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_words: object) -> Answer:
        raise ProcessorUnreachable("no answer")

    monkeypatch.setattr("billing.processors.stripe_processor.StripeProcessor.start_payment", silent)
    client = browse(cast.acme.owner)
    answer = client.post(path(invoice, "/pay"))
    assert urlsplit(answer["Location"]).query == "payment=done"
    assert "Your payment is being confirmed" in text_of(client.get(answer["Location"]))
    with tenant_scope([invoice.organization_id]):
        assert Payment.objects.get().status == Payment.Status.UNKNOWN


def test_without_a_card_processor_one_transfers(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner)
    page = text_of(client.get(path(invoice)))
    assert "Pay by card" not in page and "Please state the invoice number with your transfer." in page
    told = client.post(path(invoice, "/pay"), follow=True)
    assert "This invoice cannot be paid by card." in text_of(told)


def test_a_transfer_of_a_part_leaves_the_rest(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(2000),
        payer_name="Acme",
        key="1",
        received_at=stories.NOON,
        actor=None,
        now=stories.NOON,
    )
    client = browse(cast.acme.owner)
    page = text_of(client.get(path(invoice)))
    assert "Paid so far − ₩2,000 Amount due ₩260" in page
    assert "Bank transfer Acme Paid ₩2,000" in page
    assert "₩7,260 ₩260 Overdue" in text_of(client.get("/o/acme/invoices"))
    assert f"Still to be paid: ₩260, invoice {invoice.number} first." in text_of(client.get("/o/acme/"))


def test_what_was_written_off_is_told_apart_from_what_was_paid(
    invoice: Invoice, cast: stories.Cast, browse: Browse
) -> None:
    organization = cast.acme.organization.pk
    record_transfer(
        organization_id=organization,
        invoice_id=invoice.pk,
        amount=Decimal(1000),
        payer_name="x",
        key="1",
        received_at=stories.NOON,
        actor=None,
        now=stories.NOON,
    )
    write_off_invoice(organization_id=organization, invoice_id=invoice.pk, reason="x", now=stories.NOON, actor=None)
    shown = text_of(browse(cast.acme.owner).get(f"/o/acme/invoices/{invoice.pk}"))
    rest = f"{invoice.amount_due - 1000:,.0f}"
    assert "Paid so far − ₩1,000" in shown and f"Uncollectible − ₩{rest}" in shown and "Amount due ₩0" in shown


def test_a_paid_invoice_has_nothing_due(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(2260),
        payer_name="Acme",
        key="1",
        received_at=stories.NOON,
        actor=None,
        now=stories.NOON,
    )
    client = browse(cast.acme.owner)
    assert "Credit used − ₩5,000 Paid − ₩2,260 Amount due ₩0" in text_of(client.get(path(invoice)))
    assert "₩7,260 ₩0 Paid" in text_of(client.get("/o/acme/invoices"))


def test_a_void_invoice_says_so(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    invoicing.void_invoice(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        reason="wrong name",
        now=stories.NOON,
        actor=cast.operator,
    )
    client = browse(cast.acme.owner)
    page = text_of(client.get(path(invoice)))
    assert "This invoice is void" in page and "wrong name" in page and "Pay by card" not in page
    assert "Void − ₩2,260 Amount due ₩0" in page
    assert "₩7,260 ₩0 Void" in text_of(client.get("/o/acme/invoices"))


def test_who_may_pay(invoice: Invoice, cast: stories.Cast, browse: Browse, stripe: Stripe) -> None:
    for role, allowed in ((Role.BILLING, True), (Role.DEVELOPER, False), (Role.VIEWER, False)):
        client = browse(stories.make_member(cast.acme.organization, role, now=stories.NOON))
        assert ("Pay by card" in text_of(client.get(path(invoice)))) is allowed, role
        if not allowed:
            assert client.post(path(invoice, "/pay")).status_code == 403
    stranger = browse(cast.globex.owner)
    for rest in ("", "/pdf", "/lines/1", "/payment"):
        assert stranger.get(path(invoice, rest)).status_code == 404
        assert stranger.get(path(invoice, rest).replace("acme", "globex")).status_code == 404
    assert stranger.post(path(invoice, "/pay").replace("acme", "globex")).status_code == 404


def test_the_overview_reminds_of_it(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    page = text_of(browse(cast.acme.owner).get("/o/acme/"))
    assert f"An invoice is overdue Still to be paid: ₩2,260, invoice {invoice.number} first." in page
    assert page.count("View and pay the invoice") == 1, "said once"


def test_what_is_not_due_yet_is_said_quietly(cast: stories.Cast, browse: Browse) -> None:
    set_seller(now=OCTOBER, payment_days=30, **stories.SELLER)
    bill(cast.acme)
    page = text_of(browse(cast.acme.owner).get("/o/acme/"))
    assert "Invoice for October 2026: ₩2,260, due on December 2, 2026. Open the invoice" in page


def test_each_credit_shows_what_is_left_of_it_and_until_when(
    cast: stories.Cast, browse: Browse, invoice: Invoice
) -> None:
    grant_credit(
        organization=cast.acme.organization,
        amount=Decimal(900),
        currency="KRW",
        kind=CreditGrant.Kind.PAID,
        reason="Top-up",
        key="top-up",
        now=stories.NOON,
        expires_at=stories.NOON + timedelta(minutes=30),
    )
    grant_credit(
        organization=cast.acme.organization,
        amount=Decimal(70),
        currency="KRW",
        kind=CreditGrant.Kind.PROMOTIONAL,
        reason="Until the end of the year",
        key="year",
        now=stories.NOON,
        expires_at=datetime(2026, 12, 31, 15, tzinfo=UTC),
    )
    page = text_of(browse(cast.acme.owner, language="en").get("/o/acme/invoices"))
    assert "until 2026-11-22" in page and "₩900 of ₩900" in page
    assert "₩0 of ₩5,000" in page and "until 2026-12-31" in page
    with time_machine.travel(stories.NOON + timedelta(hours=1), tick=False):
        page = text_of(browse(cast.acme.owner, language="en").get("/o/acme/invoices"))
    assert "expired on 2026-11-22" in page and "₩0 of ₩900" in page


def test_an_address_that_comes_back_is_said_where_it_can_be_corrected(
    invoice: Invoice, cast: stories.Cast, browse: Browse
) -> None:
    client, pages = browse(cast.acme.owner), ("/o/acme/invoices", "/o/acme/settings/billing")
    for page in pages:
        assert "comes back" not in text_of(client.get(page))
    BouncingAddress.objects.using("system").create(
        organization=cast.acme.organization, address=cast.acme.owner.email, reason="550", bounced_at=AFTER
    )
    for page in pages:
        assert f"Mail to {cast.acme.owner.email} comes back" in text_of(client.get(page))
    BouncingAddress.objects.using("system").update(cleared_at=AFTER)
    assert "comes back" not in text_of(client.get(pages[0]))


def test_statements_and_receipts_are_downloads(invoice: Invoice, cast: stories.Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner)
    payment = record_transfer(
        organization_id=invoice.organization_id,
        invoice_id=invoice.pk,
        amount=Decimal(1000),
        payer_name="Acme",
        key="part",
        received_at=AFTER,
        actor=None,
        now=AFTER,
    )
    address = f"/o/acme/payments/{payment.pk}/receipt"
    assert address in client.get(path(invoice)).content.decode()
    assert client.get(address).content.startswith(b"%PDF-")
    statement = client.get(path(invoice, "/statement"))
    assert statement["Content-Disposition"] == 'attachment; filename="INV-000001-statement.pdf"'
    assert "The evidence file is being written" in text_of(client.get(path(invoice, "/evidence"), follow=True))
