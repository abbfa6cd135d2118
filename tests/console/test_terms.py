"""The operator agrees commercial terms with a customer: what the form offers, what the review says, what is kept."""

from datetime import datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import BillingTerms, Invoice
from tests import stories
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast


@pytest.fixture
def address(cast: Cast, operator: Client) -> str:
    return reverse("admin:set_terms", args=[cast.acme.organization.pk])


def values(now: datetime, **given: str) -> dict[str, str]:
    return {
        "month": f"{now.astimezone(stories.SEOUL):%Y-%m}",
        "minimum_fee": "50000",
        "percent": "12.5",
        "zero_invoices": "always",
        "reviewed": "on",
        "reason": "Contract 7",
    } | given


def test_terms_are_agreed_and_kept_with_a_reason(address: str, cast: Cast, operator: Client, now: datetime) -> None:
    review = carry_out(operator, address, values(now))
    said = {str(label): str(value) for label, value in review.context["review"]}
    assert said["discount on usage"] == "0% → 12.5%"
    assert said["minimum monthly fee"] == "₩0 → ₩50,000"
    assert said["Review before an invoice is issued"] == "No → Yes"
    terms = BillingTerms.objects.get()
    assert (terms.minimum_fee, terms.discount, terms.zero_invoices, terms.reviewed) == (
        50_000,
        Decimal("0.125"),
        "always",
        True,
    )
    assert (terms.reason, terms.created_by) == ("Contract 7", cast.operator)
    assert audited("terms.set", cast).detail["discount"] == "0.125"
    page = operator.get(reverse("admin:accounts_organization_change", args=[cast.acme.organization.pk]))
    assert "Contract 7" in page.content.decode()
    carry_out(operator, address, values(now))
    assert BillingTerms.objects.count() == 1, "the same again is no new version"


def test_won_have_no_decimals(address: str, operator: Client, now: datetime) -> None:
    assert "Won have no decimals" in refused(operator, address, values(now, minimum_fee="0.5"))
    assert not BillingTerms.objects.exists()


@pytest.mark.parametrize("wrong", [{"percent": "100.01"}, {"percent": "-1"}, {"minimum_fee": "-1"}, {"reason": ""}])
def test_what_the_form_refuses(address: str, operator: Client, now: datetime, wrong: dict[str, str]) -> None:
    answer = operator.post(address, values(now, **wrong))
    assert answer.status_code == 422


def test_months_that_are_invoiced_are_not_offered(
    invoice: Invoice, address: str, operator: Client, now: datetime
) -> None:
    months = [name for name, _label in operator.get(address).context["form"].fields["month"].choices]
    closed = f"{invoice.period.starts_at.astimezone(stories.SEOUL):%Y-%m}"
    assert closed not in months and len(months) >= 12
    assert operator.post(address, values(now, month=closed)).status_code == 422
