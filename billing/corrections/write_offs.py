"""Nobody will pay an invoice any more: what is owed becomes bad debt. Should money come after all, `settlement.settle` takes it."""

from datetime import datetime
from uuid import UUID

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.invoicing import NotOpen, PaymentInProgress
from billing.models import Invoice, Payment, WriteOff
from billing.settlement import outstanding
from ledger import invoice_corrections, settling
from pricing.plain_text import plain


def write_off_invoice(
    *, organization_id: int, invoice_id: UUID, reason: str, now: datetime, actor: User | None
) -> WriteOff:
    """Make an open invoice uncollectible; its number, lines and what was paid of it stay.

    Raises Invoice.DoesNotExist, NotOpen for any other status, PaymentInProgress while an attempt to pay it is undecided.
    """
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
        if invoice.status != Invoice.Status.OPEN:
            raise NotOpen(f"invoice {invoice.number} is {invoice.status}")
        if invoice.payments.filter(status__in=Payment.OPEN_STATUSES).exists():
            raise PaymentInProgress(f"invoice {invoice.number} is being paid")
        amount = outstanding(invoice)
        settling.lock_balance(organization_id)
        invoice_corrections.write_off(organization_id=organization_id, invoice_id=invoice.pk, amount=amount, now=now)
        invoice.status = Invoice.Status.UNCOLLECTIBLE
        invoice.save(update_fields=["status"])
        written_off = WriteOff.objects.create(
            organization_id=organization_id,
            invoice=invoice,
            amount=amount,
            reason=reason,
            written_off_at=now,
            written_off_by=actor,
        )
        write_audit_entry(
            action="invoice.written_off",
            target=invoice.number,
            organization=invoice.organization,
            actor=actor,
            now=now,
            detail={"amount": plain(amount), "reason": reason},
        )
    return written_off
