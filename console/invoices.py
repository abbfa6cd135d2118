"""Invoices with their lines, documents, mails and payments. A final one can be voided and its period invoiced anew."""

from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import TaxTreatment
from billing.invoice_queries import card_payments_of, is_overdue
from billing.models import CreditNote, Document, Invoice, InvoiceLine, OutboxMail, Payment, SupplyProof, TaxInvoice
from billing.rest.proof_answers import proof_shown, sheets_of
from billing.settlement import outstanding
from console.credit_note_deeds import credit_links
from console.figures import count_column, figure, money, money_column, named, percent_column
from console.money import CUSTOMER, payment_failure, payment_status
from console.payment_deeds import open_attempt
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, link_to, linked, raw_column, state_label
from console.site import site
from console.stored_documents import document_link
from console.tax_invoices import approval
from console.terms_in_words import terms_in_words
from ledger.models import BillingPeriod
from metering.token_labels import TOKEN_CLASSES
from pricing.tokens import TokenClass

TONES = {"open": "info", "paid": "success", "void": "plain", "uncollectible": "danger"}


def proof_of(invoice: Invoice) -> str:
    """Its kind, and the papers themselves by their numbers: tax invoices, or the card payments whose slips they are."""
    kind = SupplyProof.Kind(proof_shown(invoice))
    papers: list[str] = []
    if kind == SupplyProof.Kind.TAX_INVOICE:
        papers = [link_to(sheet, sheet.approval_number or sheet.get_status_display()) for sheet in sheets_of(invoice)]
    elif kind == SupplyProof.Kind.CARD_SLIP:
        papers = [link_to(payment, payment.reference) for payment in card_payments_of(invoice)]
    return format_html_join(" · ", "{}", ((part,) for part in (kind.label, *papers)))


class Overdue(admin.SimpleListFilter):
    """Open ones whose due date is over."""

    title = _("overdue")
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Overdue"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        return overdue(queryset, now=timezone.now()) if self.value() == "yes" else queryset


def overdue(invoices: QuerySet[Invoice], *, now: datetime) -> QuerySet[Invoice]:
    """Those that should have been paid before today, in the zone of their period: what `is_overdue` says of each."""
    zones = BillingPeriod.objects.order_by().values_list("zone", flat=True).distinct()
    late = [Q(period__zone=zone, due_on__lt=now.astimezone(ZoneInfo(zone)).date()) for zone in zones]
    return invoices.filter(reduce(or_, late, Q(pk=None)), status=Invoice.Status.OPEN)


def status_in_words(invoice: Invoice) -> Any:
    """As the customer reads it: an open one is overdue after its last day."""
    return _("Overdue") if is_overdue(invoice, now=timezone.now()) else invoice.get_status_display()


def status_state(invoice: Invoice) -> Any:
    tone = "danger" if is_overdue(invoice, now=timezone.now()) else TONES.get(invoice.status, "plain")
    return state_label(tone, status_in_words(invoice))


