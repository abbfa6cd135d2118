"""The last step of the walk: what a processor's answer makes of an attempt, of what it pays and of the balance, in one transaction.

States only move forward – unknown, requires_action, pending, then succeeded, failed or canceled – so answers and webhooks may come
twice and in any order. Money that arrives for an invoice that no longer needs it is never lost: it becomes prepaid credit
(docs/decisions/0008-overpayment-becomes-credit.md).

Locks are taken in the order invoice, balance. Whatever changes where a payment stands holds its invoice's row, so payments need no
lock of their own; only a top-up, which has no invoice, is locked itself (`top_up_settlement`).
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.mail import mails
from billing.models import CreditNote, Invoice, OutboxMail, Payment
from billing.payments.top_up_settlement import note_refused_top_up, settle_top_up
from billing.processors import bank_transfer
from billing.processors.interface import Answer, Status
from billing.tax import proofs
from ledger import invoice_corrections, settling
from ledger.credits import grant_credit
from ledger.models import Account, CreditGrant
from ledger.retrying import with_retries
from pricing.exact import ZERO
from pricing.plain_text import plain

logger = logging.getLogger(__name__)
FORWARD = (Payment.Status.UNKNOWN, Payment.Status.REQUIRES_ACTION, Payment.Status.PENDING)


class AmountDiffers(Exception):
    """The processor took another amount than the attempt was for. Somebody has to look; nothing was written."""


def overpayment_key(payment: Payment) -> str:
    """The key of the credit that a payment became, as far as its invoice did not need it; invariant 21 finds it by this."""
    return f"overpayment:{payment.pk}"


def outstanding(invoice: Invoice, *, besides: Payment | None = None) -> Decimal:
    """What is still to be paid, `besides` that payment. Needs the tenant scope; exact while the invoice's row is locked.

    The amount due less payments less what credit notes took off it. What a note sets aside for a refund was paid, so a refund
    changes nothing here.
    """
    return _lacking(invoice, besides) if invoice.status == Invoice.Status.OPEN else ZERO


def recoverable(invoice: Invoice, *, besides: Payment | None = None) -> Decimal:
    """What may still come in of an invoice that was written off; otherwise as `outstanding`."""
    return _lacking(invoice, besides) if invoice.status == Invoice.Status.UNCOLLECTIBLE else ZERO


def _lacking(invoice: Invoice, besides: Payment | None) -> Decimal:
    payments = invoice.payments.filter(status=Payment.Status.SUCCEEDED)
    if besides is not None:
        payments = payments.exclude(pk=besides.pk)
    paid = _kept_by_invoice(payments).get(invoice.pk, ZERO)
    noted = invoice.credit_notes.aggregate(sum=Sum("applied"))["sum"] or ZERO
    due: Decimal = invoice.amount_due - paid - noted
    return due


def outstanding_by_invoice(invoices: Iterable[Invoice]) -> dict[UUID, Decimal]:
    """`outstanding` of each, in three queries."""
    found = list(invoices)
    still_open = [invoice.pk for invoice in found if invoice.status == Invoice.Status.OPEN]
    payments = Payment.objects.filter(invoice_id__in=still_open, status=Payment.Status.SUCCEEDED)
    paid = _kept_by_invoice(payments)
    notes = CreditNote.objects.filter(invoice_id__in=still_open)
    noted = dict(notes.values_list("invoice_id").annotate(sum=Sum("applied")))
    return {
        invoice.pk: invoice.amount_due - paid.get(invoice.pk, ZERO) - noted.get(invoice.pk, ZERO)
        if invoice.status == Invoice.Status.OPEN
        else ZERO
        for invoice in found
    }


def _kept_by_invoice(payments: QuerySet[Payment]) -> dict[UUID, Decimal]:
    """What each invoice took of these payments: what became credit stays credit, also where the invoice is open again by now."""
    found = {overpayment_key(payment): payment for payment in payments.only("pk", "invoice_id", "amount")}
    kept: dict[UUID, Decimal] = {}
    for payment in found.values():
        if payment.invoice_id is not None:
            kept[payment.invoice_id] = kept.get(payment.invoice_id, ZERO) + payment.amount
    if found:
        for key, amount in CreditGrant.objects.filter(key__in=list(found)).values_list("key", "amount"):
            invoice_id = found[key].invoice_id
            assert invoice_id is not None
            kept[invoice_id] -= amount
    return kept


def pay_off(invoice: Invoice, *, now: datetime) -> None:
    """Nothing more is needed of the invoice, which is locked: it is paid."""
    invoice.status, invoice.paid_at = Invoice.Status.PAID, now
    invoice.save(update_fields=["status", "paid_at"])


def kept_of(payment: Payment) -> Decimal:
    """What its invoice took of a payment that succeeded; the rest became credit. Needs the tenant scope."""
    excess = CreditGrant.objects.for_organization(payment.organization_id).filter(key=overpayment_key(payment))
    kept: Decimal = payment.amount - (excess.aggregate(sum=Sum("amount"))["sum"] or ZERO)
    return kept


def lock_payment(*, organization_id: int, payment_id: UUID) -> Payment:
    """A payment with its invoice, whose row (a top-up's own) keeps others from both until the transaction ends.

    Raises Payment.DoesNotExist.
    """
    payments = Payment.objects.for_organization(organization_id)
    invoice_id = payments.get(pk=payment_id).invoice_id
    if invoice_id is None:
        return payments.select_for_update().get(pk=payment_id)
    invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
    payment = payments.get(pk=payment_id)
    payment.invoice = invoice
    return payment


def record_answer(
    *, organization_id: int, payment_id: UUID, answer: Answer, now: datetime, actor: User | None = None
) -> Payment:
    """`apply_answer` in a transaction of its own."""

    def write() -> Payment:
        with tenant_scope([organization_id]):
            payment = lock_payment(organization_id=organization_id, payment_id=payment_id)
            return apply_answer(payment=payment, answer=answer, now=now, actor=actor)

    return with_retries(write)


def apply_answer(*, payment: Payment, answer: Answer, now: datetime, actor: User | None = None) -> Payment:
    """Write down where a payment that is locked stands. Returns the row that holds the money, once there is some.

    `actor` is who ended it, if that was not the customer. Raises AmountDiffers.
    """
    payment.checked_at = now
    if answer.status == Status.SUCCEEDED:
        return _succeed(payment, answer, now)
    if payment.status not in FORWARD:
        return payment
    payment.reference = payment.reference or answer.reference
    if answer.status in (Status.FAILED, Status.CANCELED):
        _end(payment, answer, now, actor or payment.started_by)
    elif answer.status == Status.PENDING:
        payment.status, payment.action_url, payment.failure = Payment.Status.PENDING, "", ""
    elif answer.status == Status.REQUIRES_ACTION and payment.status != Payment.Status.PENDING:
        payment.status, payment.action_url = Payment.Status.REQUIRES_ACTION, answer.action_url
        payment.failure = answer.failure[:200]
    payment.save()
    return payment


def settle(*, invoice: Invoice, payment: Payment, now: datetime, actor: User | None = None) -> Payment:
    """The payment's money is ours: pay the invoice with it as far as it needs it, keep the rest as credit, send a receipt.

    An invoice that was written off takes it, too: what nobody expected any more is recovered.
    """
    written_off = recoverable(invoice, besides=payment)
    due = written_off or outstanding(invoice, besides=payment)
    applied = min(payment.amount, due)
    excess = payment.amount - applied
    payment.status, payment.settled_at = Payment.Status.SUCCEEDED, now
    payment.action_url = payment.failure = ""
    payment.save()
    settling.lock_balance(payment.organization_id)
    settling.receive_payment(
        organization_id=payment.organization_id,
        payment_id=payment.pk,
        amount=payment.amount,
        account=Account.BANK if payment.processor == bank_transfer.NAME else Account.CLEARING,
        now=now,
    )
    recovered = applied if written_off else ZERO
    if recovered:
        invoice_corrections.recover(
            organization_id=payment.organization_id, payment_id=payment.pk, amount=recovered, now=now
        )
    if applied and applied == due:
        pay_off(invoice, now=now)
    if applied:
        proofs.money_came(invoice=invoice, payment=payment, now=now, actor=actor or payment.started_by)
    if excess:
        _keep_as_credit(invoice, payment, excess, now)
    write_audit_entry(
        action="payment.succeeded",
        target=invoice.number,
        organization=invoice.organization,
        actor=actor or payment.started_by,
        now=now,
        detail={
            "payment": str(payment.pk),
            "processor": payment.processor,
            "amount": plain(payment.amount),
            "to_credit": plain(excess),
            "recovered": plain(recovered),
        },
    )
    _mail(OutboxMail.Kind.RECEIPT, invoice, payment, now, to_credit=plain(excess))
    return payment


def return_payments(*, invoice: Invoice, now: datetime) -> None:
    """An open invoice is being voided: what was paid of it becomes credit, which the next one uses."""
    for payment in invoice.payments.filter(status=Payment.Status.SUCCEEDED):
        _keep_as_credit(invoice, payment, payment.amount, now)


def _succeed(payment: Payment, answer: Answer, now: datetime) -> Payment:
    if payment.status == Payment.Status.SUCCEEDED:
        return payment
    if (answer.amount, answer.currency) != (payment.amount, payment.currency):
        raise AmountDiffers(f"payment {payment.pk}: {answer.amount} {answer.currency} instead of {payment.amount}")
    if payment.status in FORWARD:
        payment.reference = payment.reference or answer.reference
        return _take_in(payment, now)
    return _settle_late(payment, answer, now)


def _take_in(payment: Payment, now: datetime) -> Payment:
    if payment.invoice is None:
        return settle_top_up(payment=payment, now=now)
    return settle(invoice=payment.invoice, payment=payment, now=now)


def _settle_late(payment: Payment, answer: Answer, now: datetime) -> Payment:
    """An attempt that we had given up brought money after all. Ended rows stay as they are; the money gets one of its own."""
    late, made = Payment.objects.get_or_create(
        idempotency_key=f"{payment.idempotency_key}-late",
        defaults={
            "organization_id": payment.organization_id,
            "invoice": payment.invoice,
            "processor": payment.processor,
            "amount": answer.amount,
            "currency": answer.currency,
            "status": Payment.Status.SUCCEEDED,
            "reference": answer.money_reference if answer.money_reference != payment.reference else "",
            "method": payment.method,
            "started_by": payment.started_by,
            "created_at": now,
        },
    )
    if made:
        logger.error("money came in for an attempt that was given up", extra={"payment_id": str(payment.pk)})
        _take_in(late, now)
    return late


def _end(payment: Payment, answer: Answer, now: datetime, actor: User | None) -> None:
    """Failed or canceled. A customer who is on the hosted page sees a refusal there; others are told by mail."""
    failed = answer.status == Status.FAILED
    payment.status = Payment.Status.FAILED if failed else Payment.Status.CANCELED
    payment.settled_at, payment.action_url, payment.failure = now, "", answer.failure[:200]
    write_audit_entry(
        action="payment.failed" if failed else "payment.canceled",
        target=payment.purpose,
        organization=payment.organization,
        actor=actor,
        now=now,
        detail={"payment": str(payment.pk), "processor": payment.processor, "failure": payment.failure},
    )
    if failed and payment.method_id is not None:
        if payment.invoice is None:
            note_refused_top_up(payment=payment, now=now)
        else:
            _mail(OutboxMail.Kind.PAYMENT_FAILED, payment.invoice, payment, now, failure=payment.failure)


def _keep_as_credit(invoice: Invoice, payment: Payment, excess: Decimal, now: datetime) -> None:
    logger.warning("a payment became credit", extra={"payment_id": str(payment.pk), "invoice": invoice.number})
    grant_credit(
        organization=invoice.organization,
        amount=excess,
        currency=payment.currency,
        kind=CreditGrant.Kind.PAID,
        reason=f"Overpayment, {invoice.number}",
        key=overpayment_key(payment),
        now=now,
        source=Account.RECEIVABLE,
    )


def _mail(kind: str, invoice: Invoice, payment: Payment, now: datetime, **more: str) -> None:
    recipient = invoice.buyer.get("contact_email", "")
    if not recipient:
        return
    mails.enqueue(
        kind=kind,
        key=f"{kind}:{payment.pk}",
        organization=invoice.organization,
        recipient=recipient,
        language=invoice.language,
        invoice=invoice,
        context={
            "payment": str(payment.pk),
            "amount": plain(payment.amount),
            "currency": payment.currency,
            "processor": payment.processor,
            "paid_at": payment.paid_at.isoformat() if payment.paid_at else "",
        }
        | more,
        now=now,
    )
