"""What became of a refund? The same call again under the same key, or a look-up; never a second refund."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from accounts.tenancy import tenant_scope
from billing.corrections.refunds import record_answer
from billing.models import Payment, Refund
from billing.payments.asking import MOST_IN_VAIN, claim, waiting
from billing.payments.attempts import attempt_of, load_payment
from billing.payments.unresolved import NEVER_ARRIVED
from billing.processors.interface import (
    Processor,
    ProcessorRefused,
    ProcessorUnreachable,
    RefundAnswer,
    RefundRequest,
    Status,
)
from billing.processors.selection import processors
from ledger.sweeping import others_go_on

logger = logging.getLogger(__name__)
REPEATED, CERTAIN = timedelta(hours=23), timedelta(hours=25)
"""How long a call is repeated under its key, which Stripe forgets after 24 hours; and after which what the processor does not know
cannot arrive any more."""
LATE = "-late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A refund with all that the processor is told of it; `is_first`: its row was made just now, so nobody was called before."""

    refund: Refund
    processor: Processor
    request: RefundRequest
    is_first: bool


def call_first(refunds: Iterable[Refund], *, now: datetime) -> list[Refund]:
    """Make the call of refunds whose rows were just committed. Who gets no answer stays unknown, for the sweep to ask about."""
    return [_try(refund, now=now, is_first=True) for refund in refunds]


def resolve_unknown_refunds(*, now: datetime) -> int:
    """Ask about every open refund whose time has come, of all tenants. Returns how many ended."""
    ended = in_vain = 0
    for row in waiting(Refund, now=now):
        if in_vain >= MOST_IN_VAIN or not claim(row, now=now):
            continue
        with others_go_on(refund_id=str(row.pk)):
            try:
                ended += _resolve(_load(row.organization_id, row.pk), now=now).status not in Refund.OPEN_STATUSES
            except ProcessorUnreachable as error:
                in_vain += 1
                logger.warning("refund stays open", extra={"refund_id": str(row.pk), "reason": str(error)})
    return ended


def ask(refund: Refund, *, now: datetime, is_first: bool = False) -> RefundAnswer:
    """What the processor says of a refund; network, so outside of any transaction. Raises ProcessorUnreachable."""
    question = _question(refund, is_first=is_first)
    try:
        if refund.status == Refund.Status.UNKNOWN and not refund.reference and now < refund.created_at + REPEATED:
            answer = _call(question)
        else:
            answer = question.processor.look_up_refund(question.request)
    except ProcessorRefused as refused:
        raise ProcessorUnreachable(f"refused: {refused.code}") from refused
    if answer is not None:
        return answer
    if now >= refund.created_at + CERTAIN:
        return RefundAnswer(reference="", status=Status.FAILED, failure=NEVER_ARRIVED)
    raise ProcessorUnreachable("it may still be on its way")


def _call(question: Question) -> RefundAnswer | None:
    """A refusal of the very first call is its end; a later one tells nothing of the calls before it, so it is looked up."""
    try:
        return question.processor.refund(question.request)
    except ProcessorRefused as refused:
        if question.is_first:
            return RefundAnswer(reference="", status=Status.FAILED, failure=refused.code)
        return question.processor.look_up_refund(question.request)
    except ProcessorUnreachable:
        if question.is_first:
            raise
        return question.processor.look_up_refund(question.request)


def _try(refund: Refund, *, now: datetime, is_first: bool = False) -> Refund:
    try:
        return _resolve(refund, now=now, is_first=is_first)
    except ProcessorUnreachable as error:
        logger.warning("refund stays open", extra={"refund_id": str(refund.pk), "reason": str(error)})
        Refund.objects.using("system").filter(pk=refund.pk).update(checked_at=now)
        return refund


def _resolve(refund: Refund, *, now: datetime, is_first: bool = False) -> Refund:
    answer = ask(refund, now=now, is_first=is_first)
    return record_answer(organization_id=refund.organization_id, refund_id=refund.pk, answer=answer, now=now)


def _question(refund: Refund, *, is_first: bool) -> Question:
    processor = processors().get(refund.processor)
    if processor is None:
        raise ProcessorUnreachable(f"{refund.processor} is not set up")
    request = RefundRequest(
        refund_id=refund.pk,
        idempotency_key=refund.idempotency_key,
        money_reference=_money_reference(refund, processor),
        amount=refund.amount,
        currency=refund.currency,
        reference=refund.reference,
    )
    return Question(refund=refund, processor=processor, request=request, is_first=is_first)


def _money_reference(refund: Refund, processor: Processor) -> str:
    """The processor's name of the money that came in, as it tells it of the payment."""
    assert refund.payment_id is not None, "only what is sent by hand may have no payment"
    payment = load_payment(organization_id=refund.organization_id, payment_id=refund.payment_id)
    if not payment.reference and payment.idempotency_key.endswith(LATE):
        payment = _origin(payment)
    try:
        found = processor.look_up(attempt_of(payment))
    except ProcessorRefused as refused:
        raise ProcessorUnreachable(f"refused: {refused.code}") from refused
    if found is None or not found.money_reference:
        raise ProcessorUnreachable("the payment is not known there")
    return found.money_reference


def _origin(late: Payment) -> Payment:
    """The attempt that a payment which came in late was of."""
    with tenant_scope([late.organization_id]):
        payments = Payment.objects.for_organization(late.organization_id)
        origin = payments.get(idempotency_key=late.idempotency_key.removesuffix(LATE))
    return load_payment(organization_id=late.organization_id, payment_id=origin.pk)


def _load(organization_id: int, refund_id: UUID) -> Refund:
    with tenant_scope([organization_id]):
        return Refund.objects.for_organization(organization_id).get(pk=refund_id)
