"""What a process remembers of the price book: the tables at one moment and all that was made of them, as one `Book`.

A book is replaced as a whole when the tables changed. Who answers takes one book and reads and remembers in that one only: what is
made of an old book is forgotten with it, however late it is remembered.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import DatabaseError, connections

from accounts.models import Currency, ExchangePolicy, Organization
from catalog.price_snapshot import ModelEntry, PriceSnapshot, load_snapshot
from catalog.rate_history import PublishedRate
from pricing.bands import PriceSheet
from pricing.exact import ONE
from pricing.rating import unit_prices
from pricing.tokens import TokenClass

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 2.0
VERSION_QUERY = """
SELECT (SELECT count(*) FROM catalog_costprice), (SELECT count(*) FROM catalog_markuprule),
       (SELECT count(*) FROM catalog_exchangerate), (SELECT count(*) FROM catalog_languagemodel),
       (SELECT sum(xmin::text::bigint) FROM catalog_languagemodel)
"""
"""Differs after every commit that changed what is remembered. The highest id would not do: a transaction that took a lower one
may commit after a higher one was seen. The first three tables only grow; of the last, xmin names each row's last writer.
"""
Origin = tuple[int, str, int, int | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What of an organization decides its rate; `PUBLIC_TERMS` are those of a visitor."""

    organization_id: int | None
    currency: str
    exchange_policy: str
    zone: str


PUBLIC_TERMS = Terms(
    organization_id=None, currency=Currency.KRW, exchange_policy=ExchangePolicy.MONTHLY, zone="Asia/Seoul"
)


def terms_of(organization: Organization) -> Terms:
    """The organization's own."""
    return Terms(
        organization_id=organization.pk,
        currency=organization.billing_currency,
        exchange_policy=organization.exchange_policy,
        zone=organization.zone,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Unit costs (USD) and unit prices (`currency`) per token class, and the four rows they come from."""

    model: ModelEntry
    cost_price_id: int
    price_since: datetime
    band: str
    markup_rule_id: int
    markup: Decimal
    exchange: PublishedRate | None
    currency: str
    unit_costs: Mapping[TokenClass, Decimal]
    unit_prices: Mapping[TokenClass, Decimal]

    @property
    def origin(self) -> Origin:
        """What identifies the stored row."""
        return (
            self.cost_price_id,
            self.band,
            self.markup_rule_id,
            self.exchange.id if self.exchange else None,
            self.currency,
        )


@dataclass(slots=True)
class Sale:
    """Price, markup and exchange rate in force for one model, organization and moment, and the rates made of them by band.

    `rates_of_book` are those that all sales of its book share.
    """

    cost_price_id: int
    price_since: datetime
    sheet: PriceSheet
    markup_rule_id: int
    markup: Decimal
    exchange: PublishedRate | None
    rates_of_book: dict[Origin, Rate]
    rates: dict[str, Rate] = field(default_factory=dict)
    highest: Mapping[TokenClass, Decimal] = field(default_factory=dict)

    def unit_prices(self, unit_costs: Mapping[TokenClass, Decimal]) -> dict[TokenClass, Decimal]:
        return unit_prices(unit_costs, markup=self.markup, exchange_rate=self.exchange.rate if self.exchange else ONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The tables as they were at `version`; the sales by terms, model and quarter of an hour, and the rates made of them."""

    version: tuple[object, ...]
    snapshot: PriceSnapshot
    sales: dict[tuple[Terms, int, int], Sale] = field(default_factory=dict)
    rates: dict[Origin, Rate] = field(default_factory=dict)


class _Memory:
    """The newest book of this process, and the ids of the applied rates that are stored."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.refreshed_by_a_thread = False
        self.forget()

    def forget(self) -> None:
        self.book: Book | None = None
        self.looked_at = 0.0
        self.stored_ids: dict[Origin, int] = {}


_memory = _Memory()


def forget() -> None:
    """Drop the memory, so that the next question reads the tables again."""
    _memory.forget()


def leave_refreshing_to_a_thread() -> None:
    """From now on `current` never reads the tables once they are loaded: a thread of the caller's calls `refresh` instead.

    For processes with an event loop, which must not wait for a database.
    """
    _memory.refreshed_by_a_thread = True


def is_loaded() -> bool:
    """Whether questions can be answered from memory."""
    return _memory.book is not None


def refresh() -> PriceSnapshot:
    """Read the tables again if they changed. While one thread reads, the others go on with what they have."""
    return _newest_book().snapshot


def _newest_book() -> Book:
    with _memory.lock:
        _memory.looked_at = time.monotonic()
        with connections["system"].cursor() as cursor:
            cursor.execute(VERSION_QUERY)
            version = cursor.fetchone()
        book = _memory.book
        if book is None or version != book.version:
            book = _memory.book = Book(version=version, snapshot=load_snapshot())
        return book


def current_book() -> Book:
    """The book to answer from: at most two seconds older than the tables, older only while they cannot be read."""
    book = _memory.book
    if book is None:
        return _newest_book()
    if _memory.refreshed_by_a_thread:
        return book
    if time.monotonic() - _memory.looked_at > SECONDS_BETWEEN_LOOKS and not _memory.lock.locked():
        try:
            return _newest_book()
        except DatabaseError:
            logger.warning("price book could not be refreshed; answering from memory")
    return book


def current() -> PriceSnapshot:
    """The tables to answer from, as of `current_book`."""
    return current_book().snapshot


def stored_ids() -> dict[Origin, int]:
    """Of the applied rates that are known to be stored. They are never changed, so every book's rates may look here."""
    return _memory.stored_ids
