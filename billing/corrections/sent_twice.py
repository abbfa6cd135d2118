"""What a customer has twice: a refund that we took for failed had been sent, and so was another in its place (`Refund.excess`).

When one of the two comes back, the customer has it once, and nothing is to be sent again. All needs the scope and the lock of the
origin.
"""

from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from billing.corrections import refund_alarms
from billing.corrections.refundable import left_of_payment, left_to_refund
from billing.models import Refund
from ledger import invoice_corrections, settling
from pricing.exact import EXACT, ZERO


def beyond(refund: Refund) -> Decimal:
    """How much of a refund that was taken for failed has been sent back another way, or is on its way."""
    return max(EXACT.subtract(refund.amount, max(_room(refund), ZERO)), ZERO)


def ended(failed: Refund, *, now: datetime) -> None:
    """A refund has failed, and that is posted: nobody has twice what it, or another in whose place it was sent, said so of."""
    if failed.excess > ZERO:
        failed.excess = ZERO
        failed.save(update_fields=["excess"])
        refund_alarms.watch_excess(failed, now=now)
    of_the_same = Q(credit_note=failed.credit_note_id, credit_payout=failed.credit_payout_id) | Q(
        payment=failed.payment_id
    )
    others = Refund.objects.for_organization(failed.organization_id).filter(of_the_same, excess__gt=0)
    for other in others.filter(status=Refund.Status.SUCCEEDED).order_by("settled_at", "pk"):
        _cover(other, min(other.excess, _room(other)), now=now)


def _cover(refund: Refund, amount: Decimal, *, now: datetime) -> None:
    if amount <= ZERO:
        return
    refund.excess = EXACT.subtract(refund.excess, amount)
    refund.save(update_fields=["excess"])
    settling.lock_balance(refund.organization_id)
    invoice_corrections.sent_once_after_all(
        organization_id=refund.organization_id, refund_id=refund.pk, amount=amount, now=now
    )
    refund_alarms.watch_excess(refund, now=now)
    refund_alarms.settled(refund, now=now)


def _room(refund: Refund) -> Decimal:
    assert refund.payment is not None, "what is sent by hand never fails"
    return min(left_to_refund(refund.origin), left_of_payment(refund.origin, refund.payment))
