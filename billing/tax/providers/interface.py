"""What billing asks of a provider of electronic tax invoices, in our words. An adapter translates; none touches the database.

As with payment processors, a call answers, or raises `ProviderUnreachable` – then nobody knows what happened, and the sheet is
looked up under its `mgt_key` before anything else – or raises `ProviderRefused`: then nothing happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class ProviderUnreachable(Exception):
    """No answer, or none that tells what happened. The message is for logs and holds no secret."""


class ProviderRefused(Exception):
    """The provider understood and will not do it; nothing happened. `code` and `text` are the provider's reason."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code} {text}".strip())
        self.code, self.text = code, text


class State(StrEnum):
    """Where a sheet stands. SEND_FAILED: issued, but the tax office did not take it over."""

    ISSUED = "issued"
    SENT = "sent"
    SEND_FAILED = "send_failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Supplier or buyer. `registration_number` is 000-00-00000."""

    registration_number: str
    name: str
    representative: str = ""
    address: str = ""
    business_type: str = ""
    business_item: str = ""
    contact_name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A line of a sheet, in won."""

    supplied_on: date
    name: str
    supply: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One tax invoice, made from its committed row alone, so that asking again is the same call to the letter.

    `is_received` tells 영수 from 청구, `is_zero_rated` 영세 from 과세. An amendment names its `reason` (수정사유) and the original.
    """

    mgt_key: str
    write_date: date
    is_received: bool
    is_zero_rated: bool
    supply: Decimal
    tax: Decimal
    total: Decimal
    items: Sequence[Item]
    supplier: Party
    buyer: Party
    remark: str = ""
    reason: str = ""
    original_approval_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where a sheet stands, its 24-character approval number (승인번호), and why sending it failed."""

    state: State
    approval_number: str
    failure: str = ""


class TaxProvider(Protocol):
    """A provider. `name` is what logs call it."""

    @property
    def name(self) -> str: ...

    def issue(self, sheet: Sheet) -> Answer:
        """Register and issue an original or an amendment. A second one under the same `mgt_key` is refused."""

    def look_up(self, *, mgt_key: str) -> Answer | None:
        """Where the sheet stands; None if the provider does not have it."""

    def cancel(self, *, mgt_key: str, why: str) -> Answer:
        """Take back what was issued, before the tax office has it; ProviderRefused afterwards."""
