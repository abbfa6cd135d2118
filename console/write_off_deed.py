"""Write off what an invoice is still owed."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.corrections.write_offs import write_off_invoice
from billing.invoicing import NotOpen, PaymentInProgress
from billing.overdue.suspension import running_suspension
from billing.settlement import outstanding
from console.deeds import Obstacle, Refused, Row, add_deed
from console.figures import money
from console.one_invoice import InvoiceDeed
from console.payment_deeds import attempt_in_the_way
from console.standing import ReasonForm


class WriteOffInvoice(InvoiceDeed):
    form_class = ReasonForm
    title = _("Write off the invoice")
    lead = _(
        "What is still owed becomes bad debt, and the invoice uncollectible. Money that comes in later can still be recorded on it."
    )
    button = _("Write off")
    danger = True

    def obstacle(self) -> Obstacle | None:
        return attempt_in_the_way(self.invoice, now=timezone.now())

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [
            *self.facts(),
            (_("Becomes bad debt"), money(outstanding(self.invoice), self.invoice.currency)),
            (_("API keys"), self._calls()),
            (_("Reason"), values["reason"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            write_off_invoice(
                organization_id=self.invoice.organization_id,
                invoice_id=self.invoice.pk,
                reason=values["reason"],
                now=now,
                actor=self.request.user,
            )
        except NotOpen:
            raise Refused(gettext("Only an open invoice can be written off.")) from None
        except PaymentInProgress:
            raise Refused(gettext("The invoice is being paid right now.")) from None
        return gettext("Invoice %(number)s is written off.") % {"number": self.invoice.number}

    def _calls(self) -> Any:
        """What becomes of the customer's calls."""
        if running_suspension(self.invoice.organization) is None:
            return _("They go on working. Suspend the organization if they should not.")
        return _("They stay suspended until this is paid after all, or until you reactivate the organization.")


add_deed("invoices/<uuid:pk>/write-off/", WriteOffInvoice, name="write_off_invoice")
