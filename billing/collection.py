"""Collect an open invoice: the attempt's row and key are committed, then the processor is called, then its answer is recorded.

One attempt at a time: while one is open – being started, waiting for the customer, or unknown – no other can be made (a unique
index guards it), so two clicks, two tabs or a lost answer never become two payments.
"""

from datetime import datetime
from uuid import UUID, uuid4

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.models import Invoice, Payment
from billing.payments.attempts import lock_method, new_attempt
from billing.payments.starting import begin_on_page, first_call
from billing.payments.unresolved import resolve_payment
from billing.processors.interface import Processor
from billing.processors.selection import card_processor
from billing.settlement import outstanding
from billing.tax.proofs import refuse_card_after_tax_invoice


class InvoiceNotOpen(Exception):
    """Only an open invoice can be paid."""


class ChargedMeanwhile(Exception):
    """Somebody else has charged the invoice since the caller looked; whether it failed is theirs to tell."""


class AmountNotPossible(Exception):
    """The processor does not take payments of this size or currency; a bank transfer does."""


def start_payment(*, organization_id: int, invoice_id: UUID, now: datetime, user: User | None) -> Payment:
    """Begin to pay an invoice on the processor's hosted page; the payment's `action_url` is where to send the customer.

    A page that is open already is returned again. The payment comes back `unknown`, without an address, if the processor does not
    answer, and `failed` if it refuses. Raises Invoice.DoesNotExist, InvoiceNotOpen, CardRefused, AmountNotPossible,
    NoCardProcessor.
    """
    processor = card_processor()
    return begin_on_page(
        lambda: _open_attempt(processor, organization_id, invoice_id, now=now, user=user), processor=processor, now=now
    )


def charge_invoice(
    *, organization_id: int, invoice_id: UUID, method_id: int, now: datetime, earlier: int | None = None
) -> Payment:
    """Charge a stored card while its holder is away. An attempt that is open already is returned as it is.

    `earlier` is how many charges the caller saw before it decided on this one. Raises Invoice.DoesNotExist, CardRefused,
    PaymentMethod.DoesNotExist, InvoiceNotOpen, AmountNotPossible, ChargedMeanwhile, NoCardProcessor.
    """
    processor = card_processor()
    payment, made = _open_attempt(processor, organization_id, invoice_id, now=now, method_id=method_id, earlier=earlier)
    return first_call(processor, payment, now=now) if made else payment


def cancel_attempt(
    *, organization_id: int, invoice_id: UUID, now: datetime, actor: User | None = None, reason: str = ""
) -> Payment | None:
    """End the open attempt at an invoice, if there is one, say before voiding it. It may turn out to have succeeded.

    It comes back still open if the processor does not answer or cannot end it. That an operator asked for it is noted beforehand.
    Raises AmountDiffers.
    """
    payment = _open_payment(organization_id, invoice_id)
    if payment is None:
        return None
    if actor is not None:
        with tenant_scope([organization_id]):
            write_audit_entry(
                action="payment.cancel_asked",
                target=payment.purpose,
                organization=payment.organization,
                actor=actor,
                now=now,
                detail={"payment": str(payment.pk), "status": payment.status, "reason": reason},
            )
    return resolve_payment(organization_id=organization_id, payment_id=payment.pk, now=now, wanted=False, actor=actor)


def look_again(*, organization_id: int, invoice_id: UUID, now: datetime) -> Payment | None:
    """Ask about the open attempt at an invoice now: the customer is back from the page, and the webhook may be behind."""
    payment = _open_payment(organization_id, invoice_id)
    if payment is None:
        return None
    return resolve_payment(organization_id=organization_id, payment_id=payment.pk, now=now)


def _open_payment(organization_id: int, invoice_id: UUID) -> Payment | None:
    with tenant_scope([organization_id]):
        payments = Payment.objects.for_organization(organization_id).filter(invoice_id=invoice_id)
        payments = payments.select_related("organization", "invoice")
        return payments.filter(status__in=Payment.OPEN_STATUSES).first()


def _open_attempt(
    processor: Processor,
    organization_id: int,
    invoice_id: UUID,
    *,
    now: datetime,
    user: User | None = None,
    method_id: int | None = None,
    earlier: int | None = None,
) -> tuple[Payment, bool]:
    """The open attempt at the invoice, or a fresh one, committed before anybody is called; and whether it is fresh."""
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
        known = invoice.payments.filter(status__in=Payment.OPEN_STATUSES).first()
        if known is not None:
            return known, False
        method = None if method_id is None else lock_method(processor, organization_id, method_id)
        if earlier is not None and charges_of(invoice) != earlier:
            raise ChargedMeanwhile(invoice.number)
        amount = outstanding(invoice)
        if invoice.status != Invoice.Status.OPEN:
            raise InvoiceNotOpen(f"invoice {invoice.number} is {invoice.status}")
        refuse_card_after_tax_invoice(invoice)
        if not processor.capabilities.can_take(amount, invoice.currency):
            raise AmountNotPossible(f"{amount} {invoice.currency} cannot be paid by card")
        payment = new_attempt(
            organization_id=organization_id,
            processor=processor,
            amount=amount,
            currency=invoice.currency,
            key=f"payment-{uuid4()}",
            now=now,
            invoice=invoice,
            method=method,
            user=user,
        )
    return payment, True


def charges_of(invoice: Invoice) -> int:
    """How often a stored card was charged for it, whatever came of that. Needs the tenant scope."""
    return invoice.payments.filter(method__isnull=False).count()
