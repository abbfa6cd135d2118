"""Customers: who they are, who belongs to them, what they have and owe, and their keys (never a secret)."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from accounts.business_standing import standing_of
from accounts.models import ApiKey, BillingProfile, Membership, Organization, User
from accounts.rate_limits import rates_of
from billing.models import Invoice
from billing.overdue.dunning_policy import Policies
from console.closure_deeds import Closures, closure_deeds
from console.dunning import standing_deeds
from console.figures import figure, money, money_column, named
from console.money import CREDIT_LEFT
from console.rate_limit_deed import rate_words
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, linked, list_of, state_column
from console.site import site
from console.terms import TermsInline
from ledger.balances import available
from ledger.credit_expiry import balance_at
from ledger.credit_order import with_left
from ledger.models import Balance, CreditGrant

STATUS_TONES = {"active": "success", "suspended": "warning", "closing": "warning", "closed": "danger"}


class Members(ReadOnlyInline):
    model = Membership
    verbose_name_plural = _("Members")
    ordering = ("created_at", "pk")
    fields = (linked("person", _("name"), lambda row: row.user), "role", "created_at")


class Keys(ReadOnlyInline):
    model = ApiKey
    verbose_name_plural = _("API keys")
    ordering = ("-created_at", "pk")
    fields = (
        "name",
        "prefix",
        "scopes",
        "requests_per_minute",
        "tokens_per_minute",
        "created_at",
        "expires_at",
        "revoked_at",
    )


class Credits(ReadOnlyInline):
    model = CreditGrant
    verbose_name_plural = _("Credits")
    fields = (
        money_column("amount", _("Amount")),
        CREDIT_LEFT,
        "kind",
        "reason",
        "granted_at",
        "expires_at",
        "granted_by",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditGrant]:
        return with_left(super().get_queryset(request))


class Invoices(ReadOnlyInline):
    model = Invoice
    verbose_name_plural = _("Invoices")
    ordering = ("-finalized_at", "pk")
    fields = (
        linked("invoice", _("Number"), lambda row: row),
        "status",
        "issued_on",
        "due_on",
        money_column("total", _("Total")),
        money_column("amount_due", _("Amount due")),
    )


def business(profile: BillingProfile) -> Any:
    """What the tax office says of the registration number, in its own words for who reads Korean, and when it was asked."""
    standing = standing_of(organization_id=profile.organization_id, number=profile.registration_number)
    if standing is None or standing.checked_at is None:
        return gettext("Not checked yet") if profile.registration_number else "–"
    tone = "danger" if standing.is_stopped else "success"
    day = figure("table_date")(standing.checked_at)
    return format_html(
        '<span class="state state-{}" title="{}">{}</span> {}',
        tone,
        standing.tax_type if get_language() == "ko" else "",
        standing.get_state_display(),
        day,
    )


STANDING = named("business", _("At the tax office"), business)


class Profile(ReadOnlyInline):
    model = BillingProfile
    verbose_name_plural = _("Billing profile")
    fields = (
        "legal_name",
        "registration_number",
        STANDING,
        "representative",
        "contact_name",
        "contact_email",
        "po_number",
        "pays_by",
        "tax_treatment",
        "tax_evidence",
    )


LISTS = {
    "available": lambda one: list_of(CreditGrant, f"organization__id__exact={one.pk}"),
    "prepaid": lambda one: list_of(CreditGrant, f"organization__id__exact={one.pk}"),
    "unbilled": lambda one: f"{reverse('admin:usage_summary')}?organization={one.slug}",
    "receivable": lambda one: list_of(Invoice, f"organization__id__exact={one.pk}&status__exact=open"),
    "held": lambda one: f"{reverse('admin:usage_holds')}?status=open",
}
"""Where the rows are that a figure of a balance is made of."""


def balance_field(name: str, label: Any) -> Any:
    """A figure of the organization's balance row, which leads to what it is made of."""

    @display(description=label)
    def field(organization: Organization) -> Any:
        try:
            balance = balance_at(organization, now=timezone.now())
        except Balance.DoesNotExist:
            return "–"
        amount = available(balance) if name == "available" else getattr(balance, name)
        text = money(amount, balance.currency)
        return format_html('<a href="{}">{}</a>', LISTS[name](organization), text) if name in LISTS else text

    field.__name__ = f"{name}_figure"
    return field


