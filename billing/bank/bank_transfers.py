"""Money on our bank account that is known to be for an invoice, or to be prepaid: a payment that has happened already."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.models import Invoice, Payment
from billing.payments.top_up_settlement import settle_top_up
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
        payment, made = _received(
            organization_id, invoice, amount, invoice.currency, payer_name, key, received_at=received_at, actor=actor
        )
        return settle(invoice=invoice, payment=payment, now=now, actor=actor) if made else payment


def record_prepayment(
    *,
    organization_id: int,
    amount: Decimal,
    currency: str,
    payer_name: str,
    key: str,
    received_at: datetime,
    actor: User | None,
    now: datetime,
) -> Payment:
    """Give an organization that owes nothing the transfer as prepaid credit, once per `key`.

    Raises InvalidAmount (of another currency than the organization's, too), KeyInUse.
    """
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        if organization.billing_currency != currency:
            raise InvalidAmount(f"{amount} {currency}")
        payment, made = _received(
            organization_id, None, amount, currency, payer_name, key, received_at=received_at, actor=actor
        )
        return settle_top_up(payment=payment, now=now, actor=actor) if made else payment


def _received(
    organization_id: int,
    invoice: Invoice | None,
    amount: Decimal,
    currency: str,
    payer_name: str,
    key: str,
    *,
    received_at: datetime,
    actor: User | None,
) -> tuple[Payment, bool]:
    """The payment of that name, and whether it was made just now. Raises InvalidAmount, KeyInUse."""
    if amount <= ZERO or amount != round_to_minor(amount, currency):
        raise InvalidAmount(f"{amount} {currency}")
    payment, made = Payment.objects.get_or_create(
        idempotency_key=f"{bank_transfer.NAME}-{organization_id}-{key}",
        defaults={
            "organization_id": organization_id,
            "invoice": invoice,
            "processor": bank_transfer.NAME,
            "amount": amount,
            "currency": currency,
            "status": Payment.Status.SUCCEEDED,
            "payer_name": payer_name,
            "started_by": actor,
            "created_at": received_at,
        },
    )
    if (payment.invoice, payment.amount, payment.payer_name) != (invoice, amount, payer_name):
        raise KeyInUse(key)
    return payment, made
