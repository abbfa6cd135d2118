"""The buyer hears that a tax invoice was issued, in the transaction that writes the provider's answer down."""

from datetime import datetime

from billing.mail import mails
from billing.models import Invoice, OutboxMail, TaxInvoice


def sheet_issued(row: TaxInvoice, invoice: Invoice, *, now: datetime) -> None:
    """Once for each sheet, at the address that it names; nobody where it names none."""
    recipient = row.buyer.get("email", "")
    if not recipient:
        return
    mails.enqueue(
        kind=OutboxMail.Kind.TAX_INVOICE,
        key=f"{OutboxMail.Kind.TAX_INVOICE}:{row.pk}",
        organization=invoice.organization,
        recipient=recipient,
        language=invoice.language,
        invoice=invoice,
        context={"tax_invoice": str(row.pk)},
        now=now,
    )
