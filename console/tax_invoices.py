"""Tax invoices: which were issued, which must be until when, and what became of those that failed."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import tenant_scope
from billing.models import TaxInvoice
from billing.tax.korean_calendar import day_in_seoul
from billing.tax.tax_withdrawals import MAYBE_MISSING, is_missing
from console.figures import figure, money_column, named
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, linked, raw_column, state_column
from console.site import site

Status = TaxInvoice.Status
TONES = {
    "planned": "info",
    "requested": "warning",
    "issued": "success",
    "sent": "success",
    "failed": "danger",
    "canceled": "plain",
    "dropped": "plain",
}
INVOICE = linked("of_invoice", _("invoice"), lambda row: row.invoice, order="invoice__number")


class Unissued(admin.SimpleListFilter):
    """Those that are still to be issued, and of them those whose last day is over."""

    title = _("to be issued")
    parameter_name = "unissued"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("To be issued")), ("late", _("Too late"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaxInvoice]) -> QuerySet[TaxInvoice]:
        if self.value() is None:
            return queryset
        rows = queryset.filter(Q(status__in=TaxInvoice.UNISSUED) | MAYBE_MISSING)
        return rows.filter(due_on__lt=day_in_seoul(timezone.now())) if self.value() == "late" else rows


DEADLINE = named("deadline", _("To be issued by"), lambda row: figure("table_date")(row.due_on), order="due_on")


def moment(at: datetime | None) -> str:
    return figure("table_time")(at) if at else "–"


def kind(row: TaxInvoice) -> Any:
    return row.get_reason_display() if row.reason else _("Original")


def approval(row: TaxInvoice) -> Any:
    return format_html('<span class="mono">{}</span>', row.approval_number) if row.approval_number else "–"


def replacement(row: TaxInvoice) -> TaxInvoice | None:
    return TaxInvoice.objects.filter(replaces=row).first()


def remark(row: TaxInvoice) -> str:
    """What the tax office reads: always in Korean."""
    return format_html('<span lang="ko">{}</span>', row.remark)


def buyer(row: TaxInvoice) -> str:
    return f"{row.buyer['name']} ({row.buyer['registration_number']})"


@admin.register(TaxInvoice, site=site)
class TaxInvoiceAdmin(ReadOnlyAdmin):
    list_display = (
        "write_date",
        INVOICE,
        CUSTOMER,
        named("kind_words", _("Kind"), kind, order="reason"),
        state_column(_("Status"), TONES),
        DEADLINE,
        money_column("total", _("Total"), currency="invoice.currency"),
        named("approval", _("Approval number"), approval, order="approval_number"),
        "failure",
    )
    list_filter = ("status", Unissued, "reason", "tax_type", "organization")
    search_fields = ("approval_number", "mgt_key", "invoice__number", "organization__name", "organization__slug")
    list_select_related = ("invoice", "organization")
    date_hierarchy = "write_date"
    ordering = ("-created_at", "-pk")
    empty_text = _("No invoice has needed a tax invoice so far: they are for businesses that do not pay by card.")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    INVOICE,
                    CUSTOMER,
                    named("kind_words", _("Kind"), kind),
                    linked("of_original", _("Amends"), lambda row: row.amends),
                    linked("of_replaced", _("Replaces"), lambda row: row.replaces),
                    linked("of_replacement", _("Replaced by"), replacement),
                    "status",
                    "failure",
                    named("approval", _("Approval number"), approval),
                    "mgt_key",
                    "write_date",
                    "issue_from",
                    DEADLINE,
                    "requested_at",
                    "issued_at",
                    named("taken_over", _("Sent to the tax office"), lambda row: moment(row.sent_at)),
                )
            },
        ),
        (
            _("What it says"),
            {
                "fields": (
                    "purpose",
                    "tax_type",
                    named("buyer_words", _("Buyer"), buyer),
                    money_column("supply", _("Supply value"), currency="invoice.currency"),
                    money_column("tax", _("VAT"), currency="invoice.currency"),
                    money_column("total", _("Total"), currency="invoice.currency"),
                    named("remark_words", _("Remark"), remark),
                )
            },
        ),
        (
            _("Parties and items"),
            {
                "classes": ("collapse",),
                "fields": (
                    raw_column("items", _("Items"), lang="ko"),
                    raw_column("supplier", _("Supplier")),
                    raw_column("buyer", _("Buyer")),
                ),
            },
        ),
    )

    def deeds(self, obj: TaxInvoice) -> list[tuple[Any, str]]:
        return [(label, reverse(f"admin:{name}", args=[obj.pk])) for label, name in possible_deeds(obj)]


def possible_deeds(row: TaxInvoice) -> list[tuple[Any, str]]:
    """Labels and addresses of what can be done with it as it stands."""
    if row.status == Status.PLANNED:
        return [(_("Issue it now"), "issue_tax_invoice"), (_("Note what was issued by hand"), "note_tax_invoice")]
    if row.status == Status.FAILED:
        return [(_("Try again"), "retry_tax_invoice"), (_("Note what was issued by hand"), "note_tax_invoice")]
    links: list[tuple[Any, str]] = []
    with tenant_scope([row.organization_id]):
        if is_missing(row):
            links.append((_("Issue it anew"), "issue_tax_invoice_anew"))
    if row.status == Status.ISSUED:
        links.append((_("Take it back before it is sent"), "cancel_tax_invoice"))
    if row.status in (Status.ISSUED, Status.SENT) and row.is_original:
        links.append((_("Correct the buyer"), "correct_tax_invoice"))
        links.append((_("It was issued twice"), "take_back_tax_invoice"))
    return links
