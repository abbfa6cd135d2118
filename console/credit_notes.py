"""Credit notes with their lines, unused credit that goes back, the refunds of what both set aside, and write-offs."""

from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from billing.corrections.refundable import left_to_refund
from billing.models import CreditNote, CreditNoteLine, CreditPayout, Refund, WriteOff
from billing.payments.payment_states import failure_text
from console.credit_note_deeds import line_label
from console.figures import money, money_column, named
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, linked, state_column
from console.refund_deeds import refund_links
from console.site import site

TONES = {"succeeded": "success", "failed": "danger", "pending": "warning", "unknown": "warning"}
INVOICE = linked("of_invoice", _("invoice"), lambda row: row.invoice, order="invoice__number")
LEFT = named("left_figure", _("To be refunded"), lambda row: money(left_to_refund(row), row.currency))
ORIGIN = linked("of_origin", _("Refund of"), lambda row: row.origin)
CREDIT = linked("of_credit", _("credit"), lambda row: row.credit_use.grant)
TAKEN = named("taken_figure", _("Set aside for refunds"), lambda row: money(row.to_refund, row.currency))
WHY = named("why", _("Failure"), lambda refund: failure_text(refund.failure) or "–")


class ToBeRefunded(admin.SimpleListFilter):
    """Those notes or payouts of credit that set money aside which nobody has sent back, or is sending back."""

    title = _("to be refunded")
    parameter_name = "refund"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("To be refunded"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return to_be_refunded(queryset) if self.value() == "open" else queryset


def to_be_refunded(rows: QuerySet[Any]) -> QuerySet[Any]:
    """What `left_to_refund` says of each credit note or payout, as a filter."""
    begun = Sum(F("refunds__amount") - F("refunds__excess"), filter=~Q(refunds__status="failed"))
    set_aside = "to_refund" if rows.model is CreditNote else "credit_use__amount"
    none = Value(0, output_field=CreditNote._meta.get_field("total"))
    return rows.annotate(begun=Coalesce(begun, none)).filter(**{f"{set_aside}__gt": F("begun")})


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


@admin.register(CreditPayout, site=site)
class CreditPayoutAdmin(ReadOnlyAdmin):
    list_display = ("taken_at", CUSTOMER, CREDIT, TAKEN, LEFT, "reason", "taken_by")
    list_filter = (ToBeRefunded, "currency", "organization")
    search_fields = ("organization__name", "organization__slug", "reason", "key")
    list_select_related = ("organization", "credit_use__grant", "taken_by")
    date_hierarchy = "taken_at"
    ordering = ("-taken_at",)
    inlines = (Refunds,)
    fieldsets = ((None, {"fields": (CUSTOMER, CREDIT, TAKEN, LEFT, "reason", "taken_at", "taken_by")}),)

    def deeds(self, obj: CreditPayout) -> list[tuple[Any, str]]:
        return refund_links(obj)


@admin.register(Refund, site=site)
class RefundAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        CUSTOMER,
        ORIGIN,
        money_column("amount", _("Amount")),
        state_column(_("Status"), TONES),
        "processor",
        "settled_at",
        WHY,
    )
    list_filter = ("status", "processor", "organization")
    search_fields = ("organization__name", "credit_note__number", "reference")
    list_select_related = ("organization", "credit_note", "credit_payout__credit_use__grant")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER,
                    ORIGIN,
                    linked("of_payment", _("payment"), lambda row: row.payment),
                    money_column("amount", _("Amount")),
                    money_column("excess", _("Refunded twice")),
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
