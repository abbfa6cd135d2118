"""The inbox of the processors: kept once, answered, then worked off – each event's effect in the transaction that closes it.

An event is a doorbell. What it says of a payment is not believed: the payment is looked up at the processor, so it does not matter
how often, how late or in which order events come.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from accounts.tenancy import tenant_scope
from billing.cards.card_setups import finish_setup
from billing.corrections import refunds, unresolved_refunds
from billing.models import CardSetup, Payment, ProcessorEvent, Refund
from billing.payments.attempts import load_payment
from billing.payments.outflows import note_outflows
from billing.payments.unresolved import ask
from billing.processors.interface import (
    Answer,
    Notice,
    Processor,
    ProcessorRefused,
    ProcessorUnreachable,
    RefundAnswer,
)
from billing.processors.selection import processors
from billing.settlement import AmountDiffers, apply_answer, lock_payment
from ledger.retrying import with_retries

logger = logging.getLogger(__name__)
NOTHING_TO_DO, NOT_OURS, NOTED = "nothing to do", "no payment of ours", "noted for an operator"
FIRST_PAUSE, MOST_DOUBLINGS = timedelta(seconds=10) * settings.SWEEP_PACE, 17
MOST, MOST_IN_VAIN = 500, 5


def receive_event(*, processor: Processor, body: bytes, signature: str, now: datetime) -> ProcessorEvent:
    """Verify a delivery and keep it, once however often it comes. Raises InvalidWebhook; nothing is kept then.

    Of its content only the references are kept: the rest is the customer's business, and stale by the time it is read.
    """
    notice = processor.parse_webhook(body, signature, now=now)
    event, _made = ProcessorEvent.objects.get_or_create(
        processor=processor.name,
        event_id=notice.event_id,
        defaults={
            "type": notice.type,
            "payload": _references(notice),
            "received_at": now,
            "processed_at": None if _is_ours(notice) else now,
            "outcome": "" if _is_ours(notice) else NOTHING_TO_DO,
        },
    )
    return event


def process_event(*, event_id: int, now: datetime) -> bool:
    """Do what a kept event asks for; False if it has to wait. Again, or twice at once, it changes nothing."""
    event = ProcessorEvent.objects.filter(pk=event_id, processed_at=None).first()
    if event is None:
        return True
    try:
        outcome = _outcome(event, now)
    except (ProcessorUnreachable, AmountDiffers) as error:
        logger.warning("an event has to wait", extra={"event_id": event.event_id, "reason": str(error)})
        _postpone(event, str(error))
        return False
    logger.info("event processed", extra={"event_id": event.event_id, "outcome": outcome})
    return True


def _outcome(event: ProcessorEvent, now: datetime) -> str:
    if event.payload.get("setup"):
        return _of_setup(event, now)
    if event.payload.get("refund"):
        return _of_refund(event, now)
    return _of_money(event, now) if event.payload.get("money") else _of_payment(event, now)


def _of_payment(event: ProcessorEvent, now: datetime) -> str:
    payment = _payment_of(event)
    if payment is None:
        return _close(event, NOT_OURS, now=now)
    if payment.status == Payment.Status.SUCCEEDED:
        return _close(event, _of_its_refunds(payment, now) or NOTHING_TO_DO, now=now)
    answer = ask(payment, wanted=True, now=now, hint=event.payload["object"])
    return with_retries(lambda: _take_effect(event, payment, answer, now))


def _of_money(event: ProcessorEvent, now: datetime) -> str:
    """Money left that had come in, or may: by a refund of ours whose answer we wait for, or by somebody else's hand."""
    processor = processors().get(event.processor)
    if processor is None:
        raise ProcessorUnreachable(f"{event.processor} is not set up")
    money = event.payload["money"]
    try:
        payment_id = processor.payment_behind(money)
        payment = payment_id and _find_payment(payment_id, event.processor)
        if not payment:
            return _close(event, NOT_OURS, now=now)
        if payment.status in Payment.OPEN_STATUSES:
            raise ProcessorUnreachable("its payment is not settled yet")
        found = processor.outflows(money)
    except ProcessorRefused as refused:
        raise ProcessorUnreachable(f"refused: {refused.code}") from refused
    noted = note_outflows(payment, found, now=now)
    outcome = _of_its_refunds(payment, now) or (NOTED if noted else NOTHING_TO_DO)
    return _close(event, outcome, now=now)


