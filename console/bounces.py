"""Addresses that came back: whose they are, what the server said, and since when."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from billing.models import BouncingAddress
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin
from console.site import site


class Standing(admin.SimpleListFilter):
    """Those that still come back, as far as is known."""

    title = _("sending")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Comes back"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BouncingAddress]) -> QuerySet[BouncingAddress]:
        return queryset.filter(cleared_at=None) if self.value() == "yes" else queryset


@admin.register(BouncingAddress, site=site)
class BouncingAddressAdmin(ReadOnlyAdmin):
    list_display = ("address", CUSTOMER, "reason", "bounced_at", "cleared_at")
    list_filter = (Standing, "organization")
    search_fields = ("address", "organization__name", "organization__slug")
    list_select_related = ("organization",)
    ordering = ("-bounced_at",)
    fieldsets = ((None, {"fields": ("address", CUSTOMER, "reason", "bounced_at", "cleared_at")}),)
