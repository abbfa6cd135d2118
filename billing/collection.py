"""Collect an open invoice: the attempt's row and key are committed, then the processor is called, then its answer is recorded.

One attempt at a time: while one is open – being started, waiting for the customer, or unknown – no other can be made (a unique
index guards it), so two clicks, two tabs or a lost answer never become two payments.
"""

import logging
import time
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.attempts import PAGE_LIFE, attempt_of, begin, conclude, load_payment
from billing.models import Invoice, Payment, PaymentMethod
from billing.processors.interface import Answer, Processor, ProcessorRefused, ProcessorUnreachable, Status
from billing.processors.selection import card_processor
from billing.settlement import outstanding, record_answer
from billing.unresolved import FIRST_PAUSE, resolve_payment

logger = logging.getLogger(__name__)
LEFT_ON_PAGE = timedelta(minutes=10)
"""A page with less time left is not shown again."""
OTHER_CLICK_SECONDS, GLANCE_SECONDS = 3.0, 0.1


class InvoiceNotOpen(Exception):
    """Only an open invoice can be paid."""


class AmountNotPossible(Exception):
    """The processor does not take payments of this size or currency; a bank transfer does."""


def start_payment(*, organization_id: int, invoice_id: UUID, now: datetime, user: User | None) -> Payment:
    """Begin to pay an invoice on the processor's hosted page; the payment's `action_url` is where to send the customer.

    A page that is open already is returned again. The payment comes back `unknown`, without an address, if the processor does not
    answer, and `failed` if it refuses. Raises Invoice.DoesNotExist, InvoiceNotOpen, AmountNotPossible, NoCardProcessor.
    """
    processor = card_processor()
    for _turn in range(2):
        payment, made = _open_attempt(processor, organization_id, invoice_id, now=now, user=user)
        if made:
            return _call(processor, payment, now=now)
        if payment.status == Payment.Status.UNKNOWN and now < payment.created_at + FIRST_PAUSE:
            payment = _wait_for_other_click(payment)
        if _can_be_paid_on(payment, now=now):
            return payment
        payment = resolve_payment(organization_id=organization_id, payment_id=payment.pk, now=now)
        if payment.status in (*Payment.OPEN_STATUSES, Payment.Status.SUCCEEDED):
            return payment
    return payment


def charge_invoice(*, organization_id: int, invoice_id: UUID, method_id: int, now: datetime) -> Payment:
    """Charge a stored card while its holder is away. An attempt that is open already is returned as it is.

    Raises Invoice.DoesNotExist, PaymentMethod.DoesNotExist, InvoiceNotOpen, AmountNotPossible, NoCardProcessor.
    """
    processor = card_processor()
    with tenant_scope([organization_id]):
        methods = PaymentMethod.objects.for_organization(organization_id)
        method = methods.get(pk=method_id, processor=processor.name, removed_at=None)
    payment, made = _open_attempt(processor, organization_id, invoice_id, now=now, method=method)
    return _call(processor, payment, now=now) if made else payment


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
                target=payment.invoice.number,
                organization=payment.invoice.organization,
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
        payments = payments.select_related("invoice__organization")
        return payments.filter(status__in=Payment.OPEN_STATUSES).first()


def _open_attempt(
    processor: Processor,
    organization_id: int,
    invoice_id: UUID,
    *,
    now: datetime,
    user: User | None = None,
    method: PaymentMethod | None = None,
) -> tuple[Payment, bool]:
    """The open attempt at the invoice, or a fresh one, committed before anybody is called; and whether it is fresh."""
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
        known = invoice.payments.filter(status__in=Payment.OPEN_STATUSES).first()
        if known is not None:
            return known, False
        amount = outstanding(invoice)
        if invoice.status != Invoice.Status.OPEN:
            raise InvoiceNotOpen(f"invoice {invoice.number} is {invoice.status}")
        if not processor.capabilities.can_take(amount, invoice.currency):
            raise AmountNotPossible(f"{amount} {invoice.currency} cannot be paid by card")
        payment_id = uuid4()
        payment = Payment.objects.create(
            id=payment_id,
            organization_id=organization_id,
            invoice=invoice,
            processor=processor.name,
            amount=amount,
            currency=invoice.currency,
            status=Payment.Status.UNKNOWN,
            idempotency_key=f"payment-{payment_id}",
            method=method,
            started_by=user,
            created_at=now,
        )
    return payment, True


def _call(processor: Processor, payment: Payment, *, now: datetime) -> Payment:
    """The first call of a fresh attempt, and its answer. Without an answer the attempt stays unknown until it is looked up."""
    payment = load_payment(organization_id=payment.organization_id, payment_id=payment.pk)
    attempt = attempt_of(payment)
    try:
        answer = conclude(processor, attempt, begin(processor, attempt))
    except ProcessorUnreachable as error:
        logger.warning("payment is unknown", extra={"payment_id": str(payment.pk), "reason": str(error)})
        return payment
    except ProcessorRefused as refused:
        logger.error("payment was refused", extra={"payment_id": str(payment.pk), "reason": refused.code})
        answer = Answer(status=Status.FAILED, reference="", failure=refused.code)
    return record_answer(organization_id=payment.organization_id, payment_id=payment.pk, answer=answer, now=now)


def _can_be_paid_on(payment: Payment, *, now: datetime) -> bool:
    waits = payment.status == Payment.Status.REQUIRES_ACTION and payment.action_url
    return bool(waits) and now < payment.created_at + PAGE_LIFE - LEFT_ON_PAGE


def _wait_for_other_click(payment: Payment) -> Payment:
    """A second click comes while the first one's call is running: its answer is worth a moment."""
    deadline = time.monotonic() + OTHER_CLICK_SECONDS
    while payment.status == Payment.Status.UNKNOWN and time.monotonic() < deadline:
        time.sleep(GLANCE_SECONDS)
        payment = load_payment(organization_id=payment.organization_id, payment_id=payment.pk)
    return payment
