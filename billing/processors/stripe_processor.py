"""Cards through Stripe: hosted Checkout pages, charges of stored cards, refunds, signed webhooks.

The client repeats nothing by itself: when and whether to ask again, `billing.payments.unresolved` decides with the attempt's row.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, cast
from uuid import UUID

import stripe
from stripe.checkout import Session

from billing.processors.interface import (
    Answer,
    Attempt,
    Capabilities,
    Notice,
    NotSupported,
    Outflow,
    ProcessorRefused,
    ProcessorUnreachable,
    RefundAnswer,
    RefundRequest,
    Setup,
    SetupAttempt,
    Status,
    StoredMethod,
)
from billing.processors.stripe_answers import (
    OUR_REFUND,
    OUR_SETUP,
    OURS,
    as_id,
    of_intent,
    of_refund,
    of_session,
    of_setup,
    our_errors,
    our_id,
    outflow_of_dispute,
    outflow_of_refund,
    refund_id_on,
    to_smallest_unit,
)
from billing.processors.stripe_webhooks import read_notice

NAME = "stripe"
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 20.0
CLOCK_SKEW = timedelta(minutes=5)
SEARCHED = timedelta(hours=26)
"""How long after an attempt's row its object may have been made: keys hold for 24 hours, so nobody calls again later."""
MISSING = "resource_missing"
CAPABILITIES = Capabilities(
    currencies=frozenset({"KRW", "USD"}),
    minimum=MappingProxyType({"KRW": Decimal(100), "USD": Decimal("0.50")}),
    maximum=MappingProxyType({"KRW": Decimal(99_999_999), "USD": Decimal("999999.99")}),
    hosted_page=True,
    off_session=True,
    partial_refund=True,
)


