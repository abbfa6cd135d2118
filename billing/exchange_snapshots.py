"""The exchange rates that a paper's prices were made with, as it keeps and prints them."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Protocol


class Published(Protocol):
    """A rate of won for a dollar, as somebody published it."""

    @property
    def rate(self) -> Decimal: ...
    @property
    def source(self) -> str: ...
    @property
    def published_on(self) -> date: ...


def exchange_snapshot(rates: Iterable[Published | None]) -> list[dict[str, str]]:
    """Each rate once, the oldest first; nothing for what was priced in dollars."""
    known = {(rate.published_on, rate.source, rate.rate) for rate in rates if rate is not None}
    return [
        {
            "base": "USD",
            "quote": "KRW",
            "rate": format(rate, "f"),
            "source": source,
            "published_on": published_on.isoformat(),
        }
        for published_on, source, rate in sorted(known)
    ]
