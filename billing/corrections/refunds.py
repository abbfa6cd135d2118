"""Money that a credit note set aside goes back to the customer, the way it came: the row and its key are committed, then the
processor is called, then its answer is recorded. What came by bank transfer an operator sends back by hand and says so here.

Never more than the note set aside, nor than its payment brought; while one refund of a payment is open, no other begins.
"""

import logging
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db.models import Sum

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.corrections import correction_news
from billing.models import CreditNote, Invoice, Payment, Refund
from billing.processors import bank_transfer
from billing.processors.interface import RefundAnswer, Status
from billing.processors.selection import processors
from billing.settlement import kept_of
from ledger import invoice_corrections, settling
from ledger.models import Account
from ledger.retrying import with_retries
from pricing.exact import EXACT, ZERO
from pricing.plain_text import plain
from pricing.totals import round_to_minor

logger = logging.getLogger(__name__)


class NothingToRefund(Exception):
    """The note has nothing left to send back, or none of its invoice's payments can be refunded this way now."""


class InvalidRefund(ValueError):
    """Not whole minor units above zero, more than is left of the note or of the payment, or a day to come."""


class ReferenceInUse(Exception):
    """The same number of a statement was recorded with another amount, day or payment."""


def left_to_refund(note: CreditNote) -> Decimal:
    """What a note set aside and nobody has sent back, or is sending back. Needs the tenant scope."""
    begun = note.refunds.exclude(status=Refund.Status.FAILED).aggregate(sum=Sum("amount"))["sum"] or ZERO
    return EXACT.subtract(note.to_refund, begun)


def left_of_payment(payment: Payment) -> Decimal:
    """What its invoice took of a payment and no refund gives back. Needs the tenant scope."""
    begun = payment.refunds.exclude(status=Refund.Status.FAILED).aggregate(sum=Sum("amount"))["sum"] or ZERO
    return EXACT.subtract(kept_of(payment), begun)


def refundable_payments(note: CreditNote) -> list[tuple[Payment, Decimal]]:
    """The payments of its invoice that money can go back on, the newest first, and how much of each. Needs the tenant scope."""
    payments = Payment.objects.for_organization(note.organization_id).filter(invoice_id=note.invoice_id)
    found = payments.filter(status=Payment.Status.SUCCEEDED).order_by("-settled_at", "-pk")
    rows = [(payment, left_of_payment(payment)) for payment in found]
    return [(payment, left) for payment, left in rows if left > ZERO]


def intend(*, note: CreditNote, now: datetime, actor: User | None) -> list[Refund]:
    """A row for each payment by card that money can go back on now; the invoice is locked. What is not covered waits for a hand."""
    rest, made = left_to_refund(note), []
    for payment, left in refundable_payments(note):
        processor = processors().get(payment.processor)
        if rest <= ZERO or processor is None or not processor.capabilities.partial_refund or _is_open(payment):
            continue
        refund_id, amount = uuid4(), min(rest, left)
        refund = Refund.objects.create(
            id=refund_id,
            organization_id=note.organization_id,
            payment=payment,
            credit_note=note,
            processor=payment.processor,
            amount=amount,
            currency=note.currency,
            status=Refund.Status.UNKNOWN,
            idempotency_key=f"refund-{refund_id}",
            started_by=actor,
            created_at=now,
        )
        rest = EXACT.subtract(rest, amount)
        made.append(refund)
        _audit("refund.started", refund, now=now, actor=actor)
    return made


def refund_again(*, organization_id: int, note_id: UUID, now: datetime, actor: User | None) -> list[Refund]:
    """Rows to send back by card what a note set aside and is not on its way, say after a refund failed; to be called about next.

    Raises CreditNote.DoesNotExist, NothingToRefund.
    """
    with tenant_scope([organization_id]):
        made = intend(note=_lock(organization_id, note_id), now=now, actor=actor)
    if not made:
        raise NothingToRefund(str(note_id))
    return made


