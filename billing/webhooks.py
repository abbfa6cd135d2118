"""The inbox of the processors: kept once, answered, then worked off – each event's effect in the transaction that closes it.

An event is a doorbell. What it says of a payment is not believed: the payment is looked up at the processor, so it does not matter
how often, how late or in which order events come.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from accounts.tenancy import tenant_scope
from billing.attempts import load_payment
from billing.card_setups import finish_setup
from billing.models import CardSetup, Payment, ProcessorEvent
from billing.processors.interface import Answer, Notice, Processor, ProcessorUnreachable
from billing.settlement import AmountDiffers, apply_answer, lock_payment
from billing.unresolved import ask
from ledger.retrying import with_retries

logger = logging.getLogger(__name__)
NOTHING_TO_DO, NOT_OURS = "nothing to do", "no payment of ours"
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
    if event.payload.get("setup"):
        return _process_setup(event, now=now)
    payment = _payment_of(event)
    if payment is None or payment.status == Payment.Status.SUCCEEDED:
        _close(event, NOTHING_TO_DO if payment else NOT_OURS, now=now)
        return True
    try:
        answer = ask(payment, wanted=True, now=now, hint=event.payload["object"])
        outcome = with_retries(lambda: _take_effect(event, payment, answer, now))
    except (ProcessorUnreachable, AmountDiffers) as error:
        logger.warning("an event has to wait", extra={"event_id": event.event_id, "reason": str(error)})
        _postpone(event, str(error))
        return False
    logger.info("event processed", extra={"event_id": event.event_id, "outcome": outcome})
    return True


def process_waiting_events(*, now: datetime) -> int:
    """Work off what lost its message or had to wait, with doubling pauses. Returns how many were tried.

    Stops while the processor does not answer; what was tried least comes first.
    """
    waiting = ProcessorEvent.objects.filter(processed_at=None).order_by("attempts", "received_at")
    tried = in_vain = 0
    for event in waiting[:MOST]:
        if in_vain < MOST_IN_VAIN and now >= _due_at(event):
            tried += 1
            in_vain += not process_event(event_id=event.pk, now=now)
    return tried


def _due_at(event: ProcessorEvent) -> datetime:
    pause: timedelta = FIRST_PAUSE * 2 ** min(event.attempts, MOST_DOUBLINGS)
    return event.received_at + pause


def _is_ours(notice: Notice) -> bool:
    return bool(notice.payment_id or notice.setup_id)


def _references(notice: Notice) -> dict[str, str]:
    return {
        "object": notice.object_reference,
        "payment": str(notice.payment_id or ""),
        "setup": str(notice.setup_id or ""),
    }


def _process_setup(event: ProcessorEvent, *, now: datetime) -> bool:
    """A card was left, or a page for it is over. What is written down before the event is closed is not written again."""
    setups = CardSetup.objects.using("system").filter(pk=UUID(event.payload["setup"]), processor=event.processor)
    known = setups.first()
    if known is None:
        _close(event, NOT_OURS, now=now)
        return True
    setup = finish_setup(
        organization_id=known.organization_id, setup_id=known.pk, now=now, hint=event.payload["object"]
    )
    if setup.status in CardSetup.OPEN_STATUSES:
        _postpone(event, "the page is still open, or was not answered about")
        return False
    _close(event, setup.status, now=now)
    return True


def _payment_of(event: ProcessorEvent) -> Payment | None:
    """The payment, of whichever tenant, that the event is about; only one of the same processor."""
    row = Payment.objects.using("system").filter(pk=UUID(event.payload["payment"]), processor=event.processor).first()
    return row and load_payment(organization_id=row.organization_id, payment_id=row.pk)


def _take_effect(event: ProcessorEvent, payment: Payment, answer: Answer, now: datetime) -> str:
    """Two who work off the same event take turns at the row that is locked; an answer that came before changes nothing."""
    with tenant_scope([payment.organization_id]):
        locked = lock_payment(organization_id=payment.organization_id, payment_id=payment.pk)
        after = apply_answer(payment=locked, answer=answer, now=now)
        outcome: str = after.status
        _close(event, outcome, now=now)
    return outcome


def _close(event: ProcessorEvent, outcome: str, *, now: datetime) -> None:
    waiting = ProcessorEvent.objects.filter(pk=event.pk, processed_at=None)
    waiting.update(processed_at=now, outcome=outcome, attempts=event.attempts + 1)


def _postpone(event: ProcessorEvent, reason: str) -> None:
    waiting = ProcessorEvent.objects.filter(pk=event.pk, processed_at=None)
    waiting.update(attempts=event.attempts + 1, outcome=reason[:200])
