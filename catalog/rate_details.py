"""Where a rate comes from, for whoever asks "why this amount?": receipts, invoice lines and estimates open to this.

A stored AppliedRate and a fresh quote of the price book are described by the same `RateDetails`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from catalog.models import AppliedRate, CostPrice, ExchangeRate
from catalog.price_book import Rate
from catalog.price_sheets import parse_price_map, sheet_from_json
from catalog.rate_history import PublishedRate
from pricing.band_conditions import BandConditions, conditions_of
from pricing.exact import ONE
from pricing.plain_text import plain
from pricing.tokens import TokenClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeDetails:
    """`rate` won for one dollar, as `source` published it on a day."""

    rate: Decimal
    source: str
    published_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDetails:
    """unit price = unit cost (USD) × (1 + markup) × exchange rate, per token class, exactly.

    `cost_price_id` is the version of the upstream price, in force since `price_since`; `band` tells which of its conditional
    prices hold ("base", or the numbers of the overrides), `conditions` what that means. The markup holds since `markup_since`,
    which a fresh quote leaves open. No `exchange` means billing in dollars.
    """

    model: str
    model_name: str
    cost_table: str
    cost_price_id: int
    price_since: datetime
    band: str
    conditions: BandConditions
    markup_rule_id: int
    markup: Decimal
    markup_since: datetime | None
    exchange: ExchangeDetails | None
    currency: str
    unit_costs: Mapping[TokenClass, Decimal]
    unit_prices: Mapping[TokenClass, Decimal]

    @property
    def exchange_rate(self) -> Decimal:
        """The factor from dollars to the billing currency."""
        return self.exchange.rate if self.exchange else ONE

    def formula(self, quantities: Iterable[tuple[TokenClass, int]]) -> str:
        """The exact amount of these quantities as a sum that anybody can work out: 500000 × 0.00000004 × (1 + 0.1) × 1500 + …"""
        factors = f"(1 + {plain(self.markup)})" + (f" × {plain(self.exchange.rate)}" if self.exchange else "")
        products = [
            f"{quantity} × {plain(self.unit_costs[token_class])} × {factors}" for token_class, quantity in quantities
        ]
        return " + ".join(products) or "0"


def details_of(applied_rate_ids: Iterable[int]) -> dict[int, RateDetails]:
    """The details of stored rates by id, in one query. Needs the tenant's scope: markups may be its own."""
    rows = AppliedRate.objects.select_related(
        "cost_price__cost_table", "cost_price__language_model", "markup_rule", "exchange_rate"
    ).filter(pk__in=set(applied_rate_ids))
    return {row.pk: _stored(row) for row in rows}


class KnownRates:
    """Details of stored rates, which never change, for a run that needs the same ones over and over."""

    def __init__(self) -> None:
        self._known: dict[int, RateDetails] = {}

    def details_of(self, applied_rate_ids: Iterable[int]) -> Mapping[int, RateDetails]:
        """The details of these and others. Needs the tenant's scope, as `details_of` does."""
        missing = set(applied_rate_ids) - self._known.keys()
        if missing:
            self._known |= details_of(missing)
        return self._known


def _stored(row: AppliedRate) -> RateDetails:
    price, markup = row.cost_price, row.markup_rule.markup
    if markup is None:
        raise ValueError(f"applied rate {row.pk} names a rule that ends a markup")
    return RateDetails(
        model=price.language_model.slug,
        model_name=price.language_model.name,
        cost_table=price.cost_table.name,
        cost_price_id=price.pk,
        price_since=price.effective_from,
        band=row.band,
        conditions=_conditions(price, row.band),
        markup_rule_id=row.markup_rule_id,
        markup=markup,
        markup_since=row.markup_rule.effective_from,
        exchange=_exchange(row.exchange_rate),
        currency=row.currency,
        unit_costs=parse_price_map(row.unit_costs),
        unit_prices=parse_price_map(row.unit_prices),
    )


def details_of_quote(quoted: Rate) -> RateDetails:
    """The details of a rate that nobody has been charged yet."""
    return details_of_quotes([quoted])[0]


def details_of_quotes(quotes: Sequence[Rate]) -> list[RateDetails]:
    """The details of such rates, in order, in one query."""
    prices = CostPrice.objects.select_related("cost_table", "language_model").in_bulk(
        {quoted.cost_price_id for quoted in quotes}
    )
    return [_quoted(quoted, prices[quoted.cost_price_id]) for quoted in quotes]


def _quoted(quoted: Rate, price: CostPrice) -> RateDetails:
    return RateDetails(
        model=quoted.model.slug,
        model_name=price.language_model.name,
        cost_table=price.cost_table.name,
        cost_price_id=quoted.cost_price_id,
        price_since=quoted.price_since,
        band=quoted.band,
        conditions=_conditions(price, quoted.band),
        markup_rule_id=quoted.markup_rule_id,
        markup=quoted.markup,
        markup_since=None,
        exchange=_exchange(quoted.exchange),
        currency=quoted.currency,
        unit_costs=quoted.unit_costs,
        unit_prices=quoted.unit_prices,
    )


def _exchange(row: ExchangeRate | PublishedRate | None) -> ExchangeDetails | None:
    return None if row is None else ExchangeDetails(rate=row.rate, source=row.source, published_on=row.published_on)


def _conditions(price: CostPrice, band: str) -> BandConditions:
    if price.sheet is None:
        raise ValueError(f"cost price {price.pk} is a tombstone and prices nothing")
    return conditions_of(sheet_from_json(price.sheet), band)
