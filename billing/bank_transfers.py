"""Money on our bank account: an operator saw it on the statement and says which invoice it is for."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.models import Invoice, Payment
from billing.processors import bank_transfer
from billing.settlement import settle
from pricing.exact import ZERO
from pricing.totals import round_to_minor


class InvalidAmount(ValueError):
    """Not above zero, or with a fraction of a won or cent."""


class KeyInUse(Exception):
    """The same key was recorded with another amount, payer or invoice."""


def record_transfer(
    *,
    organization_id: int,
    invoice_id: UUID,
    amount: Decimal,
    payer_name: str,
    key: str,
    received_at: datetime,
    actor: User | None,
    now: datetime,
) -> Payment:
    """Settle an invoice with a transfer, in its currency. `key` is the statement's own name of it and counts once.

    Less than what is due leaves the invoice open for the rest; more, or money for an invoice that is paid or void, becomes prepaid
    credit. Raises Invoice.DoesNotExist, InvalidAmount, KeyInUse.
    """
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
        if amount <= ZERO or amount != round_to_minor(amount, invoice.currency):
            raise InvalidAmount(f"{amount} {invoice.currency}")
        payment, made = Payment.objects.get_or_create(
            idempotency_key=f"{bank_transfer.NAME}-{organization_id}-{key}",
            defaults={
                "organization_id": organization_id,
                "invoice": invoice,
                "processor": bank_transfer.NAME,
                "amount": amount,
                "currency": invoice.currency,
                "status": Payment.Status.SUCCEEDED,
                "payer_name": payer_name,
                "started_by": actor,
                "created_at": received_at,
            },
        )
        if (payment.invoice_id, payment.amount, payment.payer_name) != (invoice_id, amount, payer_name):
            raise KeyInUse(key)
        return settle(invoice=invoice, payment=payment, now=now, actor=actor) if made else payment
