"""What an operator does with a tax invoice: issue it now, try again, note what was issued elsewhere, amend it, take it back."""

from datetime import datetime
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.registration_numbers import normalize_registration_number, validate_registration_number
from billing.buyers import billing_profile, buyer_details
from billing.models import TaxInvoice
from billing.tax import tax_invoices
from billing.tax.providers.interface import ProviderUnreachable
from billing.tax.tax_amendments import correct_entries, take_back_second
from billing.tax.tax_sheets import buyer_of
from billing.tax.tax_withdrawals import HasAmendments, cancel_issued, issue_anew
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure, money
from console.read_only import address_of
from console.standing import ReasonForm

Status = TaxInvoice.Status
BUYER = ("name", "registration_number", "representative", "address", "business_type", "business_item", "email")


class TaxInvoiceDeed(Deed):
    """On one tax invoice."""

    def prepare(self, pk: Any) -> None:
        rows = TaxInvoice.objects.select_related("organization", "invoice", "amends")
        self.row = get_object_or_404(rows, pk=pk)

    def facts(self) -> list[Row]:
        row = self.row
        return [
            (_("invoice"), row.invoice.number),
            (_("organization"), row.organization),
            (_("Buyer"), f"{row.buyer['name']} ({row.buyer['registration_number']})"),
            (_("Date of writing"), figure("table_date")(row.write_date)),
            (_("Total"), money(row.total, row.invoice.currency)),
            (_("Status"), row.get_status_display()),
        ]

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return self.facts()

    @property
    def ids(self) -> dict[str, Any]:
        return {"organization_id": self.row.organization_id, "tax_invoice_id": self.row.pk}

    def buyer_of_today(self) -> dict[str, str]:
        organization = self.row.organization
        return buyer_of(buyer_details(organization, billing_profile(organization)))

    def back(self) -> str:
        return address_of(self.row)


class IssueNow(TaxInvoiceDeed):
    title = _("Issue the tax invoice now")
    lead = _(
        "The provider signs it and mails it to the buyer; the tax office has it the day after. Cards are refused then."
    )
    button = _("Issue it")

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        return outcome(self.row, now=now, actor=self.request.user)


class Retry(TaxInvoiceDeed):
    title = _("Try again to issue the tax invoice")
    lead = _("With the billing details that the customer has entered by now.")
    button = _("Try again")

    def facts(self) -> list[Row]:
        return [*super().facts(), (_("Last error"), self.row.failure or "–")]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.row = tax_invoices.plan_again(**self.ids, now=now, actor=self.request.user)
        except tax_invoices.NotPossible:
            raise Refused(gettext("It stands differently by now. Please look at it again.")) from None
        return outcome(self.row, now=now, actor=self.request.user)


class ApprovalForm(DeedForm):
    approval_number = forms.CharField(
        label=_("Approval number"),
        min_length=24,
        max_length=24,
        validators=[RegexValidator(r"^[0-9A-Za-z]{24}$", _("24 digits or letters, without hyphens."))],
    )


