"""What all actions on one invoice share: the look-up, its facts, and the way back to it."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _

from billing.models import Invoice
from console.deeds import Deed, Row
from console.figures import money
from console.read_only import address_of


class InvoiceDeed(Deed):
    """On one invoice."""

    def prepare(self, pk: Any) -> None:
        self.invoice = get_object_or_404(Invoice.objects.select_related("organization", "period"), pk=pk)

    def facts(self) -> list[Row]:
        invoice = self.invoice
        return [
            (_("invoice"), invoice.number),
            (_("organization"), invoice.organization),
            (_("Status"), invoice.get_status_display()),
            (_("Total"), money(invoice.total, invoice.currency)),
            (_("Amount due"), money(invoice.amount_due, invoice.currency)),
        ]

    def back(self) -> str:
        return address_of(self.invoice)
