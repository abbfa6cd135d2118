"""Transfers to our bank account. Nothing is charged: an operator sees the money on the statement and records it."""

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

from billing.processors.interface import (
    Answer,
    Attempt,
    Capabilities,
    InvalidWebhook,
    Notice,
    NotSupported,
    Outflow,
    RefundAnswer,
    RefundRequest,
    Setup,
    SetupAttempt,
    StoredMethod,
)

NAME = "bank_transfer"


class BankTransfer:
    """Takes any amount and starts nothing; `billing.bank.bank_transfers.record_transfer` is its only way in."""

    name = NAME
    capabilities = Capabilities(
        currencies=frozenset({"KRW", "USD"}),
        minimum=MappingProxyType({"KRW": Decimal(1), "USD": Decimal("0.01")}),
        maximum=MappingProxyType({"KRW": Decimal(10) ** 15, "USD": Decimal(10) ** 15}),
        hosted_page=False,
        off_session=False,
        partial_refund=False,
    )

    def start_payment(self, attempt: Attempt) -> Answer:
        raise NotSupported("a bank transfer is started by the customer")

    def charge(self, attempt: Attempt) -> Answer:
        raise NotSupported("a bank account cannot be charged")

    def look_up(self, attempt: Attempt) -> Answer | None:
        raise NotSupported("bank transfers are recorded when they arrive")

    def cancel(self, attempt: Attempt) -> Answer | None:
        raise NotSupported("bank transfers are recorded when they arrive")

    def refund(self, request: RefundRequest) -> RefundAnswer:
        raise NotSupported("money is sent back by hand")

    def look_up_refund(self, request: RefundRequest) -> RefundAnswer | None:
        raise NotSupported("money is sent back by hand")

    def payment_behind(self, money_reference: str) -> UUID | None:
        raise NotSupported("the bank knows no payments of ours")

    def outflows(self, money_reference: str) -> list[Outflow]:
        raise NotSupported("money is sent back by hand")

    def make_customer(self, *, organization: str, email: str, idempotency_key: str) -> str:
        raise NotSupported("there is nothing to keep")

    def start_setup(self, wanted: SetupAttempt) -> Setup:
        raise NotSupported("there is nothing to keep")

    def look_up_setup(self, reference: str, *, setup_id: UUID) -> Setup | None:
        raise NotSupported("there is nothing to keep")

    def forget(self, method: StoredMethod) -> None:
        raise NotSupported("there is nothing to keep")

    def parse_webhook(self, body: bytes, signature: str, *, now: datetime) -> Notice:
        raise InvalidWebhook("banks send none")
