"""Sums of usage priced again under a supposed price book: the pure part of `simulation`, which reads the rows.

Of an applied rate only the factors change that the supposition replaces; the others stay what was charged, whatever the price book
would say today. So without a supposition everything costs exactly what it cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Currency
from billing.usage_lines import billable_quantities, priced
from catalog.price_book import Terms
from catalog.price_snapshot import ModelEntry, PriceSnapshot
from catalog.rate_details import RateDetails
from catalog.rate_history import boundary_of
from pricing.band_spans import calls_in_band, common_band
from pricing.bands import Band
from pricing.exact import ZERO, exact_product, exact_sum
from pricing.rating import MissingUnitPrice, unit_prices
from pricing.tokens import PIECE_CLASSES, TokenClass

HOUR = timedelta(hours=1)
Counts = Mapping[TokenClass, int]


class NotPriced(LookupError):
    """The supposed price of a model leaves out something that was used. The message names both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What replaces the factors of a rate; None is what was charged. Two equal ones make the same of the same rate."""

    price_id: int | None = None
    markup: Decimal | None = None
    exchange_rate: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRate:
    """Unit costs (USD) and prices that would have been applied."""

    unit_costs: Mapping[TokenClass, Decimal]
    unit_prices: Mapping[TokenClass, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedLine:
    """A line of the invoice before and after: exact amounts before tax. More than one new unit price: calls in different bands."""

    service_month: date | None
    applied_rate_id: int
    rate: RateDetails
    token_class: TokenClass
    quantity: int
    unit_price: Decimal
    new_unit_prices: Sequence[Decimal]
    before: Decimal
    after: Decimal


@dataclass(slots=True)
class _Group:
    """What was charged at one applied rate in one month of service, by the new rate it would have had."""

    counts: dict[tuple[Factors, str], dict[TokenClass, int]] = field(default_factory=dict)
    rates: dict[tuple[Factors, str], NewRate] = field(default_factory=dict)


class Replay:
    """Takes usage and prices it anew. `rates` are the applied rates by id, `terms` the customer's."""

    def __init__(
        self, *, real: PriceSnapshot, supposed: PriceSnapshot, terms: Terms, rates: Mapping[int, RateDetails]
    ) -> None:
        self._real, self._supposed, self._terms, self._rates = real, supposed, terms, rates
        self._sheets = {
            entry.id: entry.value
            for snapshot in (real, supposed)
            for history in snapshot.prices.values()
            for entry in history
            if entry.value is not None
        }
        self._groups: dict[tuple[date | None, int], _Group] = {}

    def add_hour(self, *, month: date | None, rate_id: int, hour: datetime, counts: Counts) -> bool:
        """Take the sums of an hour; False if they do not tell which price their calls would have had: add those one by one."""
        rate = self._rates[rate_id]
        model = self._real.models[rate.model]
        factors = self._factors_of_hour(model, hour)
        if factors is None:
            return False
        band: Band | None = None
        if factors.price_id is not None:
            calls = calls_in_band(self._sheets[rate.cost_price_id], rate.band, start=hour, end=hour + HOUR)
            band = common_band(self._sheets[factors.price_id], calls)
            if band is None:
                return False
        self._add(month, rate_id, factors, band, counts)
        return True

    def add_call(self, *, month: date | None, rate_id: int, at: datetime, prompt_tokens: int, counts: Counts) -> None:
        """Take a single call. A reversal is priced as the call it takes back: by the size of its prompt."""
        factors = self._factors(self._real.models[self._rates[rate_id].model], at)
        band = None
        if factors.price_id is not None:
            band = self._sheets[factors.price_id].band(abs(prompt_tokens), at)
        self._add(month, rate_id, factors, band, counts)

    def lines(self) -> list[ReplayedLine]:
        """All that was taken, as lines. Raises NotPriced."""
        found = [
            line for (month, rate_id), group in self._groups.items() for line in self._lines(month, rate_id, group)
        ]
        order = list(TokenClass)
        return sorted(
            found,
            key=lambda line: (
                line.service_month or date.min,
                line.rate.model,
                line.applied_rate_id,
                order.index(line.token_class),
            ),
        )

    def costs(self) -> tuple[Decimal, Decimal]:
        """What we pay the upstream for it, before and after, in USD. Raises NotPriced."""
        before, after = [], []
        for (_month, rate_id), group in self._groups.items():
            for key, counts in group.counts.items():
                for token_class, quantity in billable_quantities(counts):
                    before.append(exact_product(quantity, self._rates[rate_id].unit_costs[token_class]))
                    after.append(
                        exact_product(quantity, self._price(rate_id, group.rates[key].unit_costs, token_class))
                    )
        return exact_sum(before), exact_sum(after)

    def _factors_of_hour(self, model: ModelEntry, hour: datetime) -> Factors | None:
        """What is replaced for every call within the hour; None if that changes in its midst."""
        found, moment = {self._factors(model, hour)}, hour
        while True:
            changes = [
                snapshot.next_change(self._terms.organization_id, model, moment)
                for snapshot in (self._real, self._supposed)
            ]
            moment = min(changes)
            if moment >= hour + HOUR:
                return found.pop() if len(found) == 1 else None
            found.add(self._factors(model, moment))

    def _factors(self, model: ModelEntry, at: datetime) -> Factors:
        organization_id = self._terms.organization_id
        price, charged = self._supposed.price(model, at), self._real.price(model, at)
        markup = self._supposed.markup(organization_id, model, at)
        return Factors(
            price_id=price.id if price and price.value and (not charged or price.id != charged.id) else None,
            markup=markup[1] if markup and markup != self._real.markup(organization_id, model, at) else None,
            exchange_rate=self._exchange_rate(at),
        )

    def _exchange_rate(self, at: datetime) -> Decimal | None:
        if self._terms.currency == Currency.USD or self._supposed.rates is self._real.rates:
            return None
        local_day = at.astimezone(ZoneInfo(self._terms.zone)).date()
        boundary = boundary_of(local_day, policy=self._terms.exchange_policy, zone=self._terms.zone)
        rate = self._supposed.rates.at(boundary)
        return rate.rate if rate and rate != self._real.rates.at(boundary) else None

    def _add(self, month: date | None, rate_id: int, factors: Factors, band: Band | None, counts: Counts) -> None:
        group = self._groups.setdefault((month, rate_id), _Group())
        key = (factors, band.name if band else "")
        if key not in group.rates:
            group.rates[key] = self._new_rate(self._rates[rate_id], factors, band)
        sums = group.counts.setdefault(key, {})
        for token_class, count in counts.items():
            sums[token_class] = sums.get(token_class, 0) + count

    def _new_rate(self, rate: RateDetails, factors: Factors, band: Band | None) -> NewRate:
        if factors == Factors():
            return NewRate(unit_costs=rate.unit_costs, unit_prices=rate.unit_prices)
        costs = band.unit_costs if band else rate.unit_costs
        markup = rate.markup if factors.markup is None else factors.markup
        exchange_rate = rate.exchange_rate if factors.exchange_rate is None else factors.exchange_rate
        return NewRate(unit_costs=costs, unit_prices=unit_prices(costs, markup=markup, exchange_rate=exchange_rate))

    def _lines(self, month: date | None, rate_id: int, group: _Group) -> Iterable[ReplayedLine]:
        rate = self._rates[rate_id]
        totals: dict[TokenClass, int] = {}
        after: dict[TokenClass, Decimal] = {}
        prices: dict[TokenClass, set[Decimal]] = {}
        for key, counts in group.counts.items():
            for token_class, count in counts.items():
                totals[token_class] = totals.get(token_class, 0) + count
            for token_class, quantity in billable_quantities(counts):
                price = self._price(rate_id, group.rates[key].unit_prices, token_class)
                after[token_class] = exact_sum((after.get(token_class, ZERO), exact_product(quantity, price)))
                prices.setdefault(token_class, set()).add(price)
        quantities = dict(billable_quantities(totals))
        before = {line.token_class: line.amount for line in priced(quantities.items(), rate.unit_prices)}
        charged = {token_class for token_class, amount in after.items() if amount or token_class not in PIECE_CLASSES}
        for token_class in (known for known in TokenClass if known in before or known in charged):
            yield ReplayedLine(
                service_month=month,
                applied_rate_id=rate_id,
                rate=rate,
                token_class=token_class,
                quantity=quantities.get(token_class, 0),
                unit_price=rate.unit_prices[token_class],
                new_unit_prices=sorted(prices.get(token_class, ())),
                before=before.get(token_class, ZERO),
                after=after.get(token_class, ZERO),
            )

    def _price(self, rate_id: int, prices: Mapping[TokenClass, Decimal], token_class: TokenClass) -> Decimal:
        try:
            return prices[token_class]
        except KeyError:
            raise NotPriced(f"{self._rates[rate_id].model}: {MissingUnitPrice(token_class)}") from None
