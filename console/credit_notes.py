"""Credit notes with their lines, the refunds of what they set aside, and write-offs."""

from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from billing.corrections.refunds import left_to_refund
from billing.models import CreditNote, CreditNoteLine, Refund, WriteOff
from billing.payments.payment_states import failure_text
from console.credit_note_deeds import line_label
from console.figures import money, money_column, named
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, linked, state_column
from console.refund_deeds import refund_links
from console.site import site

TONES = {"succeeded": "success", "failed": "danger", "pending": "warning", "unknown": "warning"}
INVOICE = linked("of_invoice", _("invoice"), lambda row: row.invoice, order="invoice__number")
LEFT = named("left_figure", _("To be refunded"), lambda note: money(left_to_refund(note), note.currency))
WHY = named("why", _("Failure"), lambda refund: failure_text(refund.failure) or "–")


class ToBeRefunded(admin.SimpleListFilter):
    """Those that set money aside which nobody has sent back, or is sending back."""

    title = _("to be refunded")
    parameter_name = "refund"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("To be refunded"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CreditNote]) -> QuerySet[CreditNote]:
        return to_be_refunded(queryset) if self.value() == "open" else queryset


def to_be_refunded(notes: QuerySet[CreditNote]) -> QuerySet[CreditNote]:
    """What `left_to_refund` says of each, as a filter."""
    begun = Sum("refunds__amount", filter=~Q(refunds__status="failed"), default=0)
    return notes.annotate(begun=Coalesce(begun, 0, output_field=CreditNote._meta.get_field("total"))).filter(
        to_refund__gt=F("begun")
    )


class Lines(ReadOnlyInline):
    model = CreditNoteLine
    verbose_name_plural = _("Lines")
    ordering = ("invoice_line__position",)
    show_change_link = False
    fields = (
        named("position", _("Line"), lambda row: row.invoice_line.position),
        named("what", _("Item"), lambda row: line_label(row.invoice_line)),
        money_column("amount", _("Amount"), currency="credit_note.currency"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditNoteLine]:
        return super().get_queryset(request).select_related("credit_note", "invoice_line")


class Refunds(ReadOnlyInline):
    model = Refund
    verbose_name_plural = _("Refunds")
    ordering = ("-created_at", "pk")
    fields = (
        "created_at",
        money_column("amount", _("Amount")),
        state_column(_("Status"), TONES),
        "processor",
        "reference",
        "settled_at",
        WHY,
    )


@admin.register(CreditNote, site=site)
class CreditNoteAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        CUSTOMER,
        INVOICE,
        "issued_on",
        money_column("subtotal", _("Supply value")),
        money_column("tax", _("VAT")),
        money_column("total", _("Total")),
        LEFT,
    )
    list_filter = (ToBeRefunded, "reason_code", "currency", "organization")
    search_fields = ("number", "invoice__number", "organization__name", "organization__slug", "reason")
    list_select_related = ("organization", "invoice")
    date_hierarchy = "issued_on"
    ordering = ("-issued_at",)
    inlines = (Lines, Refunds)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "number",
                    CUSTOMER,
                    INVOICE,
                    "reason_code",
                    "reason",
                    linked("of_proposal", _("credit note proposal"), lambda row: row.proposal),
                    "issued_on",
                    "issued_at",
                    "issued_by",
                )
            },
        ),
        (
            _("Amounts"),
            {
                "fields": (
                    money_column("subtotal", _("Supply value")),
                    money_column("tax", _("VAT")),
                    money_column("total", _("Total")),
                    money_column("applied", _("Less to pay")),
                    money_column("to_credit", _("Becomes credit")),
                    money_column("credit_returned", _("Becomes credit again")),
                    money_column("to_refund", _("Set aside for refunds")),
                    LEFT,
                )
            },
        ),
    )

    def deeds(self, obj: CreditNote) -> list[tuple[Any, str]]:
        return refund_links(obj)


@admin.register(Refund, site=site)
class RefundAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        CUSTOMER,
        linked("of_note", _("credit note"), lambda row: row.credit_note, order="credit_note__number"),
        money_column("amount", _("Amount")),
        state_column(_("Status"), TONES),
        "processor",
        "settled_at",
        WHY,
    )
    list_filter = ("status", "processor", "organization")
    search_fields = ("organization__name", "credit_note__number", "reference")
    list_select_related = ("organization", "credit_note")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER,
                    linked("of_note", _("credit note"), lambda row: row.credit_note),
                    linked("of_payment", _("payment"), lambda row: row.payment),
                    money_column("amount", _("Amount")),
                    state_column(_("Status"), TONES),
                    "processor",
                    "reference",
                    WHY,
                    "sent_on",
                    "started_by",
                    "created_at",
                    "checked_at",
                    "settled_at",
                )
            },
        ),
    )


@admin.register(WriteOff, site=site)
class WriteOffAdmin(ReadOnlyAdmin):
    list_display = (
        "written_off_at",
        CUSTOMER,
        INVOICE,
        money_column("amount", _("Amount"), currency="invoice.currency"),
        "reason",
        "written_off_by",
    )
    list_filter = ("organization",)
    search_fields = ("organization__name", "invoice__number", "reason")
    list_select_related = ("organization", "invoice", "written_off_by")
    date_hierarchy = "written_off_at"
    ordering = ("-written_off_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER,
                    INVOICE,
                    money_column("amount", _("Amount"), currency="invoice.currency"),
                    "reason",
                    "written_off_at",
                    "written_off_by",
                )
            },
        ),
    )
