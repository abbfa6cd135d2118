"""Money that a credit note or a credit payout set aside goes back to the customer, the way it came: the row and its key are
committed, then the processor is called, then its answer is recorded. What came by bank transfer an operator sends back by hand and
says so here.

Never more than was set aside, nor than its payment brought; while one refund of a payment is open, no other begins.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.corrections import correction_news, refund_alarms, sent_twice
from billing.corrections.refundable import (
    Origin,
    left_at_processor,
    left_of_payment,
    left_to_refund,
    lock_origin,
    payments_of,
    refundable_payments,
)
from billing.models import CreditNote, Payment, Refund
from billing.processors import bank_transfer
from billing.processors.interface import RefundAnswer, Status
from billing.processors.selection import processors
from ledger import invoice_corrections, settling
from ledger.models import Account
from ledger.retrying import with_retries
from pricing.exact import EXACT, ZERO
from pricing.plain_text import plain
from pricing.totals import round_to_minor


class NothingToRefund(Exception):
    """Nothing is left to send back, or none of the payments can be refunded this way now."""


class InvalidRefund(ValueError):
    """Not whole minor units above zero, more than is left to send back or of the payment, or a day to come."""


class ReferenceInUse(Exception):
    """The same number of a statement was recorded with another amount, day or payment."""


def intend(*, origin: Origin, now: datetime, actor: User | None) -> list[Refund]:
    """A row for each payment by card that money can go back on now; all are locked. What is not covered waits for a hand."""
    rest, made = left_to_refund(origin), []
    for payment, left in cards_of(origin):
        if rest <= ZERO:
            break
        refund_id, amount = uuid4(), min(rest, left)
        refund = Refund.objects.create(
            id=refund_id,
            organization_id=origin.organization_id,
            payment=payment,
            **_link(origin),
            processor=payment.processor,
            amount=amount,
            currency=origin.currency,
            status=Refund.Status.UNKNOWN,
            idempotency_key=f"refund-{refund_id}",
            started_by=actor,
            created_at=now,
        )
        rest = EXACT.subtract(rest, amount)
        made.append(refund)
        _audit("refund.started", refund, now=now, actor=actor)
    return made


def cards_of(origin: Origin) -> list[tuple[Payment, Decimal]]:
    """The payments by card that money can go back on now, and how much of each. Needs the scope."""
    found = []
    for payment, left in refundable_payments(origin):
        processor, left = processors().get(payment.processor), min(left, left_at_processor(payment))
        if left > ZERO and processor is not None and processor.capabilities.partial_refund and not _is_open(payment):
            found.append((payment, left))
    return found


def refund_again(*, organization_id: int, origin_id: UUID, now: datetime, actor: User | None) -> list[Refund]:
    """Rows to send back by card what a note or payout set aside and is not on its way, say after a refund failed; to be called
    about next.

    Raises CreditPayout.DoesNotExist, NothingToRefund.
    """
    with tenant_scope([organization_id]):
        origin = lock_origin(organization_id=organization_id, origin_id=origin_id)
        made = intend(origin=origin, now=now, actor=actor)
    if not made:
        raise NothingToRefund(str(origin_id))
    return made


def record_refund(
    *,
    organization_id: int,
    origin_id: UUID,
    payment_id: UUID | None,
    amount: Decimal,
    sent_on: date,
    reference: str,
    now: datetime,
    actor: User | None,
) -> Refund:
    """Write down that we sent `amount` back from our bank account. `reference` is the statement's own name of it and counts once.

    No payment is named only where none brought the money. Raises CreditPayout.DoesNotExist, Payment.DoesNotExist, InvalidRefund,
    ReferenceInUse.
    """
    with tenant_scope([organization_id]):
        origin = lock_origin(organization_id=organization_id, origin_id=origin_id)
        payment, most = _brought(origin, payment_id)
        key = f"{bank_transfer.NAME}-refund-{organization_id}-{reference}"
        known = Refund.objects.for_organization(organization_id).filter(idempotency_key=key).first()
        if known is not None:
            if (known.payment_id, known.amount, known.sent_on) != (payment_id, amount, sent_on):
                raise ReferenceInUse(reference)
            return known
        today = now.astimezone(ZoneInfo(origin.organization.zone)).date()
        if not ZERO < amount <= most or amount != round_to_minor(amount, origin.currency) or sent_on > today:
            raise InvalidRefund(f"{amount} of {most}, on {sent_on}")
        refund = Refund.objects.create(
            organization_id=organization_id,
            payment=payment,
            **_link(origin),
            processor=bank_transfer.NAME,
            amount=amount,
            currency=origin.currency,
            status=Refund.Status.SUCCEEDED,
            idempotency_key=key,
            reference=reference,
            sent_on=sent_on,
            started_by=actor,
            created_at=now,
            settled_at=now,
        )
        _post(refund, now=now)
    return refund


def record_answer(*, organization_id: int, refund_id: UUID, answer: RefundAnswer, now: datetime) -> Refund:
    """`apply_answer` in a transaction of its own."""

    def write() -> Refund:
        with tenant_scope([organization_id]):
            return apply_answer(organization_id=organization_id, refund_id=refund_id, answer=answer, now=now)

    return with_retries(write)


def apply_answer(*, organization_id: int, refund_id: UUID, answer: RefundAnswer, now: datetime) -> Refund:
    """Write down where a refund stands, under its origin's lock. Answers may come twice and in any order.

    One that succeeded may still fail: its bank sent the money back, so it is to be refunded again. One that we took for failed may
    have succeeded: the money is gone, whatever was sent instead of it meanwhile.
    """
    refunds = Refund.objects.for_organization(organization_id)
    lock_origin(organization_id=organization_id, origin_id=refunds.get(pk=refund_id).origin_id)
    refund = refunds.select_related("credit_note", "credit_payout__credit_use__grant", "organization").get(pk=refund_id)
    before = refund.status
    refund.checked_at, refund.reference = now, refund.reference or answer.reference
    if answer.status == Status.FAILED and before != Refund.Status.FAILED:
        refund.status, refund.failure, refund.settled_at = Refund.Status.FAILED, answer.failure[:200], now
        refund.save()
        if before == Refund.Status.SUCCEEDED:
            _post(refund, now=now, returned=True)
        sent_twice.ended(refund, now=now)
        _audit("refund.failed", refund, now=now, actor=refund.started_by)
        refund_alarms.failed(refund, now=now)
    elif answer.status == Status.SUCCEEDED and before != Refund.Status.SUCCEEDED:
        if before == Refund.Status.FAILED:
            refund.excess = sent_twice.beyond(refund)
        refund.status, refund.failure, refund.settled_at = Refund.Status.SUCCEEDED, "", now
        refund.save()
        _post(refund, now=now)
        if before == Refund.Status.FAILED:
            refund_alarms.watch_excess(refund, now=now)
    elif answer.status == Status.PENDING and before == Refund.Status.UNKNOWN:
        refund.status = Refund.Status.PENDING
    refund.save()
    return refund


def _post(refund: Refund, *, now: datetime, returned: bool = False) -> None:
    """The money has left us, or is back with us: postings, and those told who wait for it."""
    settling.lock_balance(refund.organization_id)
    invoice_corrections.send_back(
        organization_id=refund.organization_id,
        refund_id=refund.pk,
        amount=refund.amount,
        excess=refund.excess,
        account=Account.BANK if refund.processor == bank_transfer.NAME else Account.CLEARING,
        now=now,
        returned=returned,
    )
    if not returned:
        _audit("refund.succeeded", refund, now=now, actor=refund.started_by)
        correction_news.refund_made(refund, now=now)
        refund_alarms.settled(refund, now=now)


def _link(origin: Origin) -> dict[str, Any]:
    return {"credit_note": origin} if isinstance(origin, CreditNote) else {"credit_payout": origin}


def _brought(origin: Origin, payment_id: UUID | None) -> tuple[Payment | None, Decimal]:
    """The payment of that id among those that brought the money, and how much can go back on it."""
    payments = payments_of(origin)
    if payment_id is None and not payments:
        return None, left_to_refund(origin)
    payment = next((payment for payment in payments if payment.pk == payment_id), None)
    if payment is None:
        raise Payment.DoesNotExist(str(payment_id))
    return payment, min(left_to_refund(origin), left_of_payment(origin, payment))


def _is_open(payment: Payment) -> bool:
    return payment.refunds.filter(status__in=Refund.OPEN_STATUSES).exists()


def _audit(action: str, refund: Refund, *, now: datetime, actor: User | None) -> None:
    write_audit_entry(
        action=action,
        target=refund.origin.purpose,
        organization=refund.organization,
        actor=actor,
        now=now,
        detail={
            "refund": str(refund.pk),
            "payment": str(refund.payment_id or ""),
            "processor": refund.processor,
            "amount": plain(refund.amount),
            "reference": refund.reference,
            "failure": refund.failure,
            "excess": plain(refund.excess),
        },
    )
