"""What a model cost since when, on the terms of whoever asks: a row for every change of upstream price, markup or exchange rate.

Answered from the price book's memory, by the same look-ups that price a call. What was published anew with the same value is no
row: a row names the publications that it began with, and `price_at` those of its moment. A model that moved from one cost table to
another shows the former's prices up to the day on which the latter's begin.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from accounts.models import Currency
from catalog import price_book
from catalog.price_snapshot import Dated, ModelEntry, PriceSnapshot, targets_of
from catalog.rate_history import PublishedRate, next_boundary
from pricing.bands import PriceSheet
from pricing.exact import ONE
from pricing.rating import unit_prices
from pricing.tokens import TokenClass


class Change(StrEnum):
    """What made a row of the history."""

    LISTED = "listed"
    COST = "cost"
    MARKUP = "markup"
    EXCHANGE_RATE = "exchange_rate"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedPrice:
    """A price in force from `since` until `until` (None: now). Without a `sheet` the model was off the list.

    `markup_rule_id`, `markup` and `exchange` are None where none was known for the time; then there was an upstream cost, and no
    price of ours. `exchange` is None for billing in dollars, too.
    """

    since: datetime
    until: datetime | None = None
    cost_table_id: int
    cost_price_id: int
    sheet: PriceSheet | None
    markup_rule_id: int | None = None
    markup: Decimal | None = None
    exchange: PublishedRate | None = None
    currency: str
    changes: tuple[Change, ...] = ()

    @property
    def is_priced(self) -> bool:
        """Whether everything that a price of ours is made of was known."""
        return (
            self.sheet is not None
            and self.markup is not None
            and (self.exchange is not None or self.currency == Currency.USD)
        )

    @property
    def unit_costs(self) -> Mapping[TokenClass, Decimal]:
        """USD for a token (image, search, request), of what the upstream's list names; empty while off the list."""
        return self.sheet.base if self.sheet else {}

    def unit_prices(self, unit_costs: Mapping[TokenClass, Decimal]) -> Mapping[TokenClass, Decimal]:
        """What these costs became for the buyer, in `currency`; empty where no price was known."""
        if not self.is_priced or self.markup is None:
            return {}
        return unit_prices(unit_costs, markup=self.markup, exchange_rate=self.exchange.rate if self.exchange else ONE)


class NotYetSold(price_book.NoPrice):
    """The moment lies before the model's first price."""


class NotOnTheList(price_book.NoPrice):
    """At that moment the model was off the upstream's list."""


def price_history(*, terms: price_book.Terms, model: ModelEntry, now: datetime) -> list[DatedPrice]:
    """Every change until `now`, the oldest first. What begins later is not announced."""
    snapshot = price_book.current()
    listings = [listing for listing in _listings(snapshot, model) if listing[1].since <= now]
    rows: list[DatedPrice] = []
    for moment in _moments(snapshot, terms, model, listings, now):
        row = _row(snapshot, terms, model, listings, moment)
        changes = _changes(rows[-1] if rows else None, row)
        if changes:
            if rows:
                rows[-1] = replace(rows[-1], until=moment)
            rows.append(replace(row, changes=changes))
    return rows


def price_at(*, terms: price_book.Terms, model: ModelEntry, at: datetime, now: datetime) -> DatedPrice:
    """The price in force at a moment of the past. Raises NotYetSold, NotOnTheList; `NoPrice` for a router."""
    history = price_history(terms=terms, model=model, now=now)
    position = bisect_right(history, at, key=lambda row: row.since)
    if not history:
        raise price_book.NoPrice(f"{model.slug} has no price of its own")
    if not position:
        raise NotYetSold(f"{model.slug} had no price yet: its first one is of {history[0].since.isoformat()}")
    row = history[position - 1]
    if row.sheet is None:
        raise NotOnTheList(f"{model.slug} was off the price list then, since {row.since.isoformat()}")
    then = _row(price_book.current(), terms, model, _listings(price_book.current(), model), at)
    return replace(then, since=row.since, until=row.until, changes=row.changes)


Listing = tuple[int, Dated[PriceSheet | None]]


def _listings(snapshot: PriceSnapshot, model: ModelEntry) -> list[Listing]:
    """The rows of the model's own cost table, before them those of the tables that it was sold from earlier."""
    own = snapshot.prices.get((model.cost_table_id, model.id), ())
    others = [
        (table_id, dated)
        for (table_id, model_id), history in snapshot.prices.items()
        if model_id == model.id and table_id != model.cost_table_id
        for dated in history
        if not own or dated.since < own[0].since
    ]
    return [*sorted(others, key=lambda listing: listing[1].since), *((model.cost_table_id, dated) for dated in own)]


def _moments(
    snapshot: PriceSnapshot,
    terms: price_book.Terms,
    model: ModelEntry,
    listings: Sequence[Listing],
    now: datetime,
) -> list[datetime]:
    """When something may have changed, in order, from the first price until `now`."""
    if not listings:
        return []
    first = listings[0][1].since
    markups = (
        dated.since
        for target in targets_of(terms.organization_id, model)
        for dated in snapshot.markups.get(target, ())
        if first < dated.since <= now
    )
    return sorted({*(dated.since for _table, dated in listings), *markups, *_boundaries(terms, first, now)})


def _boundaries(terms: price_book.Terms, first: datetime, now: datetime) -> Iterator[datetime]:
    """When another exchange rate may begin to hold: the months or days of the organization's zone."""
    if terms.currency == Currency.USD:
        return
    day = first.astimezone(ZoneInfo(terms.zone)).date()
    while (boundary := next_boundary(day, policy=terms.exchange_policy, zone=terms.zone)).begins <= now:
        yield boundary.begins
        day = boundary.day


def _row(
    snapshot: PriceSnapshot,
    terms: price_book.Terms,
    model: ModelEntry,
    listings: Sequence[Listing],
    moment: datetime,
) -> DatedPrice:
    position = bisect_right(listings, moment, key=lambda listing: listing[1].since)
    table_id, price = listings[position - 1]
    row = DatedPrice(
        since=moment, cost_table_id=table_id, cost_price_id=price.id, sheet=price.value, currency=terms.currency
    )
    if price.value is None:
        return row
    markup_rule_id, markup = snapshot.markup(terms.organization_id, model, moment) or (None, None)
    try:
        exchange = price_book.exchange_rate(terms=terms, at=moment)
    except price_book.NoExchangeRate:
        exchange = None
    return replace(row, markup_rule_id=markup_rule_id, markup=markup, exchange=exchange)


def _changes(before: DatedPrice | None, row: DatedPrice) -> tuple[Change, ...]:
    """What tells two rows apart; nothing if they are the same price, whichever publication of it."""
    if row.sheet is None:
        return () if before is None or before.sheet is None else (Change.DELISTED,)
    if before is None or before.sheet is None:
        return (Change.LISTED,)
    found = {
        Change.COST: before.sheet != row.sheet,
        Change.MARKUP: before.markup != row.markup,
        Change.EXCHANGE_RATE: (before.exchange and before.exchange.rate) != (row.exchange and row.exchange.rate),
    }
    return tuple(change for change, differs in found.items() if differs)
