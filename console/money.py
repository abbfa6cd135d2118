"""Money: periods, credits, payments and what processors told us. To be looked at; the figures are made elsewhere."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import Payment, ProcessorEvent, Seller
from billing.payments.payment_states import failure_text, payment_state
from billing.sellers import version_at
from console.figures import count_column, money_column, named
from console.read_only import ReadOnlyAdmin, linked, raw_column, state_column, state_label
from console.seller_deed import block
from console.site import site
from ledger.credit_order import with_left
from ledger.models import BillingPeriod, CreditGrant

CUSTOMER = linked("customer", _("organization"), lambda row: row.organization, order="organization__name")
CREDIT_LEFT = money_column("left", _("Left, VAT included"))
TONES = {"good": "success", "": "plain"}


@display(description=_("Status"), ordering="status")
def payment_status(payment: Payment) -> str:
    """Where a payment stands, as the customer reads it."""
    state = payment_state(payment, now=timezone.now())
    tone = TONES.get(state.tone, state.tone)
    return format_html('<span class="state state-{}" title="{}">{}</span>', tone, state.note, state.label)


@display(description=_("Failure"), ordering="failure")
def payment_failure(payment: Payment) -> str:
    """Why it did not come about; the processor's own code is its title."""
    if not payment.failure:
        return "–"
    return format_html('<span title="{}">{}</span>', payment.failure, failure_text(payment.failure))


@admin.register(CreditGrant, site=site)
class CreditGrantAdmin(ReadOnlyAdmin):
    list_display = (
        "granted_at",
        CUSTOMER,
        money_column("amount", _("Amount, VAT included")),
        CREDIT_LEFT,
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditGrant]:
        return with_left(super().get_queryset(request))

    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER,
                    money_column("amount", _("Amount, VAT included")),
                    CREDIT_LEFT,
                    "kind",
                    "priority",
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
        payment_status,
        "processor",
        "settled_at",
        payment_failure,
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
                    payment_status,
                    "processor",
                    "reference",
                    payment_failure,
                    "started_by",
                    "created_at",
                    "checked_at",
                    "settled_at",
                )
            },
        ),
    )

    def deeds(self, obj: Payment) -> list[tuple[Any, str]]:
        if obj.status not in Payment.OPEN_STATUSES or obj.invoice_id is None:
            return []
        return [(_("End the payment attempt"), reverse("admin:cancel_attempt", args=[obj.invoice_id]))]


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


@display(description=_("Status"))
def seller_state(seller: Seller) -> str:
    """Whether invoices are made with this version, were, or will be."""
    now = timezone.now()
    if seller.since > now:
        return state_label("info", gettext("Scheduled"))
    if version_at(now) == seller:
        return state_label("success", capfirst(gettext("in force")))
    return state_label("plain", gettext("Earlier version"))


@admin.register(Seller, site=site)
class SellerAdmin(ReadOnlyAdmin):
    list_display = (
        "since",
        "legal_name",
        "registration_number",
        "representative",
        seller_state,
        "bank_name",
        "bank_account",
    )
    search_fields = ("legal_name", "registration_number", "address")
    ordering = ("-since", "-pk")
    list_deeds = ((_("Enter seller details"), "admin:enter_seller"),)
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
        (
            _("As it reads on an invoice"),
            {
                "fields": (
                    named("block_ko", _("Korean"), lambda seller: block(seller, "ko")),
                    named("block_en", _("English"), lambda seller: block(seller, "en")),
                )
            },
        ),
    )  # fmt: skip

    def deeds(self, obj: Seller) -> list[tuple[Any, str]]:
        return [(_("Enter seller details"), reverse("admin:enter_seller"))]
