"""Which movement posts what (the table of ledger/README.md): invoices, payments, overpayments, voids, totals below zero."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command

from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.bank.bank_transfers import record_transfer
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.models import Balance, BillingPeriod, CreditGrant, LedgerEntry, LedgerTransaction
from ledger.settling import CreditSpent
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import SELLER, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 2, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 2, tzinfo=UTC)
LOTS = TokenUsage(input_tokens=100_000_007, output_tokens=0)
"""₩6,600.000462, which is ₩7,260 with VAT; the trial credit pays ₩5,000 of it."""
EXACT = Decimal("6600.000462")


@pytest.fixture
def acme(db: None) -> stories.Company:
    cast = stories.meet_the_cast(now=OCTOBER - timedelta(days=5))
    set_seller(now=OCTOBER - timedelta(days=30), **SELLER)
    use(cast.acme.organization, at=OCTOBER, usage=LOTS)
    return cast.acme


def close(company: stories.Company, at: datetime, *, now: datetime) -> Invoice:
    with tenant_scope([company.organization.pk]):
        period = BillingPeriod.objects.get(starts_at__lte=at, ends_at__gt=at)
    invoice = invoicing.close_period(organization_id=company.organization.pk, period_id=period.pk, now=now)
    assert invoice is not None
    return invoice


def void(invoice: Invoice, *, now: datetime) -> None:
    invoicing.void_invoice(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, reason="test", now=now, actor=None
    )


def reissue(invoice: Invoice, *, now: datetime) -> Invoice:
    return invoicing.reissue_invoice(
        organization_id=invoice.organization_id, period_id=invoice.period_id, now=now, actor=None
    )


def pay(invoice: Invoice, amount: int, *, key: str) -> None:
    record_transfer(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, amount=Decimal(amount), payer_name="Acme",
        key=key, received_at=NOVEMBER, actor=None, now=NOVEMBER,
    )  # fmt: skip


def last(company: stories.Company, kind: str) -> dict[str, Decimal]:
    """The accounts of the newest transaction of a kind."""
    with tenant_scope([company.organization.pk]):
        posted = LedgerTransaction.objects.filter(kind=kind).order_by("-id")[0]
        return dict(LedgerEntry.objects.filter(transaction_id=posted.id).values_list("account", "amount"))


def balance(company: stories.Company) -> Balance:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get()


def test_an_invoice_and_its_credit(acme: stories.Company) -> None:
    close(acme, OCTOBER, now=NOVEMBER)
    rounding = EXACT - 6600
    assert last(acme, "invoice") == {
        "unbilled": -EXACT, "receivable": 7260, "tax_payable": -660, "rounding": rounding,
    }  # fmt: skip
    assert last(acme, "credit_applied") == {"prepaid": 5000, "receivable": -5000}


def test_a_payment_and_what_it_was_too_much(acme: stories.Company) -> None:
    invoice = close(acme, OCTOBER, now=NOVEMBER)
    pay(invoice, 3000, key="one")
    assert last(acme, "payment") == {"bank": 3000, "receivable": -3000}
    assert last(acme, "credit_granted") == {"receivable": 740, "prepaid": -740}
    assert (balance(acme).receivable, balance(acme).prepaid) == (0, 740)
    call_command("audit")


def test_a_void_invoice_leaves_its_usage_withdrawn_until_it_is_issued_anew(acme: stories.Company) -> None:
    invoice = close(acme, OCTOBER, now=NOVEMBER)
    pay(invoice, 1000, key="one")
    claimed = last(acme, "invoice")
    void(invoice, now=NOVEMBER)
    back = {account: -amount for account, amount in claimed.items()}
    assert last(acme, "void") == {"withdrawn": back.pop("unbilled")} | back
    assert last(acme, "credit_returned") == {"receivable": 5000, "prepaid": -5000}
    assert (balance(acme).receivable, balance(acme).prepaid) == (0, 6000)
    reissue(invoice, now=NOVEMBER + timedelta(hours=1))
    assert last(acme, "invoice")["withdrawn"] == -EXACT
    assert (balance(acme).receivable, balance(acme).unbilled) == (1260, 0)
    call_command("audit")


def test_a_total_below_zero_is_credit_and_receivable_ends_as_it_was(acme: stories.Company) -> None:
    first = close(acme, OCTOBER, now=NOVEMBER)
    stories.correct_usage(acme.organization, now=NOVEMBER, recharge=False)
    invoice = close(acme, NOVEMBER, now=DECEMBER)
    assert (invoice.total, invoice.credit_applied, invoice.amount_due) == (-7260, -7260, 0)
    assert invoice.status == Invoice.Status.PAID
    assert last(acme, "invoice")["receivable"] == -7260
    assert last(acme, "credit_granted") == {"receivable": 7260, "prepaid": -7260}
    assert (balance(acme).receivable, balance(acme).prepaid) == (first.amount_due, 7260)
    with tenant_scope([acme.organization.pk]):
        grant = CreditGrant.objects.get(key=f"invoice:{invoice.pk}")
    assert (grant.kind, grant.expires_at) == ("paid", None)
    call_command("audit")


def test_an_invoice_that_gave_credit_is_void_only_while_that_is_untouched(acme: stories.Company) -> None:
    close(acme, OCTOBER, now=NOVEMBER)
    stories.correct_usage(acme.organization, now=NOVEMBER, recharge=False)
    invoice = close(acme, NOVEMBER, now=DECEMBER)
    void(invoice, now=DECEMBER)
    assert (balance(acme).receivable, balance(acme).prepaid) == (2260, 0)
    call_command("audit")

    again = reissue(invoice, now=DECEMBER)
    assert (again.credit_applied, balance(acme).prepaid) == (-7260, 7260)
    stories.publish_exchange_rate(
        rate=stories.EXCHANGE_RATE, published_on=NOVEMBER.date() + timedelta(days=28), source="demo", now=DECEMBER
    )
    stories.forget_what_processes_remember()
    use(acme.organization, at=DECEMBER, usage=LOTS)
    close(acme, DECEMBER, now=DECEMBER + timedelta(days=31))
    with pytest.raises(CreditSpent):
        void(again, now=DECEMBER + timedelta(days=31))
    call_command("audit")
