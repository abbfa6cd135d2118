"""What an operator does with an invoice: void it, issue it anew, note what arrived on the bank account, open its PDF."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import InvalidAmount, KeyInUse, record_transfer
from billing.invoicing import (
    Credited,
    NotOpen,
    PartIsCredit,
    PaymentInProgress,
    StillLive,
    preview,
    reissue_invoice,
    void_invoice,
)
from billing.models import Document, Invoice
from billing.papers import document_files
from billing.sellers import NoSeller
from billing.settlement import outstanding, recoverable
from billing.tax.tax_amendments import cancellation_goes_out_on
from billing.tax.tax_prospects import Prospect, deadline_of, if_issued_anew, if_voided
from console.deeds import DeedForm, MomentInput, Obstacle, Refused, Row, add_deed
from console.figures import figure, money
from console.one_invoice import InvoiceDeed
from console.payment_deeds import attempt_in_the_way
from console.site import site
from console.standing import ReasonForm
from console.stored_documents import inline_pdf
from ledger.settling import CreditSpent
from pricing.exact import EXACT, ZERO
from pricing.plain_text import plain

IF_VOIDED: Mapping[Prospect, Promise] = {
    Prospect.IN_TIME: _("Canceled (04) if it was issued. Invoiced anew, the month gets another one until %(day)s."),
    Prospect.CORRECTED: _(
        "It was issued. Its cancellation (04) goes out on %(day)s; invoiced anew before that, it is corrected (01) instead, "
        "without a penalty."
    ),
    Prospect.LATE: _(
        "None was issued until %(day)s, the last day. Invoiced anew, the month's is late, which is penalised."
    ),
}
IF_ISSUED_ANEW: Mapping[Prospect, Promise] = {
    Prospect.IN_TIME: _("Issued in time: its last day is %(day)s."),
    Prospect.CORRECTED: _("The one that was issued is corrected (01), dated as before, without a penalty."),
    Prospect.LATE: _(
        "Late: its last day was %(day)s, and none stands that could be corrected. Late issue is penalised."
    ),
}


def tax_invoice_row(words: Mapping[Prospect, Promise], prospect: Prospect, *, day: date) -> list[Row]:
    """What becomes of the tax invoice; nothing where none is concerned."""
    if prospect not in words:
        return []
    return [(_("Tax invoice"), str(words[prospect]) % {"day": figure("table_date")(day)})]


class VoidForm(ReasonForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = _(
            "The customer reads it word for word, on the invoice's page and through the API."
        )


class Void(InvoiceDeed):
    form_class = VoidForm
    title = _("Void the invoice")
    lead = _(
        "Its claim and the credit it used are taken back. Its number and lines stay. It can be issued anew afterwards."
    )
    button = _("Void the invoice")
    danger = True

    def obstacle(self) -> Obstacle | None:
        return attempt_in_the_way(self.invoice, now=timezone.now())

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        invoice = self.invoice
        return [
            *self.facts(),
            (_("Credit given back"), money(invoice.credit_applied, invoice.currency)),
            *self._tax_invoice(now),
            (_("Reason"), values["reason"]),
        ]

    def _tax_invoice(self, now: datetime) -> list[Row]:
        with tenant_scope([self.invoice.organization_id]):
            prospect = if_voided(self.invoice, now=now)
        day = cancellation_goes_out_on(now=now) if prospect == Prospect.CORRECTED else deadline_of(self.invoice)
        return tax_invoice_row(IF_VOIDED, prospect, day=day)

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            invoice = void_invoice(
                organization_id=self.invoice.organization_id,
                invoice_id=self.invoice.pk,
                reason=values["reason"],
                now=now,
                actor=self.request.user,
            )
        except NotOpen:
            self.invoice.refresh_from_db(fields=["status"])
            raise Refused(
                gettext("Only an open invoice can be voided. This one: %(status)s")
                % {"status": self.invoice.get_status_display()}
            ) from None
        except PartIsCredit:
            raise Refused(
                gettext("A part of what was paid of the invoice is credit already. Take it back by a credit note.")
            ) from None
        except Credited:
            raise Refused(
                gettext("The invoice has a credit note. Take back what is left of it by another one.")
            ) from None
        except PaymentInProgress:
            raise Refused(gettext("The invoice is being paid right now.")) from None
        except CreditSpent:
            raise Refused(
                gettext("The credit that this invoice gave has been used since, so it cannot be taken back.")
            ) from None
        return gettext("Invoice %(number)s is void.") % {"number": invoice.number}


class Reissue(InvoiceDeed):
    title = _("Invoice the period anew")
    lead = _("With today's details of seller and buyer, under the next number, mailed to the billing contact.")
    button = _("Issue the invoice")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        totals = preview(organization_id=self.invoice.organization_id, period_id=self.invoice.period_id).charged.totals
        currency = self.invoice.organization.billing_currency
        with tenant_scope([self.invoice.organization_id]):
            prospect = if_issued_anew(self.invoice, total=totals.total, now=now)
        return [
            (_("organization"), self.invoice.organization),
            (_("billing period"), figure("prose_month")(self.invoice.written_on)),
            (_("In place of"), self.invoice.number),
            (_("Supply value"), money(totals.subtotal, currency)),
            (_("VAT"), money(totals.tax, currency)),
            (_("Total"), money(totals.total, currency)),
            *tax_invoice_row(IF_ISSUED_ANEW, prospect, day=deadline_of(self.invoice)),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.invoice = reissue_invoice(
                organization_id=self.invoice.organization_id,
                period_id=self.invoice.period_id,
                now=now,
                actor=self.request.user,
            )
        except StillLive:
            raise Refused(gettext("The period has another invoice that is not void.")) from None
        except NoSeller:
            raise Refused(gettext("The seller's details are missing: enter them first.")) from None
        return gettext("Invoice %(number)s is issued.") % {"number": self.invoice.number}


class TransferForm(DeedForm):
    amount = forms.DecimalField(
        label=_("Amount"), min_value=Decimal("0.01"), max_value=Decimal(10**12), max_digits=14, decimal_places=2
    )
    payer_name = forms.CharField(label=_("Payer, as on the statement"), max_length=100)
    received_at = forms.DateTimeField(label=_("Money received at"), widget=MomentInput)
    key = forms.CharField(
        label=_("Statement's own number"),
        max_length=60,
        help_text=_("Date and serial number on the bank statement, say. The same one counts once."),
    )


class RecordTransfer(InvoiceDeed):
    form_class = TransferForm
    title = _("Record a bank transfer")
    lead = _("Less than what is due leaves the invoice open for the rest; what is too much becomes prepaid credit.")
    button = _("Record the transfer")

    def initial(self) -> dict[str, Any]:
        return {"amount": plain(self._due())}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values, now)
        currency = self.invoice.currency
        rest = EXACT.subtract(self._due(), values["amount"])
        outcome = _("The invoice is paid.") if rest <= ZERO else _("The invoice stays open for the rest.")
        rows: list[Row] = [
            *self.facts(),
            (_("Amount received"), money(values["amount"], currency)),
            (_("Payer, as on the statement"), values["payer_name"]),
            (_("Money received at"), figure("table_time")(values["received_at"])),
            (_("Statement's own number"), values["key"]),
            (_("Outcome"), outcome),
        ]
        if rest < ZERO:
            rows.append((_("Becomes prepaid credit"), money(-rest, currency)))
        if self.invoice.status == Invoice.Status.UNCOLLECTIBLE:
            rows.append((_("Written off"), _("The invoice was written off. The money is recovered from bad debt.")))
        return rows

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check(values, now)
        try:
            record_transfer(
                organization_id=self.invoice.organization_id,
                invoice_id=self.invoice.pk,
                amount=values["amount"],
                payer_name=values["payer_name"],
                key=values["key"],
                received_at=values["received_at"],
                actor=self.request.user,
                now=now,
            )
        except InvalidAmount:
            raise Refused(gettext("Won have no decimals.")) from None
        except KeyInUse:
            raise Refused(gettext("A transfer with this number was recorded with other details.")) from None
        return gettext("Transfer recorded for invoice %(number)s: %(amount)s") % {
            "number": self.invoice.number,
            "amount": figure("money")(values["amount"], self.invoice.currency),
        }

    def _due(self) -> Decimal:
        """What is still owed, or was when it was written off."""
        return outstanding(self.invoice) or recoverable(self.invoice)

    def _check(self, values: dict[str, Any], now: datetime) -> None:
        if values["received_at"] > now:
            raise Refused(gettext("Money cannot have been received in the future."))
        if self.invoice.currency == "KRW" and values["amount"] != values["amount"].to_integral_value():
            raise Refused(gettext("Won have no decimals."))


def invoice_pdf(request: HttpRequest, pk: Any) -> HttpResponse:
    """The stored PDF, as the customer got it."""
    document = Document.objects.filter(invoice_id=pk, kind=Document.Kind.INVOICE).select_related("invoice").first()
    if document is None:
        raise Http404
    try:
        content = document_files.read(document.path, sha256=document.sha256)
    except document_files.WrongBytes as fault:
        raise Http404(str(fault)) from fault
    return inline_pdf(content, name=f"{document.invoice.number}.pdf")


add_deed("invoices/<uuid:pk>/void/", Void, name="void_invoice")
add_deed("invoices/<uuid:pk>/reissue/", Reissue, name="reissue_invoice")
add_deed("invoices/<uuid:pk>/transfer/", RecordTransfer, name="record_transfer")
site.pages.append(path("documents/<uuid:pk>.pdf", site.admin_view(invoice_pdf), name="invoice_pdf"))