def pdf(invoice: Invoice) -> Any:
    if invoice.documents.filter(kind=Document.Kind.INVOICE).exists():
        address = reverse("admin:invoice_pdf", args=[invoice.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', address, gettext("Open the PDF"))
    return gettext("It is being made. The invoice is mailed as soon as it is there.")


def line_name(line: InvoiceLine) -> Any:
    """The class of its tokens, or what was agreed."""
    return TOKEN_CLASSES[TokenClass(line.token_class)] if line.token_class else line.get_kind_display()


class Lines(ReadOnlyInline):
    model = InvoiceLine
    verbose_name_plural = _("Lines")
    ordering = ("position",)
    show_change_link = False
    fields = (
        "position",
        named("model_name", _("Model"), lambda row: row.model or "–"),
        named("what", _("Item"), line_name),
        named("quantity_figure", _("Quantity"), lambda row: figure("tokens")(row.quantity) if row.model else "–"),
        named(
            "unit_price_figure",
            _("Unit price / 1M"),
            lambda row: figure("cost_per_million")(row.unit_price, row.invoice.currency) if row.model else "–",
        ),
        money_column("amount", _("Amount"), currency="invoice.currency"),
        linked("rate", _("applied rate"), lambda row: row.applied_rate),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[InvoiceLine]:
        return super().get_queryset(request).select_related("invoice", "applied_rate")


class Documents(ReadOnlyInline):
    model = Document
    verbose_name_plural = _("Documents")
    show_change_link = False
    fields = (named("opens", _("Kind"), document_link), "sha256", count_column("size", _("Bytes")), "rendered_at")


class TaxInvoices(ReadOnlyInline):
    model = TaxInvoice
    verbose_name_plural = _("Tax invoices")
    ordering = ("created_at", "pk")
    fields = ("write_date", "status", named("approval", _("Approval number"), approval), "failure")


class Mails(ReadOnlyInline):
    model = OutboxMail
    verbose_name_plural = _("Mails")
    ordering = ("-created_at", "pk")
    fields = ("kind", "recipient", "status", "attempts", "sent_at", "last_error")


class Payments(ReadOnlyInline):
    model = Payment
    verbose_name_plural = _("Payments")
    ordering = ("-created_at", "pk")
    fields = (
        "created_at",
        money_column("amount", _("Amount")),
        payment_status,
        "processor",
        "reference",
        "settled_at",
        payment_failure,
    )


class CreditNotes(ReadOnlyInline):
    model = CreditNote
    verbose_name_plural = _("Credit notes")
    ordering = ("-issued_at", "pk")
    fields = (
        "number",
        "issued_on",
        money_column("total", _("Total")),
        money_column("applied", _("Less to pay")),
        money_column("to_credit", _("Becomes credit")),
        money_column("to_refund", _("Set aside for refunds")),
        "reason",
    )


@admin.register(Invoice, site=site)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        CUSTOMER,
        named("status_state", _("Status"), status_state, order="status"),
        "issued_on",
        "due_on",
        money_column("subtotal", _("Supply value")),
        money_column("tax", _("VAT")),
        money_column("total", _("Total")),
        money_column("amount_due", _("Amount due")),
    )
    list_filter = ("status", Overdue, "currency", "organization")
    search_fields = ("number", "organization__name", "organization__slug")
    list_select_related = ("organization", "period")
    date_hierarchy = "issued_on"
    ordering = ("-finalized_at",)
    inlines = (Lines, Documents, TaxInvoices, Mails, Payments, CreditNotes)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "number",
                    CUSTOMER,
                    named("status_in_words", _("Status"), status_in_words),
                    "kind",
                    named("pdf", _("PDF"), pdf),
                    linked(
                        "of_period",
                        _("billing period"),
                        lambda row: row.period,
                        text=lambda period: figure("prose_month")(period.starts_at),
                    ),
                    "po_number",
                    linked(
                        "agreed",
                        _("commercial terms"),
                        lambda row: row.terms,
                        text=lambda terms: terms_in_words(terms, terms.organization.billing_currency),
                    ),
                    "issued_on",
                    "written_on",
                    "due_on",
                    "paid_at",
                    "voided_at",
                    "void_reason",
                )
            },
        ),
        (
            _("Amounts"),
            {
                "fields": (
                    money_column("subtotal", _("Supply value")),
                    percent_column("tax_rate", _("VAT rate")),
                    money_column("tax", _("VAT")),
                    money_column("total", _("Total")),
                    money_column("credit_applied", _("Paid by credit")),
                    money_column("amount_due", _("Amount due")),
                    named("left_figure", _("Still to be paid"), lambda row: money(outstanding(row), row.currency)),
                    named("proof", _("Proof of the supply"), proof_of),
                    named("treatment", _("Tax treatment"), lambda row: TaxTreatment(row.tax_treatment).label),
                    "currency",
                )
            },
        ),
        (
            _("As printed"),
            {
                "classes": ("collapse",),
                "fields": (
                    raw_column("seller", _("Supplier")),
                    raw_column("buyer", _("Buyer")),
                    raw_column("exchange_rates", _("Exchange rates")),
                    "language",
                ),
            },
        ),
    )

    def deeds(self, obj: Invoice) -> list[tuple[Any, str]]:
        links = []
        if obj.documents.filter(kind=Document.Kind.INVOICE).exists():
            links.append((_("Open the PDF"), reverse("admin:invoice_pdf", args=[obj.pk])))
        if obj.status in (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE):
            links.append((_("Record a bank transfer"), reverse("admin:record_transfer", args=[obj.pk])))
        if open_attempt(obj):
            links.append((_("End the payment attempt"), reverse("admin:cancel_attempt", args=[obj.pk])))
        links += credit_links(obj)
        if obj.status == Invoice.Status.OPEN:
            links.append((_("Write off the invoice"), reverse("admin:write_off_invoice", args=[obj.pk])))
        is_open = obj.status == Invoice.Status.OPEN or (obj.status == Invoice.Status.PAID and obj.amount_due == 0)
        if is_open and not obj.credit_notes.exists():
            links.append((_("Void the invoice"), reverse("admin:void_invoice", args=[obj.pk])))
        live = Invoice.objects.filter(period_id=obj.period_id).exclude(status=Invoice.Status.VOID)
        if obj.status == Invoice.Status.VOID and not live.exists():
            links.append((_("Invoice anew"), reverse("admin:reissue_invoice", args=[obj.pk])))
        return links
