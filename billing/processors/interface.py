"""What billing asks of a payment processor, in our words. An adapter translates them into a vendor's; none touches the database.

Every call either answers, or raises `ProcessorUnreachable` – then nobody knows what happened and the same call, under the same
idempotency key, must be made again or looked up – or raises `ProcessorRefused`: then nothing happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class ProcessorUnreachable(Exception):
    """No answer, or none that tells what happened. The message is for logs and holds no secret."""


class ProcessorRefused(Exception):
    """The processor understood the call and will not do it; nothing happened. `code` is the processor's reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotSupported(Exception):
    """The processor has no such call; its capabilities say so."""


class InvalidWebhook(Exception):
    """A delivery that is forged, too old, unreadable, or from the other mode (test or live). Nothing of it is kept."""


class Status(StrEnum):
    """Where an attempt stands. DECLINED: refused without its payer present, but the processor could still charge it later."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a processor can do. `minimum` and `maximum` of one payment, by currency, are in major units (won, dollars)."""

    currencies: frozenset[str]
    minimum: Mapping[str, Decimal]
    maximum: Mapping[str, Decimal]
    hosted_page: bool
    off_session: bool
    partial_refund: bool

    def can_take(self, amount: Decimal, currency: str) -> bool:
        """Whether one payment of `amount` is possible."""
        return currency in self.currencies and self.minimum[currency] <= amount <= self.maximum[currency]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMethod:
    """A card that was left for charges without its holder: the processor's references, and a label such as "Visa 4242".

    `expires_on` is the last day of the month that is printed on it, if the processor tells.
    """

    customer_reference: str
    reference: str
    label: str = ""
    expires_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to collect, made from its committed row alone, so that calling again is the same call to the letter.

    `reference` is the processor's name of it, "" until known. With `method` it is charged without its payer; without, the payer
    is sent to a hosted page, which is good until `expires_at`.
    """

    payment_id: UUID
    idempotency_key: str
    amount: Decimal
    currency: str
    created_at: datetime
    expires_at: datetime
    description: str
    language: str
    payer_email: str
    success_url: str
    cancel_url: str
    reference: str = ""
    method: StoredMethod | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where an attempt stands. `amount` (major units) and `money_reference` say what moved, once it SUCCEEDED.

    `action_url` is where the payer must go (REQUIRES_ACTION); `failure` the processor's code (DECLINED, FAILED, and REQUIRES_ACTION
    where a card was declined on the page, which waits for another).
    """

    status: Status
    reference: str
    action_url: str = ""
    failure: str = ""
    amount: Decimal = Decimal(0)
    currency: str = ""
    money_reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupAttempt:
    """One attempt to have a card left, made from its committed row, so that calling again is the same call to the letter."""

    setup_id: UUID
    idempotency_key: str
    customer_reference: str
    currency: str
    language: str
    expires_at: datetime
    success_url: str
    cancel_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where a page for leaving a card stands: REQUIRES_ACTION at `url`, SUCCEEDED with `method`, PENDING, or CANCELED."""

    status: Status
    reference: str
    url: str = ""
    method: StoredMethod | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A verified webhook, reduced to what it is about. It is a reason to look, never a fact: the object is fetched again.

    `payment_id`, `setup_id` or `refund_id` is our own id, as the object's metadata have it. Of money that leaves, which nobody at
    the processor's own desk gives an id of ours, `money_reference` names the money that came in. Without any we wait for nothing.
    """

    event_id: str
    type: str
    object_reference: str
    payment_id: UUID | None = None
    setup_id: UUID | None = None
    refund_id: UUID | None = None
    money_reference: str = ""


class OutflowKind(StrEnum):
    """How money leaves that came in: sent back, or taken back by the card's bank."""

    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outflow:
    """Money that left, or may, of what came in. `refund_id` is our own id on it; `status` the processor's word."""

    kind: OutflowKind
    reference: str
    amount: Decimal
    currency: str
    status: str
    reason: str = ""
    refund_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """Money to be given back, made from its committed row alone.

    `money_reference` is what the answer to the payment called it; `reference` the processor's name of the refund, "" until known.
    """

    refund_id: UUID
    idempotency_key: str
    money_reference: str
    amount: Decimal
    currency: str
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAnswer:
    """Where a refund stands: SUCCEEDED, PENDING or FAILED. `failure` is the processor's code."""

    reference: str
    status: Status
    failure: str = ""


class Processor(Protocol):
    """A payment processor. `name` is what payments and events are stored under."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def start_payment(self, attempt: Attempt) -> Answer:
        """Make the hosted page of an attempt."""

    def charge(self, attempt: Attempt) -> Answer:
        """Charge the attempt's stored method while its holder is away."""

    def look_up(self, attempt: Attempt) -> Answer | None:
        """Where the attempt stands, by its reference or, without one, by our payment id; None if it never arrived."""

    def cancel(self, attempt: Attempt) -> Answer | None:
        """Make sure that the attempt cannot succeed any more; if it has succeeded, that is the answer. None: it never arrived."""

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give money back, all or part of what came in."""

    def look_up_refund(self, request: RefundRequest) -> RefundAnswer | None:
        """Where a refund stands, by its reference or, without one, by our id; None if it never arrived."""

    def payment_behind(self, money_reference: str) -> UUID | None:
        """Our id of the payment that money came in by; None if it was none of ours."""

    def outflows(self, money_reference: str) -> list[Outflow]:
        """All refunds and disputes of the money, whoever began them."""

    def make_customer(self, *, organization: str, email: str, idempotency_key: str) -> str:
        """The processor's name of a new customer, to whom cards will belong. `organization` is our slug."""

    def start_setup(self, wanted: SetupAttempt) -> Setup:
        """Make a hosted page for leaving a card."""

    def look_up_setup(self, reference: str, *, setup_id: UUID) -> Setup | None:
        """Where the page stands; None if there is none of this attempt."""

    def forget(self, method: StoredMethod) -> None:
        """Make sure that a card can never be charged again. Again, it changes nothing."""

    def parse_webhook(self, body: bytes, signature: str, *, now: datetime) -> Notice:
        """Verify a delivery by its raw body. Raises InvalidWebhook."""
