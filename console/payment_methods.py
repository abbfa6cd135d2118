"""Cards on file and automatic top-ups, for whoever asks why something was charged, or was not. Customers change them."""

from django.contrib import admin
from django.contrib.admin import display
from django.utils.translation import gettext_lazy as _

from billing.models import AutomaticTopUp, CollectionSetting, PaymentMethod
from billing.payments.payment_states import failure_text
from console.figures import money_column
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin
from console.site import site


@display(description=_("Default"), boolean=True)
def is_default(method: PaymentMethod) -> bool:
    """Whether the customer pays with this one."""
    return CollectionSetting.objects.filter(default_method=method).exists()


@display(description=_("Automatic payment"), boolean=True)
def pays_by_itself(method: PaymentMethod) -> bool:
    """Whether invoices are charged to it by themselves."""
    return CollectionSetting.objects.filter(default_method=method, is_automatic=True).exists()


@admin.register(PaymentMethod, site=site)
class PaymentMethodAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at", CUSTOMER, "label", is_default, pays_by_itself, "expires_on", "added_by", "removed_at",
    )  # fmt: skip
    list_filter = (("removed_at", admin.EmptyFieldListFilter), "processor", "organization")
    search_fields = ("organization__name", "label", "reference", "customer_reference")
    list_select_related = ("organization", "added_by")
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    CUSTOMER, "label", is_default, pays_by_itself, "expires_on", "processor", "reference",
                    "customer_reference", "added_by", "created_at", "removed_at", "detached_at",
                )
            },
        ),
    )  # fmt: skip


@display(description=_("Failure"), ordering="failure")
def why_stopped(setting: AutomaticTopUp) -> str:
    """Why a card did not pay, in words."""
    return failure_text(setting.failure) or "–"


OF_ORGANIZATION = "organization.billing_currency"


@admin.register(AutomaticTopUp, site=site)
class AutomaticTopUpAdmin(ReadOnlyAdmin):
    list_display = (
        CUSTOMER,
        "is_on",
        money_column("threshold", _("Below"), currency=OF_ORGANIZATION),
        money_column("amount", _("Amount, VAT included"), currency=OF_ORGANIZATION),
        money_column("monthly_cap", _("At most in a month"), currency=OF_ORGANIZATION),
        "stopped_at",
        why_stopped,
    )
    list_display_links = None
    list_filter = ("is_on", ("stopped_at", admin.EmptyFieldListFilter))
    search_fields = ("organization__name",)
    list_select_related = ("organization",)
    ordering = ("organization__name",)
    fieldsets = ((None, {"fields": list_display}),)