def _of_its_refunds(payment: Payment, now: datetime) -> str:
    """What became of the open refund of a payment; empty if there is none."""
    refund = Refund.objects.using("system").filter(payment=payment.pk, status__in=Refund.OPEN_STATUSES).first()
    if refund is None:
        return ""
    answer = unresolved_refunds.ask(refund, now=now)
    recorded = refunds.record_answer(
        organization_id=refund.organization_id, refund_id=refund.pk, answer=answer, now=now
    )
    return recorded.status


def _of_refund(event: ProcessorEvent, now: datetime) -> str:
    """Ended ones are asked about, too: a bank may have sent the money back, and what we took for failed may have been sent."""
    rows = Refund.objects.using("system").filter(pk=UUID(event.payload["refund"]), processor=event.processor)
    refund = rows.first()
    if refund is None:
        return _close(event, NOT_OURS, now=now)
    answer = unresolved_refunds.ask(refund, now=now)
    return with_retries(lambda: _take_effect_on_refund(event, refund, answer, now))


def process_waiting_events(*, now: datetime) -> int:
    """Work off what lost its message or had to wait, with doubling pauses. Returns how many were tried.

    Stops while the processor does not answer; what was tried least comes first.
    """
    waiting = ProcessorEvent.objects.filter(processed_at=None).order_by("attempts", "received_at")
    tried = in_vain = 0
    for event in waiting[:MOST]:
        if in_vain < MOST_IN_VAIN and now >= _due_at(event):
            tried += 1
            try:
                in_vain += not process_event(event_id=event.pk, now=now)
            except Exception as error:  # tried least comes first: uncounted, it would end each sweep before all others
                logger.exception("an event failed", extra={"event_id": event.event_id})
                _postpone(event, f"failed: {type(error).__name__}")
    return tried


def _due_at(event: ProcessorEvent) -> datetime:
    pause: timedelta = FIRST_PAUSE * 2 ** min(event.attempts, MOST_DOUBLINGS)
    return event.received_at + pause


def _is_ours(notice: Notice) -> bool:
    return bool(notice.payment_id or notice.setup_id or notice.refund_id or notice.money_reference)


def _references(notice: Notice) -> dict[str, str]:
    return {
        "object": notice.object_reference,
        "payment": str(notice.payment_id or ""),
        "setup": str(notice.setup_id or ""),
        "refund": str(notice.refund_id or ""),
        "money": notice.money_reference,
    }


def _of_setup(event: ProcessorEvent, now: datetime) -> str:
    """A card was left, or a page for it is over. What is written down before the event is closed is not written again."""
    setups = CardSetup.objects.using("system").filter(pk=UUID(event.payload["setup"]), processor=event.processor)
    known = setups.first()
    if known is None:
        return _close(event, NOT_OURS, now=now)
    setup = finish_setup(
        organization_id=known.organization_id, setup_id=known.pk, now=now, hint=event.payload["object"]
    )
    if setup.status in CardSetup.OPEN_STATUSES:
        raise ProcessorUnreachable("the page is still open, or was not answered about")
    return _close(event, setup.status, now=now)


def _payment_of(event: ProcessorEvent) -> Payment | None:
    """The payment, of whichever tenant, that the event is about; only one of the same processor."""
    return _find_payment(UUID(event.payload["payment"]), event.processor)


def _find_payment(payment_id: UUID, processor: str) -> Payment | None:
    row = Payment.objects.using("system").filter(pk=payment_id, processor=processor).first()
    return row and load_payment(organization_id=row.organization_id, payment_id=row.pk)


def _take_effect(event: ProcessorEvent, payment: Payment, answer: Answer, now: datetime) -> str:
    """Two who work off the same event take turns at the row that is locked; an answer that came before changes nothing."""
    with tenant_scope([payment.organization_id]):
        locked = lock_payment(organization_id=payment.organization_id, payment_id=payment.pk)
        after = apply_answer(payment=locked, answer=answer, now=now)
        return _close(event, after.status, now=now)


def _take_effect_on_refund(event: ProcessorEvent, refund: Refund, answer: RefundAnswer, now: datetime) -> str:
    with tenant_scope([refund.organization_id]):
        after = refunds.apply_answer(
            organization_id=refund.organization_id, refund_id=refund.pk, answer=answer, now=now
        )
        return _close(event, after.status, now=now)


def _close(event: ProcessorEvent, outcome: str, *, now: datetime) -> str:
    waiting = ProcessorEvent.objects.filter(pk=event.pk, processed_at=None)
    waiting.update(processed_at=now, outcome=outcome, attempts=event.attempts + 1)
    return outcome


def _postpone(event: ProcessorEvent, reason: str) -> None:
    waiting = ProcessorEvent.objects.filter(pk=event.pk, processed_at=None)
    waiting.update(attempts=event.attempts + 1, outcome=reason[:200])
