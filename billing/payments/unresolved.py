"""What became of an attempt? The same call again under the same idempotency key, or a look-up; never a second attempt.

A processor that does not answer leaves the attempt `unknown`, a customer who closes the page leaves it `requires_action`, a webhook
may be lost. So every open attempt is asked about, with growing pauses, until the processor has told its end.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.models import Payment
from billing.payments.asking import MOST_IN_VAIN, claim, waiting
from billing.payments.attempts import attempt_of, begin, conclude, load_payment, processor_of
from billing.processors.interface import (
    Answer,
    Attempt,
    Processor,
    ProcessorRefused,
    ProcessorUnreachable,
    Status,
)
from billing.settlement import AmountDiffers, outstanding, record_answer
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)
REPEATED_PAGE, REPEATED_CHARGE = timedelta(hours=1), timedelta(hours=23)
"""How long a call is repeated under its key. Stripe forgets keys after 24 hours and wants a page to live 30 minutes at least."""
PAGE_CERTAIN, CHARGE_CERTAIN = timedelta(minutes=2), timedelta(hours=25)
"""After this, an attempt that the processor does not know cannot arrive any more. Nobody has the address of a page that was never
answered, so a short wait is enough; a charge must outlive its last repetition by far."""
LOST = timedelta(minutes=10)
"""How long a page that the processor has forgotten is waited for after its end."""
NEVER_ARRIVED = "never_arrived"


def resolve_payment(
    *, organization_id: int, payment_id: UUID, now: datetime, wanted: bool = True, actor: User | None = None
) -> Payment:
    """Ask what became of an open attempt and write it down; one that ended, or is not answered about, is returned as it is.

    An attempt that is not `wanted` (by `actor`), or that its invoice no longer needs, is ended at the processor. Raises
    Payment.DoesNotExist, AmountDiffers.
    """
    payment = load_payment(organization_id=organization_id, payment_id=payment_id)
    try:
        return _resolve(payment, now=now, wanted=wanted, actor=actor)
    except ProcessorUnreachable as error:
        logger.warning("payment stays open", extra={"payment_id": str(payment_id), "reason": str(error)})
        Payment.objects.using("system").filter(pk=payment_id).update(checked_at=now)
        return payment


def resolve_unknown(*, now: datetime) -> int:
    """Ask about every open attempt whose time has come, of all tenants. Returns how many ended.

    Stops while the processor does not answer: who was asked about in vain stands last next time.
    """
    ended = in_vain = 0
    for row in waiting(Payment, now=now):
        if in_vain >= MOST_IN_VAIN or not claim(row, now=now):
            continue
        with others_go_on(payment_id=str(row.pk)):
            try:
                payment = load_payment(organization_id=row.organization_id, payment_id=row.pk)
                ended += _resolve(payment, now=now, wanted=True).status not in Payment.OPEN_STATUSES
            except ProcessorUnreachable as error:
                in_vain += 1
                logger.warning("payment stays open", extra={"payment_id": str(row.pk), "reason": str(error)})
            except AmountDiffers:
                logger.exception("a payment needs somebody to look", extra={"payment_id": str(row.pk)})
    return ended


def _resolve(payment: Payment, *, now: datetime, wanted: bool, actor: User | None = None) -> Payment:
    if payment.status not in Payment.OPEN_STATUSES:
        return payment
    with tenant_scope([payment.organization_id]):
        needed = payment.invoice is None or outstanding(payment.invoice) == payment.amount
    answer = ask(payment, wanted=wanted and needed, now=now)
    return record_answer(
        organization_id=payment.organization_id, payment_id=payment.pk, answer=answer, now=now, actor=actor
    )


def ask(payment: Payment, *, wanted: bool, now: datetime, hint: str = "") -> Answer:
    """What the processor says of `payment`; network, so outside of any transaction. Raises ProcessorUnreachable.

    `hint` is a reference that a webhook told before our own call was answered. An attempt that ended is never begun again.
    """
    processor = processor_of(payment)
    attempt = attempt_of(payment, hint=hint)
    may_repeat = payment.status == Payment.Status.UNKNOWN and not attempt.reference
    try:
        if not wanted:
            answer = _end(processor, attempt)
        elif may_repeat and now < attempt.created_at + (REPEATED_CHARGE if attempt.method else REPEATED_PAGE):
            answer = _begin_again(processor, attempt)
        else:
            answer = processor.look_up(attempt)
        if answer is None and _is_certain(attempt, now=now):
            return Answer(status=Status.FAILED, reference=attempt.reference, failure=NEVER_ARRIVED)
        if answer is None:
            raise ProcessorUnreachable("it may still be on its way")
        return conclude(processor, attempt, answer)
    except ProcessorRefused as refused:
        raise ProcessorUnreachable(f"refused: {refused.code}") from refused


def _begin_again(processor: Processor, attempt: Attempt) -> Answer | None:
    """The same call under the same key: a kept answer comes back, a call that never arrived arrives now."""
    try:
        return begin(processor, attempt)
    except (ProcessorUnreachable, ProcessorRefused) as error:
        # A refusal tells nothing of the calls before it: our access to the processor may have changed since.
        logger.info("asked again in vain", extra={"payment_id": str(attempt.payment_id), "reason": str(error)})
        return processor.look_up(attempt)


def _end(processor: Processor, attempt: Attempt) -> Answer | None:
    ended = processor.cancel(attempt)
    if ended is not None and ended.status == Status.REQUIRES_ACTION:
        raise ProcessorUnreachable("it could not be canceled")
    return ended


def _is_certain(attempt: Attempt, *, now: datetime) -> bool:
    """Whether what the processor does not know will never arrive."""
    if attempt.method:
        return now >= attempt.created_at + CHARGE_CERTAIN
    return now >= (attempt.expires_at + LOST if attempt.reference else attempt.created_at + PAGE_CERTAIN)
