"""Stripe's objects read as our answers, amounts in the smallest unit as ours, and Stripe's errors as the two that we know."""

from calendar import monthrange
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from uuid import UUID

import stripe
from stripe.checkout import Session

from billing.processors.interface import (
    Answer,
    Outflow,
    OutflowKind,
    ProcessorRefused,
    ProcessorUnreachable,
    RefundAnswer,
    Setup,
    Status,
    StoredMethod,
)
from pricing.exact import EXACT
from pricing.totals import MINOR_UNITS, FractionOfMinorUnit

OURS = "payment"
"""The key of our payment's id in the metadata of whatever is made for it."""
OUR_SETUP, OUR_REFUND = "setup", "refund"
"""The same, of an attempt to have a card left, and of a refund."""
NOTHING_HAPPENED = (stripe.InvalidRequestError, stripe.AuthenticationError, stripe.PermissionError)


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise ProcessorRefused where the call was refused before it began, ProcessorUnreachable wherever that is not certain.

    A key that is in use by a call still running, or was used with other parameters, is of the second kind.
    """
    try:
        yield
    except NOTHING_HAPPENED as error:
        raise ProcessorRefused(error.code or type(error).__name__) from error
    except stripe.StripeError as error:
        raise ProcessorUnreachable(f"{type(error).__name__} {error.http_status or ''}".strip()) from error


def to_smallest_unit(amount: Decimal, currency: str) -> int:
    """₩500 is 500, $5.00 is 500. Raises FractionOfMinorUnit."""
    units = EXACT.scaleb(amount, MINOR_UNITS[currency])
    if units != int(units):
        raise FractionOfMinorUnit(f"{amount} {currency}")
    return int(units)


def from_smallest_unit(units: int, currency: str) -> Decimal:
    return EXACT.scaleb(Decimal(units), -MINOR_UNITS[currency])


def _money(units: int, currency: str) -> tuple[Decimal, str]:
    """A currency that we do not bill in keeps its number, so that it differs from what was asked for and is seen."""
    name = currency.upper()
    return (from_smallest_unit(units, name) if name in MINOR_UNITS else Decimal(units)), name


def our_id(thing: Session | stripe.PaymentIntent, key: str = OURS) -> str:
    """The id that we wrote on it under `key`, "" if it is not ours."""
    metadata = thing.metadata.to_dict() if thing.metadata else {}
    return str(metadata.get(key, ""))


def of_session(session: Session) -> Answer:
    """A hosted page, retrieved with its payment intent. A card declined on the page leaves it open for another."""
    intent = session.payment_intent if isinstance(session.payment_intent, stripe.PaymentIntent) else None
    if session.payment_status == "paid" or (intent and intent.status == "succeeded"):
        amount, currency = _money(session.amount_total or 0, session.currency or "")
        return Answer(
            status=Status.SUCCEEDED,
            reference=session.id,
            amount=amount,
            currency=currency,
            money_reference=intent.id if intent else session.id,
        )
    declined = _failure(intent) if intent and intent.last_payment_error else ""
    if session.status == "open":
        return Answer(
            status=Status.REQUIRES_ACTION, reference=session.id, action_url=session.url or "", failure=declined
        )
    if session.status == "expired":
        return Answer(status=Status.CANCELED, reference=session.id, failure=declined)
    if intent and intent.status == "processing":
        return Answer(status=Status.PENDING, reference=session.id)
    over = intent is None or intent.status == "canceled"
    status = Status.FAILED if over else Status.DECLINED
    return Answer(status=status, reference=session.id, failure=_failure(intent))


def of_intent(intent: stripe.PaymentIntent) -> Answer:
    """A charge without its payer. What Stripe would still take another card for is DECLINED until it is canceled."""
    if intent.status == "succeeded":
        amount, currency = _money(intent.amount_received, intent.currency)
        return Answer(
            status=Status.SUCCEEDED, reference=intent.id, amount=amount, currency=currency, money_reference=intent.id
        )
    if intent.status == "processing":
        return Answer(status=Status.PENDING, reference=intent.id)
    if intent.status == "canceled":
        return Answer(status=Status.FAILED, reference=intent.id, failure=_failure(intent))
    return Answer(status=Status.DECLINED, reference=intent.id, failure=_failure(intent))


def of_setup(session: Session) -> Setup:
    """A page for leaving a card; retrieved with its setup intent and card, it tells of the card."""
    intent = session.setup_intent
    method = intent.payment_method if isinstance(intent, stripe.SetupIntent) and intent.status == "succeeded" else None
    if isinstance(method, stripe.PaymentMethod):
        card = _of_card(method, customer=str(session.customer))
        return Setup(status=Status.SUCCEEDED, reference=session.id, method=card)
    known = {"open": Status.REQUIRES_ACTION, "expired": Status.CANCELED}
    status = known.get(session.status or "", Status.PENDING)
    return Setup(status=status, reference=session.id, url=session.url or "")


def _of_card(method: stripe.PaymentMethod, *, customer: str) -> StoredMethod:
    card = method.card
    return StoredMethod(
        customer_reference=customer,
        reference=method.id,
        label=f"{card.brand.title()} {card.last4}" if card else method.type,
        expires_on=date(card.exp_year, card.exp_month, monthrange(card.exp_year, card.exp_month)[1]) if card else None,
    )


def as_id(text: object) -> UUID | None:
    """An id of ours, as it stands in metadata; None if that is none."""
    try:
        return UUID(str(text))
    except ValueError:
        return None


def refund_id_on(refund: stripe.Refund) -> str:
    """The refund's id that we wrote on it, "" if it is not ours."""
    metadata = refund.metadata.to_dict() if refund.metadata else {}
    return str(metadata.get(OUR_REFUND, ""))


def outflow_of_refund(refund: stripe.Refund) -> Outflow:
    amount, currency = _money(refund.amount, refund.currency)
    return Outflow(
        kind=OutflowKind.REFUND,
        reference=refund.id,
        amount=amount,
        currency=currency,
        status=refund.status or "",
        reason=refund.reason or "",
        refund_id=as_id(refund_id_on(refund)),
    )


def outflow_of_dispute(dispute: stripe.Dispute) -> Outflow:
    amount, currency = _money(dispute.amount, dispute.currency)
    return Outflow(
        kind=OutflowKind.DISPUTE,
        reference=dispute.id,
        amount=amount,
        currency=currency,
        status=dispute.status,
        reason=dispute.reason,
    )


def of_refund(refund: stripe.Refund) -> RefundAnswer:
    """What needs somebody's hand there, or is on its way, is PENDING."""
    known = {"succeeded": Status.SUCCEEDED, "failed": Status.FAILED, "canceled": Status.FAILED}
    status = known.get(refund.status or "", Status.PENDING)
    failure = str(refund.failure_reason or refund.status) if status is Status.FAILED else ""
    return RefundAnswer(reference=refund.id, status=status, failure=failure)


def _failure(intent: stripe.PaymentIntent | None) -> str:
    """The most telling code of why a payment did not come about: the issuer's reason, else Stripe's."""
    error = intent.last_payment_error if intent else None
    if error is None:
        return "canceled" if intent and intent.status == "canceled" else "not_paid"
    return str(getattr(error, "decline_code", None) or getattr(error, "code", None) or "declined")
