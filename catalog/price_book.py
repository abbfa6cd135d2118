"""What a token costs whom, when and why – answered from memory (DESIGN §2, the walk).

`quote` puts cost price, band, markup and exchange rate together into a `Rate` with its full provenance; `stored` gives the
AppliedRate row that charges refer to, made once under a race. The memory is refreshed when the tables changed, which
is looked up at most every two seconds, so every process sees a change within five.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, connections, transaction

from accounts.models import Currency, ExchangePolicy
from catalog.models import AppliedRate
from catalog.price_sheets import price_map
from catalog.price_snapshot import ModelEntry, PriceSnapshot, PublishedRate, load_snapshot
from pricing.exact import ONE
from pricing.rating import unit_prices
from pricing.tokens import TokenClass

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 2.0
SHORTEST_ZONE_STEP = 15 * 60
"""Days of every time zone begin on a quarter of an hour UTC."""

VERSION_QUERY = """
SELECT (SELECT max(id) FROM catalog_costprice), (SELECT max(id) FROM catalog_markuprule),
       (SELECT max(id) FROM catalog_exchangerate), (SELECT max(updated_at) FROM catalog_languagemodel)
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


class _Memory:
    """The snapshot of this process, the rates made from it, and the ids of those that are stored."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self.snapshot: PriceSnapshot | None = None
        self.version: tuple[object, ...] = ()
        self.looked_at = 0.0
        self.rates: dict[Origin, Rate] = {}
        self.stored_ids: dict[Origin, int] = {}


_memory = _Memory()


def forget() -> None:
    """Drop the memory, so that the next question reads the tables again."""
    _memory.forget()


def refresh() -> PriceSnapshot:
    """Read the tables again if they changed. While one thread reads, the others go on with what they have."""
    with _memory.lock:
        _memory.looked_at = time.monotonic()
        with connections["system"].cursor() as cursor:
            cursor.execute(VERSION_QUERY)
            version = cursor.fetchone()
        if _memory.snapshot is None or version != _memory.version:
            snapshot = load_snapshot()
            _memory.rates = {}
            _memory.snapshot, _memory.version = snapshot, version
        return _memory.snapshot


def current() -> PriceSnapshot:
    """The snapshot to answer from: at most two seconds older than the tables, older only while they cannot be read."""
    snapshot = _memory.snapshot
    if snapshot is None:
        return refresh()
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


def quote(*, terms: Terms, model: ModelEntry, prompt_tokens: int, at: datetime) -> Rate:
    """The rate of a call with `prompt_tokens` (caches included) at `at`. Raises NoPrice, NoMarkup, NoExchangeRate."""
    snapshot = current()
    price = snapshot.price(model, at)
    if price is None or price.value is None:
        raise NoPrice(f"no price of {model.slug} at {at.isoformat()}")
    markup = snapshot.markup(terms.organization_id, model, at)
    if markup is None:
        raise NoMarkup(f"no markup covers {model.slug} at {at.isoformat()}")
    exchange = None if terms.currency == Currency.USD else _exchange_rate(snapshot, terms, at)
    band = price.value.band(prompt_tokens, at)
    origin: Origin = (price.id, band.name, markup[0], exchange.id if exchange else None, terms.currency)
    rate = _memory.rates.get(origin)
    if rate is None:
        rate = _memory.rates[origin] = Rate(
            model=model,
            cost_price_id=price.id,
            price_since=price.since,
            band=band.name,
            markup_rule_id=markup[0],
            markup=markup[1],
            exchange=exchange,
            currency=terms.currency,
            unit_costs=band.unit_costs,
            unit_prices=unit_prices(
                band.unit_costs, markup=markup[1], exchange_rate=exchange.rate if exchange else ONE
            ),
        )
    return rate


def highest_unit_prices(*, terms: Terms, model: ModelEntry, at: datetime) -> dict[TokenClass, Decimal]:
    """Unit prices no band of the model can exceed: what a worst case is held at. Raises as `quote` does."""
    rate = quote(terms=terms, model=model, prompt_tokens=0, at=at)
    price = current().price(model, at)
    if price is None or price.value is None:
        raise NoPrice(f"no price of {model.slug} at {at.isoformat()}")
    return unit_prices(
        price.value.highest_unit_costs(),
        markup=rate.markup,
        exchange_rate=rate.exchange.rate if rate.exchange else ONE,
    )


def stored(rate: Rate, *, now: datetime) -> int:
    """The id of the AppliedRate row of `rate`; a rate not yet stored is stored once, whoever asks at the same time."""
    known = _memory.stored_ids.get(rate.origin)
    if known is None:
        known = _memory.stored_ids[rate.origin] = _store(rate, now)
    return known


def _store(rate: Rate, now: datetime) -> int:
    row = AppliedRate(
        cost_price_id=rate.cost_price_id,
        band=rate.band,
        markup_rule_id=rate.markup_rule_id,
        exchange_rate_id=rate.exchange.id if rate.exchange else None,
        currency=rate.currency,
        unit_costs=price_map(rate.unit_costs),
        unit_prices=price_map(rate.unit_prices),
        created_at=now,
    )
    with transaction.atomic(using="system"):
        AppliedRate.objects.using("system").bulk_create([row], ignore_conflicts=True)
    return (
        AppliedRate.objects.using("system")
        .values_list("pk", flat=True)
        .get(
            cost_price_id=row.cost_price_id,
            band=row.band,
            markup_rule_id=row.markup_rule_id,
            exchange_rate_id=row.exchange_rate_id,
            currency=row.currency,
        )
    )


def _exchange_rate(snapshot: PriceSnapshot, terms: Terms, at: datetime) -> PublishedRate:
    """The last rate published before the month or the day of `at` in the organization's zone (DESIGN §4.6)."""
    boundary = _boundary(terms.zone, terms.exchange_policy, int(at.timestamp()) // SHORTEST_ZONE_STEP)
    rate = snapshot.last_rate_before(boundary)
    if rate is None:
        raise NoExchangeRate(f"no exchange rate was published before {boundary.isoformat()}")
    if (boundary - rate.published_on).days > settings.EXCHANGE_RATE_MAX_AGE_DAYS:
        raise NoExchangeRate(
            f"the last exchange rate before {boundary.isoformat()} is of {rate.published_on.isoformat()}"
        )
    return rate


@lru_cache(maxsize=10_000)
def _boundary(zone: str, exchange_policy: str, quarter_hour: int) -> date:
    """The first day of the month, or the day, that a quarter of an hour since the epoch falls on in `zone`."""
    local_day = datetime.fromtimestamp(quarter_hour * SHORTEST_ZONE_STEP, ZoneInfo(zone)).date()
    return local_day.replace(day=1) if exchange_policy == ExchangePolicy.MONTHLY else local_day
