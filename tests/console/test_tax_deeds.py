"""What operators do with tax invoices and treatments: each deed says first what it will do, and refuses what does not fit."""

from datetime import datetime, timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import BillingProfile
from accounts.profiles import update_profile
from billing.invoicing import close_period
from billing.models import Invoice, TaxInvoice
from billing.sellers import set_seller
from ledger.models import Balance, BillingPeriod
from tests import stories
from tests.billing.tax_papers import DETAILS
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast, use


@pytest.fixture
def sheet(cast: Cast, now: datetime, operator: Client) -> TaxInvoice:
    """Acme's planned tax invoice for the month before; no provider is set up."""
    acme = cast.acme.organization
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    update_profile(organization=acme, changes=DETAILS, actor=None, now=now)
    last_month = now.replace(day=1) - timedelta(days=9)
    use(acme, at=last_month, now=last_month, usage=stories.TokenUsage(input_tokens=10_000_000, output_tokens=0))
    period = BillingPeriod.objects.using("system").filter(organization=acme).earliest("starts_at")
    assert close_period(organization_id=acme.pk, period_id=period.pk, now=now) is not None
    return TaxInvoice.objects.get()


def test_without_a_provider_an_operator_notes_the_number(operator: Client, sheet: TaxInvoice) -> None:
    address = reverse("admin:issue_tax_invoice", args=[sheet.pk])
    refused = operator.post(address, {"confirm": "1"})
    assert refused.status_code == 422 and TaxInvoice.objects.get().status == "planned"
    note = reverse("admin:note_tax_invoice", args=[sheet.pk])
    number = "20261110410002030000000A"
    carry_out(operator, note, {"approval_number": number})
    row = TaxInvoice.objects.get()
    assert (row.status, row.approval_number) == ("sent", number)
    detail = operator.get(reverse("admin:billing_taxinvoice_change", args=[row.pk])).content.decode()
    assert number in detail and reverse("admin:correct_tax_invoice", args=[row.pk]) in detail
    assert operator.post(note, {"approval_number": number, "confirm": "1"}).status_code == 422


def test_a_wrong_buyer_is_corrected_by_two_planned_sheets(operator: Client, sheet: TaxInvoice) -> None:
    carry_out(operator, reverse("admin:note_tax_invoice", args=[sheet.pk]), {"approval_number": "A" * 24})
    address = reverse("admin:correct_tax_invoice", args=[sheet.pk])
    assert DETAILS["legal_name"] in operator.get(address).content.decode()
    values = {"name": "새 회사", "registration_number": "1248100998", "representative": "이대표"}
    carry_out(operator, address, values)
    plus = TaxInvoice.objects.get(total__gt=0, reason="01")
    assert plus.buyer["registration_number"] == "124-81-00998"
    assert operator.post(address, values | {"registration_number": "1248100999", "confirm": "1"}).status_code == 422
    call_command("audit")


def test_what_was_taken_back_is_issued_anew_once(operator: Client, cast: Cast, sheet: TaxInvoice) -> None:
    anew = reverse("admin:issue_tax_invoice_anew", args=[sheet.pk])
    page = reverse("admin:billing_taxinvoice_change", args=[sheet.pk])
    assert anew not in operator.get(page).content.decode()
    assert "not missing" in refused(operator, anew, {"confirm": "1"}, steps=1)
    at_provider = {"status": "canceled", "approval_number": "A" * 24, "issued_at": sheet.created_at}
    TaxInvoice.objects.filter(pk=sheet.pk).update(**at_provider)
    assert anew in operator.get(page).content.decode()
    listed = operator.get(reverse("admin:billing_taxinvoice_changelist"), {"unissued": "yes"})
    assert sheet.invoice.number in listed.content.decode()
    review = carry_out(operator, anew, {})
    assert DETAILS["registration_number"] in review.content.decode()
    second = TaxInvoice.objects.get(replaces=sheet)
    assert (second.status, second.total, second.created_by) == ("planned", sheet.total, cast.operator)
    assert audited("tax_invoice.issued_anew", cast).detail["occasion"] == "original:2"
    shown = operator.get(page).content.decode()
    assert anew not in shown and second.mgt_key in shown
    assert "not missing" in refused(operator, anew, {"confirm": "1"}, steps=1)
    carry_out(operator, reverse("admin:note_tax_invoice", args=[second.pk]), {"approval_number": "B" * 24})
    call_command("audit")


def test_the_list_filters_what_is_still_to_be_issued(operator: Client, sheet: TaxInvoice) -> None:
    address = reverse("admin:billing_taxinvoice_changelist")
    invoice = Invoice.objects.get()
    assert invoice.number in operator.get(address, {"unissued": "yes"}).content.decode()
    carry_out(operator, reverse("admin:note_tax_invoice", args=[sheet.pk]), {"approval_number": "A" * 24})
    assert invoice.number not in operator.get(address, {"unissued": "yes"}).content.decode()
    assert operator.get(address, {"unissued": "late"}).status_code == 200


def test_the_tax_treatment_wants_evidence_and_holds_from_this_month(
    operator: Client, cast: Cast, now: datetime
) -> None:
    acme = cast.acme.organization
    use(acme, at=now - timedelta(minutes=1))
    address = reverse("admin:set_tax_treatment", args=[acme.pk])
    values = {"treatment": "zero_rated", "evidence": "", "reason": "overseas"}
    assert operator.post(address, values).status_code == 422
    review = carry_out(operator, address, values | {"evidence": "contract, folder 7"})
    assert "contract, folder 7" in review.content.decode()
    assert BillingProfile.objects.get(organization=acme).tax_treatment == "zero_rated"
    assert Balance.objects.get(organization=acme).tax_rate == 0


def test_voiding_and_invoicing_anew_say_what_becomes_of_the_tax_invoice(operator: Client, sheet: TaxInvoice) -> None:
    for deed, values in (("void_invoice", {"reason": "Wrong buyer"}), ("reissue_invoice", {})):
        review = carry_out(operator, reverse(f"admin:{deed}", args=[sheet.invoice_id]), values)
        assert "Tax invoice" in [str(label) for label, _value in review.context["review"]], deed
