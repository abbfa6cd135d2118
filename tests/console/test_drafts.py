"""An operator reviews drafts of invoices: sees them on the home, opens their lines, issues them or makes them anew."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.invoicing import close_period
from billing.models import Invoice, InvoiceDraft
from billing.sellers import set_seller
from billing.terms import set_terms
from console.months import ZONE
from ledger.models import BillingPeriod
from tests import stories
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast, use


def agree(cast: Cast, month: date, discount: str, *, now: datetime) -> None:
    set_terms(
        organization=cast.acme.organization,
        month=month,
        minimum_fee=Decimal(0),
        discount=Decimal(discount),
        zero_invoices="with_usage",
        reviewed=True,
        reason="Contract 7",
        actor=None,
        now=now,
    )


@pytest.fixture
def last_month(now: datetime) -> datetime:
    return now.astimezone(ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)


@pytest.fixture
def draft(cast: Cast, now: datetime, last_month: datetime) -> InvoiceDraft:
    """Acme's of last month: ₩6,600 less 10 %, ₩6,534 with VAT."""
    acme = cast.acme.organization
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    agree(cast, last_month.date(), "0.1", now=now)
    use(acme, at=last_month, usage=stories.TokenUsage(input_tokens=100_000_000))
    period = BillingPeriod.objects.using("system").get(organization=acme)
    assert close_period(organization_id=acme.pk, period_id=period.pk, now=now) is None
    return InvoiceDraft.objects.using("system").get()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_draft_is_found_from_the_home_and_opens_to_its_requests(
    draft: InvoiceDraft, operator: Client, language: str
) -> None:
    operator.cookies["invoicedream_language"] = language
    home = operator.get(reverse("admin:index")).content.decode()
    listed = reverse("admin:billing_invoicedraft_changelist") + "?status__exact=waiting"
    assert listed in home
    assert "₩6,534" in operator.get(listed).content.decode()
    page = operator.get(reverse("admin:billing_invoicedraft_change", args=[draft.pk])).content.decode()
    assert {"en": "Discount", "ko": "할인"}[language] in page and "−₩660" in page
    address = page.split(f'href="{reverse("admin:usage_events")}?')[1].split('"')[0].replace("&amp;", "&")
    assert stories.DEVSTRAL in operator.get(f"{reverse('admin:usage_events')}?{address}").content.decode()


def test_approval_issues_the_invoice_and_leads_to_it(draft: InvoiceDraft, cast: Cast, operator: Client) -> None:
    address = reverse("admin:approve_draft", args=[draft.pk])
    review = carry_out(operator, address, {})
    assert "₩6,534" in {str(label): str(value) for label, value in review.context["review"]}["Total"]
    invoice = Invoice.objects.get()
    assert (invoice.total, invoice.number) == (6534, "INV-000001")
    assert audited("invoice_draft.approved", cast).target == "INV-000001"
    assert "approved already" in operator.get(address).content.decode()
    carry_out(operator, address, {})
    assert Invoice.objects.count() == 1, "approving again leads to the same"


def test_made_anew_it_has_another_po_number_and_the_terms_of_today(
    draft: InvoiceDraft, cast: Cast, operator: Client, now: datetime, last_month: datetime
) -> None:
    agree(cast, last_month.date(), "0.5", now=now)
    carry_out(operator, reverse("admin:remake_draft", args=[draft.pk]), {"po_number": "PO-9", "reason": "As promised"})
    again = InvoiceDraft.objects.get(status="waiting")
    assert (again.total, again.po_number) == (3630, "PO-9")
    assert audited("invoice_draft.made_anew", cast).detail["reason"] == "As promised"
    assert "made anew" in refused(operator, reverse("admin:approve_draft", args=[draft.pk]), {})
    assert "made anew" in refused(
        operator, reverse("admin:remake_draft", args=[draft.pk]), {"po_number": "", "reason": "x"}, steps=1
    )
