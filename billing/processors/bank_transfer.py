"""Transfers to our bank account. Nothing is charged: an operator sees the money on the statement and records it."""

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from billing.processors.interface import (
    Answer,
    Attempt,
    Capabilities,
    InvalidWebhook,
    Notice,
    NotSupported,
    Refund,
    Setup,
    StoredMethod,
)

NAME = "bank_transfer"


class BankTransfer:
    """Takes any amount and starts nothing; `billing.bank_transfers.record_transfer` is its only way in."""

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

    def refund(self, *, money_reference: str, amount: Decimal, currency: str, idempotency_key: str) -> Refund:
        raise NotSupported("money is sent back by hand")

    def start_setup(
        self,
        *,
        organization: str,
        customer_reference: str,
        email: str,
        language: str,
        success_url: str,
        cancel_url: str,
    ) -> Setup:
        raise NotSupported("there is nothing to keep")

    def finish_setup(self, reference: str, *, organization: str) -> StoredMethod | None:
        raise NotSupported("there is nothing to keep")

    def parse_webhook(self, body: bytes, signature: str, *, now: datetime) -> Notice:
        raise InvalidWebhook("banks send none")
