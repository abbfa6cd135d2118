"""Money: periods, credits, payments and what processors told us. To be looked at; the figures are made elsewhere."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from billing.models import Payment, ProcessorEvent, Seller
from console.figures import count_column, money_column
from console.read_only import ReadOnlyAdmin, linked, raw_column, state_column
from console.site import site
from ledger.models import BillingPeriod, CreditGrant

CUSTOMER = linked("customer", _("organization"), lambda row: row.organization, order="organization__name")
PAYMENT_TONES = {
    "succeeded": "success",
    "failed": "danger",
    "unknown": "warning",
    "pending": "info",
    "requires_action": "info",
}


@admin.register(CreditGrant, site=site)
class CreditGrantAdmin(ReadOnlyAdmin):
    list_display = (
        "granted_at",
        CUSTOMER,
        money_column("amount", _("Amount, VAT included")),
        "kind",
        "reason",
        "expires_at",
        "granted_by",
    )
    list_filter = ("kind", "currency", "organization")
    search_fields = ("organization__name", "reason", "key")
    list_select_related = ("organization", "granted_by")
    date_hierarchy = "granted_at"
    ordering = ("-granted_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER,
                    money_column("amount", _("Amount, VAT included")),
                    "kind",
                    "reason",
                    "key",
                    "granted_at",
                    "expires_at",
                    "granted_by",
                )
            },
        ),
    )


@admin.register(BillingPeriod, site=site)
class BillingPeriodAdmin(ReadOnlyAdmin):
    list_display = (
        "starts_at",
        CUSTOMER,
        "ends_at",
        state_column(_("Status"), {"open": "success", "closing": "warning"}),
        "closed_at",
    )
    list_filter = ("status", "organization")
    search_fields = ("organization__name",)
    list_select_related = ("organization",)
    date_hierarchy = "starts_at"
    ordering = ("-starts_at", "organization__name")
    fieldsets = ((None, {"fields": (CUSTOMER, "starts_at", "ends_at", "zone", "status", "closed_at")}),)


@admin.register(Payment, site=site)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        CUSTOMER,
        linked("of_invoice", _("invoice"), lambda row: row.invoice, order="invoice__number"),
        money_column("amount", _("Amount")),
        state_column(_("Status"), PAYMENT_TONES),
        "processor",
        "settled_at",
        "failure",
    )
    list_filter = ("status", "processor", "organization")
    search_fields = ("organization__name", "invoice__number", "reference")
    list_select_related = ("organization", "invoice")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER,
                    linked("of_invoice", _("invoice"), lambda row: row.invoice),
                    money_column("amount", _("Amount")),
                    "status",
                    "processor",
                    "reference",
                    "failure",
                    "started_by",
                    "created_at",
                    "settled_at",
                )
            },
        ),
    )


@admin.register(ProcessorEvent, site=site)
class ProcessorEventAdmin(ReadOnlyAdmin):
    list_display = (
        "received_at",
        "processor",
        "type",
        "event_id",
        "processed_at",
        "outcome",
        count_column("attempts", _("Attempts")),
    )
    list_filter = (("processed_at", admin.EmptyFieldListFilter), "processor", "type")
    search_fields = ("event_id", "type", "outcome")
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
    fieldsets = (
        (None, {"fields": ("processor", "event_id", "type", "received_at", "processed_at", "outcome", "attempts")}),
        (_("What arrived"), {"fields": (raw_column("payload", _("Content")),)}),
    )


@admin.register(Seller, site=site)
class SellerAdmin(ReadOnlyAdmin):
    list_display = ("since", "legal_name", "registration_number", "representative", "bank_name", "bank_account")
    ordering = ("-since",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "since", "legal_name", "legal_name_en", "registration_number", "representative", "address",
                    "address_en", "business_type", "business_item", "mail_order_number", "email", "phone",
                )
            },
        ),
        (_("Payment"), {"fields": ("bank_name", "bank_account", "bank_holder", "payment_days")}),
    )  # fmt: skip
