"""The first call of an attempt whose row is committed, for invoices and top-ups alike: for a hosted page, or to charge a card."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from billing.models import Payment
from billing.payments.asking import FIRST_PAUSE
from billing.payments.attempts import PAGE_LIFE, attempt_of, begin, conclude, load_payment
from billing.payments.unresolved import resolve_payment
from billing.processors.interface import Answer, Processor, ProcessorRefused, ProcessorUnreachable, Status
from billing.settlement import record_answer

logger = logging.getLogger(__name__)
LEFT_ON_PAGE = timedelta(minutes=10)
"""A page with less time left is not shown again."""
OTHER_CLICK_SECONDS, GLANCE_SECONDS = 3.0, 0.1


def begin_on_page(open_attempt: Callable[[], tuple[Payment, bool]], *, processor: Processor, now: datetime) -> Payment:
    """The page of the attempt that `open_attempt` finds or makes (it says which); one that is over makes room for another, once."""
    for _turn in range(2):
        payment, made = open_attempt()
        if made:
            return first_call(processor, payment, now=now)
        if payment.status == Payment.Status.UNKNOWN and now < payment.created_at + FIRST_PAUSE:
            payment = _wait_for_other_click(payment)
        if _can_be_paid_on(payment, now=now):
            return payment
        payment = resolve_payment(organization_id=payment.organization_id, payment_id=payment.pk, now=now)
        if payment.status in (*Payment.OPEN_STATUSES, Payment.Status.SUCCEEDED):
            return payment
    return payment


def first_call(processor: Processor, payment: Payment, *, now: datetime) -> Payment:
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
