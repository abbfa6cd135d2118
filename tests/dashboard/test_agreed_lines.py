"""Customers read what was agreed – a discount, a minimum fee, their PO number – on what a month would cost and on its invoice."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.models import BillingProfile
from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.models import Invoice, InvoiceDraft
from billing.sellers import set_seller
from billing.terms import set_terms
from ledger.models import BillingPeriod
from pricing.tokens import TokenUsage
from tests import stories
from tests.dashboard.conftest import Browse, text_of

OCTOBER = stories.NOON - timedelta(days=30)
AFTER = stories.NOON - timedelta(days=20)
ALL_AGREED = {
    "en": ("As agreed", "Discount", "−₩825", "-6600 × 0.125", "Minimum fee", "₩4,225", "10000 − 5775", "₩11,000"),
    "ko": ("약정", "할인", "−₩825", "-6600 × 0.125", "최소 요금", "₩4,225", "10000 − 5775", "₩11,000"),
}
"""₩6,600 of usage, less 12.5 %, brought to ₩10,000, with VAT."""


@pytest.fixture
def acme(cast: stories.Cast) -> stories.Company:
    set_seller(now=OCTOBER, **stories.SELLER)
    stories.use(cast.acme.organization, at=OCTOBER, usage=TokenUsage(input_tokens=100_000_000))
    return cast.acme


def close(acme: stories.Company, *, reviewed: bool) -> Invoice | None:
    set_terms(
        organization=acme.organization,
        month=date(2026, 9, 1),
        minimum_fee=Decimal(10_000),
        discount=Decimal("0.125"),
        zero_invoices="with_usage",
        reviewed=reviewed,
        reason="Contract 7",
        actor=None,
        now=OCTOBER,
    )
    with tenant_scope([acme.organization.pk]):
        BillingProfile.objects.update(po_number="PO-7")
        period = BillingPeriod.objects.get(starts_at__lte=OCTOBER, ends_at__gt=OCTOBER)
    return invoicing.close_period(organization_id=acme.organization.pk, period_id=period.pk, now=AFTER)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_on_the_invoice(acme: stories.Company, browse: Browse, language: str) -> None:
    invoice = close(acme, reviewed=False)
    assert invoice is not None
    page = text_of(browse(acme.owner, language=language).get(f"/o/acme/invoices/{invoice.pk}"))
    assert all(words in page for words in (*ALL_AGREED[language], "PO-7"))
    assert browse(acme.owner).get(f"/o/acme/invoices/{invoice.pk}/lines/2").status_code == 404


@pytest.mark.parametrize("language", ["en", "ko"])
def test_as_an_estimate_until_the_draft_is_approved(acme: stories.Company, browse: Browse, language: str) -> None:
    assert close(acme, reviewed=True) is None
    draft = InvoiceDraft.objects.using("system").get()
    browser = browse(acme.owner, language=language)
    page = text_of(browser.get("/o/acme/invoices"))
    assert all(words in page for words in ALL_AGREED[language])
    assert browser.get(f"/o/acme/invoices/{draft.pk}").status_code == 404
    assert "₩11,000" in text_of(browser.get("/o/acme/"))
