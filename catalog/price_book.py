"""What a token costs whom, when and why – answered from memory (DESIGN §2, the walk).

`quote` puts cost price, band, markup and exchange rate together into a `Rate` with its full provenance; `stored` gives the
AppliedRate row that charges refer to, made once under a race. The memory is refreshed when the tables changed, which
is looked up at most every two seconds, so every process sees a change within five.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import DatabaseError, connections

from accounts.models import Currency, ExchangePolicy, Organization
from catalog.applied_rates import store_applied_rate
from catalog.models import AppliedRate
from catalog.price_sheets import price_map
from catalog.price_snapshot import ModelEntry, PriceSnapshot, load_snapshot
from catalog.rate_history import PublishedRate, boundary_of
from pricing.bands import Band, PriceSheet
from pricing.exact import ONE
from pricing.rating import unit_prices
from pricing.tokens import TokenClass

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 2.0
SHORTEST_ZONE_STEP = 15 * 60
"""Days of every time zone begin on a quarter of an hour UTC."""
MOST_SALES_REMEMBERED = 100_000

VERSION_QUERY = """
SELECT (SELECT count(*) FROM catalog_costprice), (SELECT count(*) FROM catalog_markuprule),
       (SELECT count(*) FROM catalog_exchangerate), (SELECT count(*) FROM catalog_languagemodel),
       (SELECT sum(xmin::text::bigint) FROM catalog_languagemodel)
"""
"""Differs after every commit that changed what is remembered. The highest id would not do: a transaction that took a lower one
may commit after a higher one was seen. The first three tables only grow; of the last, xmin names each row's last writer.
"""


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
    def origin(self) -> "Origin":
        """What identifies the stored row."""
        return (
            self.cost_price_id,
            self.band,
            self.markup_rule_id,
            self.exchange.id if self.exchange else None,
            self.currency,
        )


Origin = tuple[int, str, int, int | None, str]


@dataclass(slots=True)
class _Sale:
    """Price, markup and exchange rate in force for one model, organization and moment, and the rates made of them."""

    cost_price_id: int
    price_since: datetime
    sheet: PriceSheet
    markup_rule_id: int
    markup: Decimal
    exchange: PublishedRate | None
    rates: dict[str, Rate] = field(default_factory=dict)
    highest: Mapping[TokenClass, Decimal] = field(default_factory=dict)

    def unit_prices(self, unit_costs: Mapping[TokenClass, Decimal]) -> dict[TokenClass, Decimal]:
        return unit_prices(unit_costs, markup=self.markup, exchange_rate=self.exchange.rate if self.exchange else ONE)


class _Memory:
    """The snapshot of this process, the sales made from it, and the ids of the applied rates that are stored."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.refreshed_by_a_thread = False
        self.forget()

    def forget(self) -> None:
        self.snapshot: PriceSnapshot | None = None
        self.version: tuple[object, ...] = ()
        self.looked_at = 0.0
        self.sales: dict[tuple[Terms, int, int], _Sale] = {}
        self.rates: dict[Origin, Rate] = {}
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
    return _memory.snapshot is not None


def refresh() -> PriceSnapshot:
    """Read the tables again if they changed. While one thread reads, the others go on with what they have."""
    with _memory.lock:
        _memory.looked_at = time.monotonic()
        with connections["system"].cursor() as cursor:
            cursor.execute(VERSION_QUERY)
            version = cursor.fetchone()
        if _memory.snapshot is None or version != _memory.version:
            snapshot = load_snapshot()
            _memory.snapshot, _memory.version = snapshot, version
            _memory.sales, _memory.rates = {}, {}
        return _memory.snapshot


def current() -> PriceSnapshot:
    """The snapshot to answer from: at most two seconds older than the tables, older only while they cannot be read."""
    snapshot = _memory.snapshot
    if snapshot is None:
        return refresh()
    if _memory.refreshed_by_a_thread:
        return snapshot
    if time.monotonic() - _memory.looked_at > SECONDS_BETWEEN_LOOKS and not _memory.lock.locked():
        try:
            return refresh()
        except DatabaseError:
            logger.warning("price book could not be refreshed; answering from memory")
    return snapshot


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


def _rate(sale: _Sale, band: Band, model: ModelEntry, currency: str) -> Rate:
    """Made once per origin: sales of many moments, as in a late batch, share their few rates."""
    exchange_id = sale.exchange.id if sale.exchange else None
    origin: Origin = (sale.cost_price_id, band.name, sale.markup_rule_id, exchange_id, currency)
    rate = _memory.rates.get(origin)
    if rate is None:
        rate = _memory.rates[origin] = Rate(
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


def _sale(terms: Terms, model: ModelEntry, at: datetime) -> _Sale:
    """What is in force for a sale at `at`. Remembered per quarter of an hour, if nothing changes within it."""
    snapshot = current()
    quarter_hour = int(at.timestamp()) // SHORTEST_ZONE_STEP
    key = (terms, model.id, quarter_hour)
    sale = _memory.sales.get(key)
    if sale is None:
        sale = _look_up(snapshot, terms, model, at, quarter_hour)
        begin = datetime.fromtimestamp(quarter_hour * SHORTEST_ZONE_STEP, UTC)
        end = begin + timedelta(seconds=SHORTEST_ZONE_STEP)
        if snapshot.next_change(terms.organization_id, model, begin) >= end and snapshot is _memory.snapshot:
            if len(_memory.sales) > MOST_SALES_REMEMBERED:
                _memory.sales = {}
            _memory.sales[key] = sale
    return sale


def _look_up(snapshot: PriceSnapshot, terms: Terms, model: ModelEntry, at: datetime, quarter_hour: int) -> _Sale:
    price = snapshot.price(model, at)
    if price is None or price.value is None:
        raise NoPrice(f"no price of {model.slug} at {at.isoformat()}")
    markup = snapshot.markup(terms.organization_id, model, at)
    if markup is None:
        raise NoMarkup(f"no markup covers {model.slug} at {at.isoformat()}")
    exchange = None if terms.currency == Currency.USD else _exchange_rate(snapshot, terms, quarter_hour)
    return _Sale(price.id, price.since, price.value, *markup, exchange)


def stored(rate: Rate, *, now: datetime) -> int:
    """The id of the AppliedRate row of `rate`; a rate not yet stored is stored once, whoever asks at the same time."""
    known = _memory.stored_ids.get(rate.origin)
    if known is None:
        known = store_applied_rate(applied_rate_row(rate, now=now))
        if not connections["system"].in_atomic_block:  # else the row may yet be rolled back
            _memory.stored_ids[rate.origin] = known
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
    """The rate that holds in the month or on the day of a moment in the organization's zone (DESIGN §4.6)."""
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