class NoteByHand(TaxInvoiceDeed):
    form_class = ApprovalForm
    title = _("Note what was issued by hand")
    lead = _(
        "You have issued this tax invoice at the tax office or elsewhere: its approval number is kept, and nothing is sent."
    )
    button = _("Keep the number")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [*self.facts(), (_("Approval number"), values["approval_number"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        if TaxInvoice.objects.filter(approval_number=values["approval_number"]).exists():
            raise Refused(gettext("Another tax invoice has this approval number."))
        try:
            tax_invoices.note_issued_by_hand(
                **self.ids, approval_number=values["approval_number"], now=now, actor=self.request.user
            )
        except tax_invoices.NotPossible:
            raise Refused(gettext("It stands differently by now. Please look at it again.")) from None
        return gettext("The approval number is kept.")


class CancelIssued(TaxInvoiceDeed):
    form_class = ReasonForm
    title = _("Take the tax invoice back before it is sent")
    lead = _(
        "Possible until the tax office has it, as a rule until the next day. Nothing remains of it but its number."
    )
    button = _("Take it back")
    danger = True

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [*self.facts(), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            cancel_issued(**self.ids, why=values["reason"], now=now, actor=self.request.user)
        except HasAmendments:
            raise Refused(gettext("Take its amendments back first: without it they amend nothing.")) from None
        except tax_invoices.NotPossible:
            raise Refused(gettext("The tax office has it already: it can only be amended.")) from None
        except (ProviderUnreachable, tax_invoices.NoProvider):
            raise Refused(gettext("The provider does not answer. Try again in a minute.")) from None
        return gettext("The tax invoice is taken back.")


class IssueAnew(TaxInvoiceDeed):
    title = _("Issue the tax invoice anew")
    lead = _(
        "It was taken back, so nothing proves this supply. Another one takes its place, under a number of its own: "
        "an original says what is left of the invoice today, an amendment the same as before."
    )
    button = _("Issue it anew")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        if self.row.reason:
            return self.facts()
        buyer = self.buyer_of_today()
        return [*self.facts(), (_("New buyer"), f"{buyer['name']} ({buyer['registration_number']})")]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.row = issue_anew(**self.ids, now=now, actor=self.request.user)
        except HasAmendments:
            raise Refused(gettext("Take its amendments back first: without it they amend nothing.")) from None
        except tax_invoices.NotPossible:
            raise Refused(gettext("It is not missing any more. Please look at it again.")) from None
        try:
            return outcome(self.row, now=now, actor=self.request.user)
        except Refused as why:  # it is planned all the same, and its page, which comes next, says how to go on
            return str(why)


class BuyerForm(DeedForm):
    name = forms.CharField(label=_("company name"), max_length=100)
    registration_number = forms.CharField(
        label=_("business registration number"), max_length=20, validators=[validate_registration_number]
    )
    representative = forms.CharField(label=_("representative"), max_length=50)
    address = forms.CharField(label=_("address"), max_length=200, required=False)
    business_type = forms.CharField(label=_("business type"), max_length=50, required=False)
    business_item = forms.CharField(label=_("business item"), max_length=50, required=False)
    email = forms.EmailField(label=_("email"), required=False)


class CorrectBuyer(TaxInvoiceDeed):
    form_class = BuyerForm
    title = _("Correct the buyer")
    lead = _("Two sheets with reason 01: one takes back what was issued, the other says the same with the buyer below.")
    button = _("Plan the two sheets")

    def initial(self) -> dict[str, Any]:
        now_entered = self.buyer_of_today()
        return {name: now_entered[name] for name in BUYER}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        number = normalize_registration_number(values["registration_number"])
        return [*self.facts(), (_("New buyer"), f"{values['name']} ({number})")]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        told = {name: values[name] for name in BUYER}
        told["registration_number"] = normalize_registration_number(values["registration_number"])
        try:
            correct_entries(**self.ids, buyer=self.row.buyer | told, now=now, actor=self.request.user)
        except tax_invoices.NotPossible:
            raise Refused(gettext("It stands differently by now. Please look at it again.")) from None
        return gettext("Two sheets are planned; they go out within a minute.")


class TakeBackSecond(TaxInvoiceDeed):
    title = _("It was issued twice")
    lead = _("The same supply got another tax invoice elsewhere, which stands: this one is taken back with reason 06.")
    button = _("Plan the sheet")
    danger = True

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            take_back_second(**self.ids, now=now, actor=self.request.user)
        except tax_invoices.NotPossible:
            raise Refused(gettext("It stands differently by now. Please look at it again.")) from None
        return gettext("The sheet is planned; it goes out within a minute.")


def outcome(row: TaxInvoice, *, now: datetime, actor: Any) -> str:
    """Issue it and say in words how it stands then. Raises Refused."""
    try:
        row = tax_invoices.issue(organization_id=row.organization_id, tax_invoice_id=row.pk, now=now, actor=actor)
    except tax_invoices.NoProvider:
        raise Refused(
            gettext("No provider is set up. Issue it at the tax office, and note its approval number here.")
        ) from None
    if row.status in (Status.ISSUED, Status.SENT):
        return gettext("The tax invoice is issued: %(number)s") % {"number": row.approval_number}
    if row.status == Status.REQUESTED:
        return gettext("The provider has not answered yet. It is asked again by itself.")
    if row.status == Status.FAILED:
        raise Refused(gettext("It was refused: %(why)s") % {"why": row.failure})
    if row.status == Status.DROPPED:
        raise Refused(gettext("It is not needed any more: the invoice is void, or a card has paid it."))
    raise Refused(gettext("It waits: a card payment is under way, or its original is not issued yet."))


add_deed("tax-invoices/<uuid:pk>/issue/", IssueNow, name="issue_tax_invoice")
add_deed("tax-invoices/<uuid:pk>/retry/", Retry, name="retry_tax_invoice")
add_deed("tax-invoices/<uuid:pk>/note/", NoteByHand, name="note_tax_invoice")
add_deed("tax-invoices/<uuid:pk>/cancel/", CancelIssued, name="cancel_tax_invoice")
add_deed("tax-invoices/<uuid:pk>/anew/", IssueAnew, name="issue_tax_invoice_anew")
add_deed("tax-invoices/<uuid:pk>/correct/", CorrectBuyer, name="correct_tax_invoice")
add_deed("tax-invoices/<uuid:pk>/take-back/", TakeBackSecond, name="take_back_tax_invoice")