def rate_field(name: str, label: Any, place: int) -> Any:
    """What holds for all keys of the organization together, the one at `place` of `rates_of`, and whether that is the default."""

    @display(description=label)
    def field(organization: Organization) -> str:
        number = rate_words(rates_of(organization)[place])
        return number if getattr(organization, name) else gettext("%(number)s (the default)") % {"number": number}

    field.__name__ = f"{name}_figure"
    return field


@admin.register(Organization, site=site)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "slug",
        state_column(_("Status"), STATUS_TONES),
        "billing_currency",
        balance_field("available", _("Available")),
        balance_field("unbilled", _("Not yet invoiced")),
        "created_at",
    )
    list_filter = ("status", ("closes_at", admin.EmptyFieldListFilter), "billing_currency")
    search_fields = ("name", "slug", "billing_profile__legal_name", "billing_profile__registration_number")
    ordering = ("name",)
    inlines = (Profile, TermsInline, Closures, Members, Keys, Credits, Invoices)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "slug",
                    "status",
                    "billing_currency",
                    "exchange_policy",
                    "zone",
                    "language",
                    rate_field("requests_per_minute", _("Requests a minute"), 0),
                    rate_field("tokens_per_minute", _("Tokens a minute"), 1),
                    "created_at",
                    "closes_at",
                    "readable_until",
                )
            },
        ),
        (
            _("Balance"),
            {
                "fields": (
                    balance_field("available", _("Available, VAT included")),
                    balance_field("prepaid", _("Credit left, VAT included")),
                    balance_field("credit_line", _("Credit line, VAT included")),
                    balance_field("unbilled", _("Not yet invoiced, VAT excluded")),
                    balance_field("receivable", _("Invoiced and unpaid, VAT included")),
                    balance_field("held", _("Held for running calls, VAT included")),
                )
            },
        ),
    )

    def deeds(self, obj: Organization) -> list[tuple[Any, str]]:
        links = [
            (_("Requests"), f"{reverse('admin:usage_events')}?organization={obj.slug}"),
            (_("Ledger"), reverse("admin:ledger_statement", args=[obj.pk])),
            (_("Make a quotation"), reverse("admin:quote", args=[obj.pk])),
            (_("Give credit"), reverse("admin:give_credit", args=[obj.pk])),
            (_("Refund unused credit"), reverse("admin:refund_credit", args=[obj.pk])),
            (_("Agree commercial terms"), reverse("admin:set_terms", args=[obj.pk])),
            (_("Set limits a minute"), reverse("admin:set_rates", args=[obj.pk])),
            (_("Set the tax treatment"), reverse("admin:set_tax_treatment", args=[obj.pk])),
        ]
        links += standing_deeds(obj, Policies(now=timezone.now()).of(obj.pk))
        return links + closure_deeds(obj)


@admin.register(User, site=site)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "is_staff", "is_active", "date_joined")
    list_filter = ("is_staff", "is_active", "language")
    search_fields = ("email", "name")
    ordering = ("email",)
    fieldsets = (
        (None, {"fields": ("email", "name", "language", "is_staff", "is_active", "date_joined", "last_login")}),
    )

    class Places(ReadOnlyInline):
        model = Membership
        verbose_name_plural = _("Organizations")
        fields = (linked("place", _("organization"), lambda row: row.organization), "role", "created_at")

    inlines = (Places,)


@admin.register(ApiKey, site=site)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "prefix",
        linked("customer", _("organization"), lambda row: row.organization, order="organization__name"),
        "created_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "organization")
    search_fields = ("name", "prefix", "organization__name")
    list_select_related = ("organization",)
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "prefix",
                    linked("customer", _("organization"), lambda row: row.organization),
                    "scopes",
                    "allowed_models",
                    "created_by",
                    "created_at",
                    "expires_at",
                    "revoked_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).defer("digest")
