"""What we ask of a register of businesses, in our words. An adapter translates; none touches the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class RegistryFailed(Exception):
    """No answer that tells anything. Nothing changed anywhere, so one just asks again. Holds no secret."""


class BusinessState(StrEnum):
    """Whether a business goes on. UNREGISTERED: the number fits its check digit, and the tax office does not know it."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"
    UNREGISTERED = "unregistered"


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessFacts:
    """What the register says; `tax_type` are its own words (부가가치세 일반과세자 …)."""

    state: BusinessState
    tax_type: str


class BusinessRegistry(Protocol):
    """A register. `most` is how many numbers one call may ask about."""

    most: int

    def look_up(self, numbers: Sequence[str]) -> Mapping[str, BusinessFacts]:
        """By number (000-00-00000); those that the answer leaves out are missing. Raises RegistryFailed."""
