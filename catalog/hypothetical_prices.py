"""What if prices, markups or the exchange rate had been others? A snapshot of the price book with suppositions laid over it.

Nothing is stored and the memory of the process is left alone. A supposition holds at all times. It takes the place of its like:
a supposed markup for everything does not touch a customer who has a rule of its own. Supposed entries have ids below zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from catalog.price_snapshot import Dated, PriceSnapshot, Target
from catalog.rate_history import Boundary, PublishedRate, RateHistory
from pricing.bands import PriceSheet
from pricing.exact import ONE, ZERO, decimal_places
from pricing.rating import EXCHANGE_RATE_DECIMALS, MARKUP_DECIMALS

ALWAYS = datetime.min.replace(tzinfo=UTC)
SOURCE = "supposed"


class Implausible(ValueError):
    """A supposition that could never be a price, a markup or an exchange rate. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """Price sheets by model, markups (fractions of cost) by target, won for one dollar. What is not named stays as it is.

    Raises Implausible.
    """

    prices: Mapping[str, PriceSheet] = field(default_factory=dict)
    markups: Mapping[Target, Decimal] = field(default_factory=dict)
    exchange_rate: Decimal | None = None

    def __post_init__(self) -> None:
        for markup in self.markups.values():
            if not markup.is_finite() or markup <= -ONE or decimal_places(markup) > MARKUP_DECIMALS:
                raise Implausible(f"a markup is above -1 and has at most {MARKUP_DECIMALS} decimals, not {markup}")
        rate = self.exchange_rate
        if rate is not None and (not rate.is_finite() or rate <= ZERO or decimal_places(rate) > EXCHANGE_RATE_DECIMALS):
            raise Implausible(
                f"an exchange rate is above 0 and has at most {EXCHANGE_RATE_DECIMALS} decimals, not {rate}"
            )

    def __bool__(self) -> bool:
        return bool(self.prices or self.markups or self.exchange_rate is not None)


class SupposedRate(RateHistory):
    """One exchange rate, whenever it is asked for."""

    def __init__(self, rate: Decimal) -> None:
        super().__init__()
        self._rate = PublishedRate(-1, rate, SOURCE, date.min, ALWAYS)

    def at(self, boundary: Boundary) -> PublishedRate | None:
        return self._rate

    def last_before(self, day: date) -> PublishedRate | None:
        return self._rate


def suppose(snapshot: PriceSnapshot, hypothesis: Hypothesis) -> PriceSnapshot:
    """The snapshot as it would be. Raises Implausible for a model that is not in it."""
    prices, markups = dict(snapshot.prices), dict(snapshot.markups)
    for number, (slug, sheet) in enumerate(hypothesis.prices.items(), start=1):
        model = snapshot.models.get(slug)
        if model is None:
            raise Implausible(f"unknown model: {slug}")
        prices[model.cost_table_id, model.id] = [Dated(-number, ALWAYS, sheet)]
    for number, (target, markup) in enumerate(hypothesis.markups.items(), start=1):
        markups[target] = [Dated(-number, ALWAYS, markup)]
    rates = snapshot.rates if hypothesis.exchange_rate is None else SupposedRate(hypothesis.exchange_rate)
    return replace(snapshot, prices=prices, markups=markups, rates=rates)
