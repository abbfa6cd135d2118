"""Money that left at a processor without us, and the deed by which an operator says what was done about it."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import ProcessorOutflow
from billing.payments.outflows import AlreadySettled, settle_outflow
from console.deeds import Deed, Refused, Row, add_deed
from console.figures import money, money_column
from console.money import CUSTOMER
from console.read_only import ReadOnlyAdmin, address_of, linked
from console.site import site
from console.standing import ReasonForm

SEEN = ("noticed_at", CUSTOMER, "kind", money_column("amount", _("Amount")), "status", "settled_at")


@admin.register(ProcessorOutflow, site=site)
class ProcessorOutflowAdmin(ReadOnlyAdmin):
    list_display = SEEN
    list_filter = (("settled_at", admin.EmptyFieldListFilter), "kind", "processor", "organization")
    search_fields = ("organization__name", "organization__slug", "reference")
    list_select_related = ("organization", "payment")
    date_hierarchy = "noticed_at"
    ordering = ("-noticed_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *SEEN[:-1],
                    linked("of_payment", _("payment"), lambda row: row.payment),
                    "processor",
                    "reference",
                    "reason",
                    "changed_at",
                    "settlement",
                    "settled_at",
                    "settled_by",
                )
            },
        ),
    )

    def deeds(self, obj: ProcessorOutflow) -> list[tuple[Any, str]]:
        return [] if obj.settled_at else [(_("Note what was done"), reverse("admin:settle_outflow", args=[obj.pk]))]


class SettleOutflow(Deed):
    form_class = ReasonForm
    title = _("Note what was done")
    lead = _("Say how this money is in the books now, or why it need not be. The alarm ends with it.")
    button = _("Save")

    def prepare(self, pk: int) -> None:
        self.outflow = get_object_or_404(ProcessorOutflow.objects.select_related("organization"), pk=pk)

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        outflow = self.outflow
        return [
            (_("organization"), outflow.organization),
            (_("Kind"), outflow.get_kind_display()),
            (_("Amount"), money(outflow.amount, outflow.currency)),
            (_("Reference"), outflow.reference),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            settle_outflow(
                organization_id=self.outflow.organization_id,
                outflow_id=self.outflow.pk,
                what_was_done=values["reason"],
                now=now,
                actor=self.request.user,
            )
        except AlreadySettled:
            raise Refused(gettext("Somebody else noted what was done.")) from None
        return gettext("Noted.")

    def back(self) -> str:
        return address_of(self.outflow)


add_deed("outflows/<int:pk>/settle/", SettleOutflow, name="settle_outflow")
