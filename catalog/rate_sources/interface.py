"""What every publisher of exchange rates looks like to us: asked for a range of days, it answers with what it published."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from catalog.feed.json_text import decode_json
from catalog.feed.snapshot import SnapshotRefused

NUMBER = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,9})(?:\.[0-9]{1,20})?")


class SourceFailed(Exception):
    """The source gave no answer that can be believed. The message says why; it holds no key."""

    is_passing = False
    """Whether asking again in a moment may help."""


class SourceAway(SourceFailed):
    """It could not be reached, took too long, or failed itself."""

    is_passing = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Won for one dollar as published on a day: `text` is the publisher's own, `rate` has all its digits."""

    published_on: date
    text: str
    rate: Decimal


class RateSource(Protocol):
    """A publisher. `name` is what its rows are marked with."""

    @property
    def name(self) -> str: ...

    def fetch(self, first: date, last: date) -> Sequence[Publication]:
        """What was published from `first` to `last`, by day; days without a publication are left out. Raises SourceFailed."""

    def read(self, answer: bytes, first: date, last: date) -> Sequence[Publication]:
        """The same from an answer that was recorded. Raises SourceFailed."""


def parse_json(answer: bytes) -> Any:
    """The answer, without any float, which would have lost digits. Raises SourceFailed."""
    try:
        return decode_json(answer)
    except (SnapshotRefused, ValueError, RecursionError) as fault:
        raise SourceFailed(f"its answer is no good. {fault}") from None


def parse_rate(value: object) -> Decimal:
    """A plain positive number, in a text with thousands grouped by commas ("1,385.5") or not. Raises SourceFailed."""
    text = str(value)
    if not isinstance(value, str | int | Decimal) or not NUMBER.fullmatch(text):
        raise SourceFailed(f"this is no rate: {text[:40]!r}")
    rate = Decimal(text.replace(",", ""))
    if not rate:
        raise SourceFailed("a rate of 0")
    return rate
