"""What a token costs whom, when and why – answered from memory.

`quote` puts cost price, band, markup and exchange rate together into a `Rate` with its full provenance; `stored` gives the
AppliedRate row that charges refer to, made once under a race. The memory (`price_memory`) is refreshed when the tables changed,
which is looked up at most every two seconds, so every process sees a change within five.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import connections

from accounts.models import Currency, Organization
from catalog.applied_rates import store_applied_rate
from catalog.models import AppliedRate
from catalog.price_memory import PUBLIC_TERMS as PUBLIC_TERMS
from catalog.price_memory import Book, Origin, Sale, current_book, stored_ids
from catalog.price_memory import Rate as Rate
from catalog.price_memory import Terms as Terms
from catalog.price_memory import current as current
from catalog.price_memory import forget as forget
from catalog.price_memory import is_loaded as is_loaded
from catalog.price_memory import leave_refreshing_to_a_thread as leave_refreshing_to_a_thread
from catalog.price_memory import refresh as refresh
from catalog.price_memory import terms_of as terms_of
from catalog.price_sheets import price_map
from catalog.price_snapshot import ModelEntry, PriceSnapshot
from catalog.rate_history import PublishedRate, boundary_of
from pricing.bands import Band
from pricing.tokens import TokenClass

SHORTEST_ZONE_STEP = 15 * 60
"""Days of every time zone begin on a quarter of an hour UTC."""
MOST_SALES_REMEMBERED = 100_000


class NoRate(LookupError):
    """There is no rate, and it must not be taken for 0. The message is the reason that an unrated event shows."""


class UnknownModel(NoRate):
    """No model of that name was ever sold."""


class NoPrice(NoRate):
    """The model has no price at that moment: not yet, no longer, or none of its own (a router)."""


class NoMarkup(NoRate):
    """No markup rule covers the sale."""


class NoExchangeRate(NoRate):
    """No exchange rate was published early enough and recently enough."""


def find_model(slug: str) -> ModelEntry:
    """The model called `slug`. Raises UnknownModel."""
    model = current().models.get(slug)
    if model is None:
        raise UnknownModel(f"unknown model: {slug}")
    return model


def is_sold(model: ModelEntry, *, at: datetime) -> bool:
    """Whether a price is in force. A router needs none of its own; a tombstone ends either."""
    price = current().price(model, at)
    return model.is_router if price is None else price.value is not None


def applied_rate(*, organization: Organization | None, model: str, prompt_tokens: int, at: datetime) -> Rate:
    """The rate at which `organization` (None: a visitor) would be charged for a call of `model` at `at`, with its provenance.

    Answered from memory; `stored` gives the row that a charge refers to. Raises UnknownModel, NoPrice, NoMarkup, NoExchangeRate.
    """
    terms = PUBLIC_TERMS if organization is None else terms_of(organization)
    return quote(terms=terms, model=find_model(model), prompt_tokens=prompt_tokens, at=at)


def quote(*, terms: Terms, model: ModelEntry, prompt_tokens: int, at: datetime) -> Rate:
    """The rate of a call with `prompt_tokens` (caches included) at `at`. Raises NoPrice, NoMarkup, NoExchangeRate."""
    sale = _sale(terms, model, at)
    band = sale.sheet.band(prompt_tokens, at)
    rate = sale.rates.get(band.name)
    if rate is None:
        rate = sale.rates[band.name] = _rate(sale, band, model, terms.currency)
    return rate


def _rate(sale: Sale, band: Band, model: ModelEntry, currency: str) -> Rate:
    """Made once per origin: sales of many moments, as in a late batch, share their few rates."""
    exchange_id = sale.exchange.id if sale.exchange else None
    origin: Origin = (sale.cost_price_id, band.name, sale.markup_rule_id, exchange_id, currency)
    rate = sale.rates_of_book.get(origin)
    if rate is None:
        rate = sale.rates_of_book[origin] = Rate(
            model=model,
            cost_price_id=sale.cost_price_id,
            price_since=sale.price_since,
            band=band.name,
            markup_rule_id=sale.markup_rule_id,
            markup=sale.markup,
            exchange=sale.exchange,
            currency=currency,
            unit_costs=band.unit_costs,
            unit_prices=sale.unit_prices(band.unit_costs),
        )
    return rate


def highest_unit_prices(*, terms: Terms, model: ModelEntry, at: datetime) -> Mapping[TokenClass, Decimal]:
    """Unit prices no band of the model can exceed: what a worst case is held at. Raises as `quote` does."""
    sale = _sale(terms, model, at)
    if not sale.highest:
        sale.highest = sale.unit_prices(sale.sheet.highest_unit_costs())
    return sale.highest


def exchange_rate(*, terms: Terms, at: datetime) -> PublishedRate | None:
    """What turns dollars into the currency of the terms at `at`; None where that is the dollar. Raises NoExchangeRate."""
    if terms.currency == Currency.USD:
        return None
    return _exchange_rate(current(), terms, int(at.timestamp()) // SHORTEST_ZONE_STEP)


def _sale(terms: Terms, model: ModelEntry, at: datetime) -> Sale:
    """What is in force for a sale at `at`. Remembered per quarter of an hour, if nothing changes within it."""
    book = current_book()
    quarter_hour = int(at.timestamp()) // SHORTEST_ZONE_STEP
    key = (terms, model.id, quarter_hour)
    sale = book.sales.get(key)
    if sale is None:
        sale = _look_up(book, terms, model, at, quarter_hour)
        begin = datetime.fromtimestamp(quarter_hour * SHORTEST_ZONE_STEP, UTC)
        end = begin + timedelta(seconds=SHORTEST_ZONE_STEP)
        if book.snapshot.next_change(terms.organization_id, model, begin) >= end:
            if len(book.sales) > MOST_SALES_REMEMBERED:
                book.sales.clear()
            book.sales[key] = sale
    return sale


def _look_up(book: Book, terms: Terms, model: ModelEntry, at: datetime, quarter_hour: int) -> Sale:
    snapshot = book.snapshot
    price = snapshot.price(model, at)
    if price is None or price.value is None:
        raise NoPrice(f"no price of {model.slug} at {at.isoformat()}")
    markup = snapshot.markup(terms.organization_id, model, at)
    if markup is None:
        raise NoMarkup(f"no markup covers {model.slug} at {at.isoformat()}")
    exchange = None if terms.currency == Currency.USD else _exchange_rate(snapshot, terms, quarter_hour)
    return Sale(price.id, price.since, price.value, *markup, exchange, book.rates)


def stored(rate: Rate, *, now: datetime) -> int:
    """The id of the AppliedRate row of `rate`; a rate not yet stored is stored once, whoever asks at the same time."""
    known = stored_ids().get(rate.origin)
    if known is None:
        known = store_applied_rate(applied_rate_row(rate, now=now))
        if not connections["system"].in_atomic_block:  # else the row may yet be rolled back
            stored_ids()[rate.origin] = known
    return known


def applied_rate_row(rate: Rate, *, now: datetime) -> AppliedRate:
    """`rate` as a row that is not stored yet."""
    return AppliedRate(
        cost_price_id=rate.cost_price_id,
        band=rate.band,
        markup_rule_id=rate.markup_rule_id,
        exchange_rate_id=rate.exchange.id if rate.exchange else None,
        currency=rate.currency,
        unit_costs=price_map(rate.unit_costs),
        unit_prices=price_map(rate.unit_prices),
        created_at=now,
    )


def _exchange_rate(snapshot: PriceSnapshot, terms: Terms, quarter_hour: int) -> PublishedRate:
    """The rate that holds in the month or on the day of a moment in the organization's zone."""
    local_day = datetime.fromtimestamp(quarter_hour * SHORTEST_ZONE_STEP, ZoneInfo(terms.zone)).date()
    boundary = boundary_of(local_day, policy=terms.exchange_policy, zone=terms.zone)
    rate = snapshot.rates.at(boundary)
    if rate is None:
        last = snapshot.rates.last_before(boundary.day)
        raise NoExchangeRate(
            f"the last exchange rate before {boundary.day.isoformat()} is of {last.published_on.isoformat()}"
            if last
            else f"no exchange rate was published before {boundary.day.isoformat()}"
        )
    return rate
