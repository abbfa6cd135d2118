"""The outbox: every mail that must go out, how often it was tried, and why it did not."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from billing.models import OutboxMail
from console.figures import count_column
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, linked, state_column
from console.site import site

TONES = {"sent": "success", "waiting": "info", "failed": "danger"}


@admin.register(OutboxMail, site=site)
class OutboxMailAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "kind",
        "recipient",
        CUSTOMER,
        linked("of_invoice", _("invoice"), lambda row: row.invoice),
        state_column(_("Status"), TONES),
        count_column("attempts", _("Attempts")),
        "sent_at",
        "last_error",
    )
    list_filter = ("status", "kind", "language", "organization")
    search_fields = ("recipient", "invoice__number", "message_id", "organization__name")
    list_select_related = ("organization", "invoice")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "kind",
                    "recipient",
                    CUSTOMER,
                    linked("of_invoice", _("invoice"), lambda row: row.invoice),
                    "status",
                    "attempts",
                    "created_at",
                    "next_attempt_at",
                    "sent_at",
                    "last_error",
                    "message_id",
                    "language",
                )
            },
        ),
    )
