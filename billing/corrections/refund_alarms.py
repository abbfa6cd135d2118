"""Alarms about refunds, for operators: one that failed and is not redone, and money that was sent twice.

An alarm is of what set the money aside, so that sending it back another way ends it.
"""

from datetime import datetime

from accounts.alarms import clear_alarm, raise_alarm
from billing.corrections.refundable import left_to_refund
from billing.models import Refund
from pricing.exact import ZERO
from pricing.plain_text import plain

FAILED, TWICE = "refund_failed", "refund_twice"


def failed(refund: Refund, *, now: datetime) -> None:
    """The money is still here, or back, and somebody has to send it another way, if nobody has."""
    if left_to_refund(refund.origin) <= ZERO:
        return
    summary = (
        f"The refund of {plain(refund.amount)} {refund.currency} of {refund.origin.purpose} failed: {refund.failure}"
    )
    raise_alarm(kind=FAILED, subject=str(refund.origin_id), summary=summary, now=now, detail=_detail(refund))


def watch_excess(refund: Refund, *, now: datetime) -> None:
    """It was taken for failed, and its money was sent; while it is sent again elsewhere, too, the customer has it twice."""
    if refund.excess <= ZERO:
        clear_alarm(kind=TWICE, subject=str(refund.pk), now=now)
        return
    summary = f"{plain(refund.excess)} {refund.currency} of {refund.origin.purpose} were refunded twice"
    raise_alarm(kind=TWICE, subject=str(refund.pk), summary=summary, now=now, detail=_detail(refund))


def settled(refund: Refund, *, now: datetime) -> None:
    """Nothing is left to be sent back of what set it aside."""
    if left_to_refund(refund.origin) <= ZERO:
        clear_alarm(kind=FAILED, subject=str(refund.origin_id), now=now)


def _detail(refund: Refund) -> dict[str, str]:
    return {
        "organization": refund.organization.slug,
        "refund": str(refund.pk),
        "amount": plain(refund.amount),
        "excess": plain(refund.excess),
        "reference": refund.reference,
        "failure": refund.failure,
    }
