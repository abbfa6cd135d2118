"""One customer each, from the usage to the end: what they were let do, what they were sent, what paper, API and books say of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.bank.bank_transfers import record_transfer
from billing.corrections.credit_notes import issue_credit_note
from billing.corrections.creditable import MoneyBack
from billing.corrections.refunds import record_refund
from billing.models import Invoice, Notice, Payment
from billing.notifications.notices import set_low_credit
from billing.notifications.noticing import notice_all
from billing.sellers import set_seller
from billing.tax import tax_invoice_run
from billing.tax.tax_treatments import set_treatment
from ledger import credit_expiry
from ledger.credits import grant_credit
from ledger.models import CreditGrant
from tests import stories
from tests.billing.conftest import popbill, tax_office
from tests.billing.papers import squeezed
from tests.billing.tax_papers import DETAILS
from tests.sandbox.processes import StandIn
from tests.scenarios.bookkeeping import Story, audited, october
from tests.stories import SELLER

__all__ = ["popbill", "tax_office"]
AFTER = datetime(2026, 11, 2, 1, tzinfo=UTC)
PAID, PROMOTIONAL = CreditGrant.Kind.PAID, CreditGrant.Kind.PROMOTIONAL


@pytest.fixture(autouse=True)
def post(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    """In October, with a seller; nobody is told of low credit who did not ask for it."""
    found = stories.meet_the_cast(now=october(1))
    set_seller(now=october(1) - timedelta(days=30), **SELLER)
    yield found


@pytest.fixture
def acme(cast: stories.Cast) -> Story:
    """Has the trial credit of ₩5,000."""
    return Story(cast.acme)


def give(story: Story, won: int, *, at: datetime, kind: str = PAID, **more: Any) -> None:
    grant_credit(
        organization=story.company.organization, amount=Decimal(won), currency="KRW", kind=kind,
        reason="credit", key=f"{kind}-{at:%d}", now=at, **more,
    )  # fmt: skip


def pay(story: Story, invoice: Invoice, amount: int | str, *, key: str, at: datetime) -> Payment:
    return record_transfer(
        organization_id=story.id, invoice_id=invoice.pk, amount=Decimal(amount), payer_name="에이크미",
        key=key, received_at=at, actor=None, now=at,
    )  # fmt: skip


def test_prepaid_runs_out_and_is_bought_again(acme: Story) -> None:
    """₩5,000: told below ₩1,000, refused when a call might cost more than is left, served again after a top-up, nothing due."""
    set_low_credit(organization=acme.company.organization, amount=Decimal(1000), actor=None, now=october(1))
    acme.uses(3630, at=october(10))
    assert not notice_all(now=october(10))
    acme.uses(726, at=october(11))
    [notice] = notice_all(now=october(11))
    assert notice.kind == Notice.Kind.CREDIT_LOW
    [letter] = acme.letters(now=october(11))
    assert "₩644" in letter
    assert acme.may_call(644, at=october(12)) and not acme.may_call(645, at=october(12))

    give(acme, 2000, at=october(13))
    assert acme.may_call(2644, at=october(13)) and not acme.may_call(2645, at=october(13))
    acme.uses(726, at=october(20))
    invoice = acme.invoiced(now=AFTER)
    assert (invoice.total, invoice.credit_applied, invoice.amount_due, invoice.status) == (5082, 5082, 0, "paid")
    said = acme.paper(invoice, now=AFTER)
    assert "−₩5,082" in said and squeezed("납부하실 금액이 없습니다") in said
    [letter] = acme.letters(now=AFTER)
    assert f"{invoice.number}.pdf" in letter and "₩5,082" in letter
    assert acme.asks("balance")["prepaid"]["amount"] == "1918"
    assert acme.booked()["prepaid"] == -1918 and "receivable" not in acme.booked()
    audited()


def test_credit_that_expires_pays_for_what_was_used_in_time(cast: stories.Cast) -> None:
    """₩3,000 until the fifteenth: ₩2,178 are used before, ₩2,904 after; the ₩822 that nobody used are gone."""
    story = Story(stories.make_company("initech", now=october(1), trial_credit=Decimal(0), credit_line=Decimal(10_000)))
    give(story, 3000, at=october(2), kind=PROMOTIONAL, expires_at=october(15))
    story.uses(2178, at=october(14))
    assert story.may_call(10_822, at=october(15) - timedelta(microseconds=1))
    assert credit_expiry.expire_due(now=october(15)) == 1
    assert story.booked()["promotion"] == 2178, "a promotion that nobody used was none"
    assert not story.may_call(10_001, at=october(15)) and story.may_call(10_000, at=october(15))
    story.uses(2904, at=october(20))
    invoice = story.invoiced(now=AFTER)
    assert (invoice.total, invoice.credit_applied, invoice.amount_due) == (5082, 2178, 2904)
    said = story.paper(invoice, now=AFTER)
    assert "−₩2,178" in said and "₩2,904" in said
    [letter] = story.letters(now=AFTER)
    assert "₩2,904" in letter
    pay(story, invoice, 2904, key="line-1", at=AFTER + timedelta(days=3))
    assert story.asks("balance")["prepaid"]["amount"] == "0"
    assert story.asks(f"invoices/{invoice.pk}")["status"] == "paid"
    audited()


def test_a_void_invoice_is_issued_anew_and_keeps_what_was_paid(acme: Story) -> None:
    """It named the wrong buyer, and ₩1,000 of its ₩2,260 had come in."""
    acme.uses(7260, at=october(20))
    first = acme.invoiced(now=AFTER)
    pay(acme, first, 1000, key="line-1", at=AFTER + timedelta(days=1))
    corrected = AFTER + timedelta(days=2)
    update_profile(
        organization=acme.company.organization, changes={"legal_name": "에이크미 주식회사"}, actor=None, now=corrected
    )
    who = {"organization_id": acme.id, "actor": None, "now": corrected}
    invoicing.void_invoice(**who, invoice_id=first.pk, reason="wrong buyer")
    second = invoicing.reissue_invoice(**who, period_id=first.period_id)
    assert (second.number, second.total, second.credit_applied, second.amount_due) == ("INV-000002", 7260, 6000, 1260)
    assert "에이크미주식회사" in acme.paper(second, now=corrected)
    assert "에이크미주식회사" not in acme.paper(first, now=corrected), "what was issued stays as it was"
    letters = [letter for letter in acme.letters(now=corrected) if ".pdf" in letter and "INV-" in letter]
    assert any("INV-000002.pdf" in letter and "₩1,260" in letter for letter in letters)
    assert not any("INV-000001.pdf" in letter for letter in letters), "nobody is asked to pay it any more"
    pay(acme, second, 1260, key="line-2", at=corrected + timedelta(days=1))
    listed = {one["number"]: one["status"] for one in acme.asks("invoices")["data"]}
    assert listed == {"INV-000001": "void", "INV-000002": "paid"}
    assert not {"receivable", "unbilled", "withdrawn"} & acme.booked().keys()
    with tenant_scope([acme.id]):
        told = AuditEntry.objects.get(action="invoice.voided")
    assert (told.target, told.detail["reason"]) == ("INV-000001", "wrong buyer")
    audited()


def test_a_credit_note_after_the_tax_invoice_changes_what_the_tax_office_has(acme: Story, popbill: StandIn) -> None:
    organization = acme.company.organization
    update_profile(organization=organization, changes=DETAILS, actor=None, now=october(2))
    acme.uses(7260, at=october(20))
    invoice = acme.invoiced(now=AFTER)
    tax_invoice_run.run(now=AFTER + timedelta(hours=1))
    [_sheet] = popbill.get("/sandbox/book")["sheets"]
    noted = AFTER + timedelta(days=4)
    note = issue_credit_note(
        organization_id=acme.id, invoice_id=invoice.pk, amounts={1: Decimal(1000)}, money_back=MoneyBack.CREDIT,
        reason_code="02", reason="Agreed by phone", actor=None, now=noted,
    )  # fmt: skip
    tax_invoice_run.run(now=noted + timedelta(hours=1))
    sheets = popbill.get("/sandbox/book")["sheets"]
    assert len(sheets) == 2
    supplied = [int(one["sheet"]["supplyCostTotal"]) for one in sheets]
    assert sum(supplied) == invoice.subtotal - note.subtotal == 5600
    said = acme.paper(note, now=noted)
    assert note.number in said and invoice.number in said and "₩1,100" in said
    assert any(f"{note.number}.pdf" in letter for letter in acme.letters(now=noted))
    shown = acme.asks(f"invoices/{invoice.pk}")
    assert (shown["amount_outstanding"], shown["proof"]) == ("1160", "tax_invoice")
    pay(acme, invoice, 1160, key="line-1", at=noted)
    assert acme.asks(f"invoices/{invoice.pk}")["status"] == "paid"
    audited()


def test_an_overseas_customer_is_billed_in_dollars_without_tax(cast: stories.Cast) -> None:
    company = stories.make_company("initech", now=october(1), currency="USD", zone="America/New_York", language="en",
                                   credit_line=Decimal(100))  # fmt: skip
    story = Story(company)
    set_treatment(organization=company.organization, treatment="zero_rated", evidence="contract, FIRC",
                  reason="overseas", actor=None, now=october(2))  # fmt: skip
    stories.use(company.organization, at=datetime(2026, 11, 1, 3, 59, tzinfo=UTC),
                usage=stories.TokenUsage(input_tokens=1_000_000_000))  # fmt: skip
    invoice = story.invoiced(now=AFTER)
    assert (invoice.currency, invoice.subtotal, invoice.tax, invoice.total) == ("USD", 44, 0, 44)
    said = story.paper(invoice, now=AFTER)
    for words in ("2026-10-01 – 2026-10-31 (America/New_York)", "$44.00", "VAT (zero-rated)"):
        assert squeezed(words) in said, (words, said)
    assert "₩" not in said and "Exchange" not in said, "nothing of it was ever in won"
    [letter] = story.letters(now=AFTER)
    assert "$44.00" in letter and "₩" not in letter
    pay(story, invoice, "44.00", key="wire-1", at=AFTER + timedelta(days=5))
    [receipt] = story.letters(now=AFTER + timedelta(days=5))
    assert "$44.00" in receipt
    assert story.asks(f"invoices/{invoice.pk}")["status"] == "paid"
    assert "tax_payable" not in story.booked()
    audited()


def test_a_transfer_of_a_part_leaves_the_rest_and_then_nothing(acme: Story) -> None:
    acme.uses(7260, at=october(20))
    invoice = acme.invoiced(now=AFTER)
    acme.letters(now=AFTER)
    first, second = AFTER + timedelta(days=2), AFTER + timedelta(days=9)
    part = pay(acme, invoice, 2000, key="line-1", at=first)
    [letter] = acme.letters(now=first)
    assert "₩2,000" in letter and "₩260" in letter
    assert "₩2,000" in acme.paper(part, now=first)
    shown = acme.asks(f"invoices/{invoice.pk}")
    assert (shown["status"], shown["amount_due"], shown["amount_outstanding"]) == ("open", "2260", "260")
    pay(acme, invoice, 260, key="line-2", at=second)
    [letter] = acme.letters(now=second)
    assert "₩260" in letter
    shown = acme.asks(f"invoices/{invoice.pk}")
    assert (shown["status"], shown["amount_outstanding"]) == ("paid", "0")
    assert "receivable" not in acme.booked() and acme.booked()["bank"] == 2260
    audited()


def test_a_refund_sends_back_what_a_note_set_aside(acme: Story) -> None:
    acme.uses(7260, at=october(20))
    invoice = acme.invoiced(now=AFTER)
    payment = pay(acme, invoice, 2260, key="line-1", at=AFTER)
    later = AFTER + timedelta(days=10)
    note = issue_credit_note(
        organization_id=acme.id, invoice_id=invoice.pk, amounts={1: Decimal(1000)}, money_back=MoneyBack.REFUND,
        reason_code="02", reason="Agreed by phone", actor=None, now=later,
    )  # fmt: skip
    assert acme.booked()["refundable"] == -1100
    acme.letters(now=later)
    record_refund(
        organization_id=acme.id, origin_id=note.pk, payment_id=payment.pk, amount=Decimal(1100),
        sent_on=later.date(), reference="out-1", now=later, actor=None,
    )  # fmt: skip
    [letter] = acme.letters(now=later)
    assert "₩1,100" in letter
    [told] = acme.asks(f"credit_notes/{note.pk}")["refunds"]
    assert (told["amount"], told["status"]) == ("1100", "succeeded")
    books = acme.booked()
    assert books["bank"] == 1160 and not {"refundable", "receivable"} & books.keys()
    assert "₩1,100" in acme.paper(note, now=later)
    audited()
