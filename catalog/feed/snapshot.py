"""A price list as values: what every source is read into before anything is compared, let alone written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accounts.storable_text import storable_text
from pricing.bands import PriceSheet

MOST_MODELS = 20_000


class SnapshotRefused(ValueError):
    """The list cannot be believed as a whole, so nothing of it is used. The message is the one reason, for an operator.

    It may quote the list, but holds only what can be stored and printed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(storable_text(reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """One model of a list: its price as written (`raw`), as it would be rated (`sheet`), and the facts that came along.

    A router has no sheet. Neither has a price that cannot be rated: then `fault` says why, `is_negative` of what kind it is.
    `facts` are fields of LanguageModel; only what is known.
    """

    slug: str
    raw: Mapping[str, Any]
    sheet: PriceSheet | None
    is_router: bool = False
    fault: str = ""
    is_negative: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A whole list, and the models (by id) that it holds but we do not sell, with the reason."""

    entries: Mapping[str, FeedEntry]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> int:
        return len(self.entries) + len(self.left_out)
