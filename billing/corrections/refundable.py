"""What was set aside for a customer and is still here, and the payments that it can go back on; nothing is written.

A credit note sets aside what was paid of its invoice, a credit payout what was left of a paid credit. Every function needs the
tenant scope; figures are exact while `lock_origin` holds the rows.
"""

from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from billing.models import CreditNote, CreditPayout, Invoice, Payment, ProcessorOutflow, Refund
from billing.payments.credit_origins import payments_behind
from billing.payments.outflows import CAME_BACK
from billing.settlement import kept_of
from pricing.exact import EXACT, ZERO

Origin = CreditNote | CreditPayout


def left_to_refund(origin: Origin) -> Decimal:
    """What nobody has sent back of it, or is sending back."""
    return EXACT.subtract(origin.to_refund, _begun(origin.refunds.all()))


def left_of_payment(origin: Origin, payment: Payment) -> Decimal:
    """What can go back on a payment and no refund gives back; for a note no more than its invoice kept of it."""
    left = EXACT.subtract(payment.amount, _begun(payment.refunds.all()))
    if isinstance(origin, CreditPayout):
        return left
    return min(left, EXACT.subtract(kept_of(payment), _begun(payment.refunds.exclude(credit_note=None))))


def refundable_payments(origin: Origin) -> list[tuple[Payment, Decimal]]:
    """The payments that money can go back on, the newest first, and how much of each."""
    rows = [(payment, left_of_payment(origin, payment)) for payment in payments_of(origin)]
    return [(payment, left) for payment, left in rows if left > ZERO]


def left_at_processor(payment: Payment) -> Decimal:
    """What the processor can still send back of a payment: neither we nor anybody at its own desk did."""
    elsewhere = payment.outflows.filter(kind=ProcessorOutflow.Kind.REFUND).exclude(status__in=CAME_BACK)
    gone = elsewhere.aggregate(sum=Sum("amount"))["sum"] or ZERO
    return EXACT.subtract(EXACT.subtract(payment.amount, _begun(payment.refunds.all())), gone)


def payments_of(origin: Origin) -> list[Payment]:
    """The payments that brought what was set aside, the newest first. None: credit that an operator entered as paid."""
    if isinstance(origin, CreditPayout):
        return payments_behind(origin.credit_use.grant)
    paid = Payment.objects.for_organization(origin.organization_id).filter(status=Payment.Status.SUCCEEDED)
    return list(paid.filter(invoice_id=origin.invoice_id).order_by("-settled_at", "-pk"))


def find_origin(*, organization_id: int, origin_id: UUID) -> Origin:
    """The credit note or the credit payout of that id. Raises CreditPayout.DoesNotExist."""
    notes = CreditNote.objects.for_organization(organization_id).select_related("organization", "invoice")
    payouts = CreditPayout.objects.for_organization(organization_id).select_related("organization", "credit_use__grant")
    return notes.filter(pk=origin_id).first() or payouts.get(pk=origin_id)


def lock_origin(*, organization_id: int, origin_id: UUID) -> Origin:
    """The same, keeping others from all that is refunded of it, and on its payments, until the transaction ends."""
    origin = find_origin(organization_id=organization_id, origin_id=origin_id)
    if isinstance(origin, CreditNote):
        Invoice.objects.select_for_update().for_organization(organization_id).get(pk=origin.invoice_id)
    else:
        CreditPayout.objects.select_for_update().for_organization(organization_id).get(pk=origin_id)
    lock_payments(payments_of(origin))
    return origin


def lock_payments(payments: Iterable[Payment]) -> None:
    """After an invoice's row and before the balance: a payment may have brought both an invoice's money and credit."""
    found = sorted(payments, key=lambda payment: payment.pk)
    for payment in found:
        Payment.objects.select_for_update().for_organization(payment.organization_id).get(pk=payment.pk)


def _begun(refunds: QuerySet[Refund]) -> Decimal:
    """What was sent back, or is on its way; not what a customer was sent twice of it."""
    begun = refunds.exclude(status=Refund.Status.FAILED).aggregate(sum=Sum(F("amount") - F("excess")))["sum"]
    return begun or ZERO