def record_refund(
    *,
    organization_id: int,
    note_id: UUID,
    payment_id: UUID,
    amount: Decimal,
    sent_on: date,
    reference: str,
    now: datetime,
    actor: User | None,
) -> Refund:
    """Write down that we sent `amount` back from our bank account. `reference` is the statement's own name of it and counts once.

    Raises CreditNote.DoesNotExist, Payment.DoesNotExist, InvalidRefund, ReferenceInUse.
    """
    with tenant_scope([organization_id]):
        note = _lock(organization_id, note_id)
        payment = Payment.objects.for_organization(organization_id).get(pk=payment_id, invoice_id=note.invoice_id)
        key = f"{bank_transfer.NAME}-refund-{organization_id}-{reference}"
        known = Refund.objects.for_organization(organization_id).filter(idempotency_key=key).first()
        if known is not None:
            if (known.payment_id, known.amount, known.sent_on) != (payment_id, amount, sent_on):
                raise ReferenceInUse(reference)
            return known
        most = min(left_to_refund(note), left_of_payment(payment))
        today = now.astimezone(ZoneInfo(note.organization.zone)).date()
        if not ZERO < amount <= most or amount != round_to_minor(amount, note.currency) or sent_on > today:
            raise InvalidRefund(f"{amount} of {most}, on {sent_on}")
        refund = Refund.objects.create(
            organization_id=organization_id,
            payment=payment,
            credit_note=note,
            processor=bank_transfer.NAME,
            amount=amount,
            currency=note.currency,
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
    """Write down where a refund stands, under its invoice's lock. Answers may come twice and in any order.

    One that succeeded may still fail: its bank sent the money back, so it is to be refunded again.
    """
    refunds = Refund.objects.for_organization(organization_id).select_related("credit_note", "organization")
    _lock(organization_id, refunds.get(pk=refund_id).credit_note_id)
    refund = refunds.get(pk=refund_id)
    before = refund.status
    refund.checked_at, refund.reference = now, refund.reference or answer.reference
    if answer.status == Status.FAILED and before != Refund.Status.FAILED:
        refund.status, refund.failure, refund.settled_at = Refund.Status.FAILED, answer.failure[:200], now
        logger.error("a refund failed", extra={"refund_id": str(refund.pk), "reason": answer.failure})
        if before == Refund.Status.SUCCEEDED:
            _post(refund, now=now, returned=True)
        _audit("refund.failed", refund, now=now, actor=refund.started_by)
    elif answer.status == Status.SUCCEEDED and before in Refund.OPEN_STATUSES:
        refund.status, refund.settled_at = Refund.Status.SUCCEEDED, now
        _post(refund, now=now)
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
        account=Account.BANK if refund.processor == bank_transfer.NAME else Account.CLEARING,
        now=now,
        returned=returned,
    )
    if not returned:
        _audit("refund.succeeded", refund, now=now, actor=refund.started_by)
        correction_news.refund_made(refund, now=now)


def _lock(organization_id: int, note_id: UUID) -> CreditNote:
    """A note, its invoice's row keeping others from all that is refunded of it."""
    notes = CreditNote.objects.for_organization(organization_id).select_related("organization")
    note = notes.get(pk=note_id)
    Invoice.objects.select_for_update().for_organization(organization_id).get(pk=note.invoice_id)
    return note


def _is_open(payment: Payment) -> bool:
    return payment.refunds.filter(status__in=Refund.OPEN_STATUSES).exists()


def _audit(action: str, refund: Refund, *, now: datetime, actor: User | None) -> None:
    write_audit_entry(
        action=action,
        target=refund.credit_note.number,
        organization=refund.organization,
        actor=actor,
        now=now,
        detail={
            "refund": str(refund.pk),
            "payment": str(refund.payment_id),
            "processor": refund.processor,
            "amount": plain(refund.amount),
            "reference": refund.reference,
            "failure": refund.failure,
        },
    )