class StripeProcessor:
    """Speaks to Stripe, or to whatever answers like it at `api_base`."""

    name = NAME
    capabilities = CAPABILITIES

    def __init__(self, *, secret_key: str, webhook_secret: str, api_base: str = "") -> None:
        self._webhook_secret = webhook_secret
        self._live = secret_key.startswith(("sk_live_", "rk_live_"))
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base} if api_base else {},
            http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, ANSWER_SECONDS)),
            max_network_retries=0,
        )

    def start_payment(self, attempt: Attempt) -> Answer:
        written = {OURS: str(attempt.payment_id)}
        with our_errors():
            session = self._client.v1.checkout.sessions.create(
                {
                    "mode": "payment",
                    "client_reference_id": str(attempt.payment_id),
                    "metadata": written,
                    "payment_intent_data": {"metadata": written, "description": attempt.description},
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": attempt.currency.lower(),
                                "unit_amount": to_smallest_unit(attempt.amount, attempt.currency),
                                "product_data": {"name": attempt.description},
                            },
                        }
                    ],
                    "customer_email": attempt.payer_email,
                    "locale": cast(Literal["ko", "en"], attempt.language),
                    "success_url": attempt.success_url,
                    "cancel_url": attempt.cancel_url,
                    "expires_at": int(attempt.expires_at.timestamp()),
                },
                {"idempotency_key": attempt.idempotency_key},
            )
        return of_session(session)

    def charge(self, attempt: Attempt) -> Answer:
        if attempt.method is None:
            raise NotSupported("only a stored method can be charged")
        with our_errors():
            try:
                intent = self._client.v1.payment_intents.create(
                    {
                        "amount": to_smallest_unit(attempt.amount, attempt.currency),
                        "currency": attempt.currency.lower(),
                        "customer": attempt.method.customer_reference,
                        "payment_method": attempt.method.reference,
                        "confirm": True,
                        "off_session": True,
                        "description": attempt.description,
                        "metadata": {OURS: str(attempt.payment_id)},
                    },
                    {"idempotency_key": attempt.idempotency_key},
                )
            except stripe.CardError as error:
                return _of_refusal(error)
        return of_intent(intent)

    def look_up(self, attempt: Attempt) -> Answer | None:
        found = self._find(attempt)
        if found is None:
            return None
        return of_session(found) if isinstance(found, Session) else of_intent(found)

    def cancel(self, attempt: Attempt) -> Answer | None:
        found = self._find(attempt)
        if found is None:
            return None
        with suppress(ProcessorRefused):  # it ended by itself meanwhile: what became of it is asked next
            self._end(found)
        again = self._find_by_reference(found.id)
        if again is None:
            raise ProcessorUnreachable(f"{found.id} is gone")
        return of_session(again) if isinstance(again, Session) else of_intent(again)

    def _end(self, found: Session | stripe.PaymentIntent) -> None:
        """Close an open page; of one that was used, and of a charge, cancel what is still to be paid."""
        with our_errors():
            if isinstance(found, Session) and found.status == "open":
                self._client.v1.checkout.sessions.expire(found.id)
                return
            intent = found.payment_intent if isinstance(found, Session) else found
            if isinstance(intent, stripe.PaymentIntent) and intent.status not in ("succeeded", "canceled"):
                self._client.v1.payment_intents.cancel(intent.id)

    def _find(self, attempt: Attempt) -> Session | stripe.PaymentIntent | None:
        """The attempt's object: by its reference, else among those of its time by our id on it.

        Lists are complete at once; Stripe's search by metadata may be a minute behind, an hour on a bad day.
        """
        if attempt.reference:
            return self._find_by_reference(attempt.reference)
        with our_errors():
            made = self._intents_of(attempt) if attempt.method else self._sessions_of(attempt)
            ours = [thing for thing in made if our_id(thing) == str(attempt.payment_id)]
        return self._find_by_reference(ours[0].id) if ours else None

    def _find_by_reference(self, reference: str) -> Session | stripe.PaymentIntent | None:
        try:
            with our_errors():
                if reference.startswith("pi_"):
                    return self._client.v1.payment_intents.retrieve(reference)
                return self._client.v1.checkout.sessions.retrieve(reference, {"expand": ["payment_intent"]})
        except ProcessorRefused as refused:
            if refused.code == MISSING:
                return None
            raise

    def _sessions_of(self, attempt: Attempt) -> Iterator[Session]:
        earliest, latest = _window(attempt)
        return self._client.v1.checkout.sessions.list(
            {"created": {"gte": earliest, "lte": latest}, "limit": 100}
        ).auto_paging_iter()

    def _intents_of(self, attempt: Attempt) -> Iterator[stripe.PaymentIntent]:
        assert attempt.method is not None, "sessions are listed for attempts without a method"
        earliest, latest = _window(attempt)
        return self._client.v1.payment_intents.list(
            {
                "customer": attempt.method.customer_reference,
                "created": {"gte": earliest, "lte": latest},
                "limit": 100,
            }
        ).auto_paging_iter()

    def refund(self, request: RefundRequest) -> RefundAnswer:
        with our_errors():
            made = self._client.v1.refunds.create(
                {
                    "payment_intent": request.money_reference,
                    "amount": to_smallest_unit(request.amount, request.currency),
                    "metadata": {OUR_REFUND: str(request.refund_id)},
                },
                {"idempotency_key": request.idempotency_key},
            )
        return of_refund(made)

    def look_up_refund(self, request: RefundRequest) -> RefundAnswer | None:
        with our_errors():
            if request.reference:
                return of_refund(self._client.v1.refunds.retrieve(request.reference))
            made = self._client.v1.refunds.list({"payment_intent": request.money_reference, "limit": 100})
            ours = [refund for refund in made.auto_paging_iter() if refund_id_on(refund) == str(request.refund_id)]
        return of_refund(ours[0]) if ours else None

    def payment_behind(self, money_reference: str) -> UUID | None:
        found = self._find_by_reference(money_reference)
        return as_id(our_id(found)) if found is not None else None

    def outflows(self, money_reference: str) -> list[Outflow]:
        with our_errors():
            refunds = self._client.v1.refunds.list({"payment_intent": money_reference, "limit": 100})
            found = [outflow_of_refund(refund) for refund in refunds.auto_paging_iter()]
            disputes = self._client.v1.disputes.list({"payment_intent": money_reference, "limit": 100})
            return [*found, *(outflow_of_dispute(dispute) for dispute in disputes.auto_paging_iter())]

    def make_customer(self, *, organization: str, email: str, idempotency_key: str) -> str:
        with our_errors():
            made = self._client.v1.customers.create(
                {"email": email, "metadata": {"organization": organization}}, {"idempotency_key": idempotency_key}
            )
        return made.id

    def start_setup(self, wanted: SetupAttempt) -> Setup:
        with our_errors():
            session = self._client.v1.checkout.sessions.create(
                {
                    "mode": "setup",
                    "currency": wanted.currency.lower(),
                    "customer": wanted.customer_reference,
                    "client_reference_id": str(wanted.setup_id),
                    "metadata": {OUR_SETUP: str(wanted.setup_id)},
                    "locale": cast(Literal["ko", "en"], wanted.language),
                    "success_url": wanted.success_url,
                    "cancel_url": wanted.cancel_url,
                    "expires_at": int(wanted.expires_at.timestamp()),
                },
                {"idempotency_key": wanted.idempotency_key},
            )
        return of_setup(session)

    def look_up_setup(self, reference: str, *, setup_id: UUID) -> Setup | None:
        try:
            with our_errors():
                session = self._client.v1.checkout.sessions.retrieve(
                    reference, {"expand": ["setup_intent.payment_method"]}
                )
        except ProcessorRefused as refused:
            if refused.code == MISSING:
                return None
            raise
        return of_setup(session) if our_id(session, OUR_SETUP) == str(setup_id) else None

    def forget(self, method: StoredMethod) -> None:
        try:
            with our_errors():
                self._client.v1.payment_methods.detach(method.reference)
        except ProcessorRefused:
            if self._is_kept(method.reference):
                raise

    def _is_kept(self, reference: str) -> bool:
        """Whether the card still belongs to a customer."""
        try:
            with our_errors():
                return self._client.v1.payment_methods.retrieve(reference).customer is not None
        except ProcessorRefused as refused:
            if refused.code == MISSING:
                return False
            raise

    def parse_webhook(self, body: bytes, signature: str, *, now: datetime) -> Notice:
        return read_notice(body, signature, secret=self._webhook_secret, live=self._live, now=now)


def _window(attempt: Attempt) -> tuple[int, int]:
    """Seconds between which the attempt's object was made, if it was."""
    earliest, latest = attempt.created_at - CLOCK_SKEW, attempt.created_at + SEARCHED
    return int(earliest.timestamp()), int(latest.timestamp())


def _of_refusal(error: stripe.CardError) -> Answer:
    """A refused card's intent stays open for another card, until it is canceled."""
    intent = getattr(error.error, "payment_intent", None)
    if isinstance(intent, stripe.PaymentIntent):
        return of_intent(intent)
    code = getattr(error.error, "decline_code", None) or error.code or "declined"
    return Answer(status=Status.FAILED, reference="", failure=str(code))
