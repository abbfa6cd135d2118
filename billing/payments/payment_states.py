"""Where an attempt to pay stands, in words for people. A page that is open for another card after one was declined is not
"waiting for the customer" to the customer whose card it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import Payment
from billing.payments.attempts import PAGE_LIFE
from billing.payments.unresolved import NEVER_ARRIVED

Status = Payment.Status
AUTHENTICATION_REQUIRED = "authentication_required"
"""The card's issuer wants its holder to confirm the payment (3-D Secure): on the hosted page it can."""
FAILURES: Mapping[str, Promise] = {
    "generic_decline": gettext_lazy("The card was declined."),
    "card_declined": gettext_lazy("The card was declined."),
    "declined": gettext_lazy("The card was declined."),
    "insufficient_funds": gettext_lazy("The limit or balance of the card is not sufficient."),
    "expired_card": gettext_lazy("The card has expired."),
    AUTHENTICATION_REQUIRED: gettext_lazy("The card asks for its holder's confirmation."),
    "payment_intent_authentication_failure": gettext_lazy("The card holder did not confirm the payment."),
    "canceled": gettext_lazy("The attempt was canceled."),
    "not_paid": gettext_lazy("Nobody paid."),
    NEVER_ARRIVED: gettext_lazy("The payment service never received the attempt."),
}
"""The processor's codes that are common; others are shown as they are."""
TONES = {
    Status.SUCCEEDED: "good",
    Status.FAILED: "danger",
    Status.CANCELED: "",
    Status.REVERSED: "",
    Status.PENDING: "warning",
    Status.REQUIRES_ACTION: "warning",
    Status.UNKNOWN: "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """`tone` is "good", "warning", "danger" or empty; `note` says more, or is empty."""

    label: str
    tone: str
    note: str = ""


def failure_text(code: str) -> str:
    """Why a payment did not come about, for people; empty where nothing is known."""
    return str(FAILURES.get(code, code))


def payment_state(payment: Payment, *, now: datetime) -> PaymentState:
    """What to call the state of `payment` at `now`, in the language in force."""
    status, why = Status(payment.status), failure_text(payment.failure)
    label, tone = str(status.label), TONES[status]
    if status == Status.REQUIRES_ACTION and payment.method_id is None and now >= payment.created_at + PAGE_LIFE:
        return PaymentState(label=_("Payment page expired"), tone="", note=why)
    if status == Status.REQUIRES_ACTION and payment.failure:
        another = _("Another card can be tried while the page is open.")
        return PaymentState(label=_("Declined"), tone="danger", note=f"{why} {another}")
    if status == Status.CANCELED and payment.failure and payment.failure != "canceled":
        return PaymentState(label=_("Declined"), tone="danger", note=why)
    return PaymentState(label=label, tone=tone, note="" if status == Status.SUCCEEDED else why)
