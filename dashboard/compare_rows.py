"""One model of `/models/compare`: what the volume costs with it, at which prices, or why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy

from billing.line_notes import conditions_text
from billing.what_if import Answer, Lack, Part
from catalog import price_book
from dashboard.formulas import FormulaLine, formula_lines
from dashboard.model_facts import Modality, modalities_of
from dashboard.rate_sources import source_name
from pricing.band_conditions import conditions_of
from pricing.bands import BASE
from pricing.tokens import TokenClass

LACKS: Mapping[Lack, Promise] = {
    Lack.NOT_SOLD: gettext_lazy("not sold now"),
    Lack.VARIES: gettext_lazy("varies with the model that answers"),
    Lack.TAKES_NO_IMAGES: gettext_lazy("takes no images"),
    Lack.NO_PRICE_PER_IMAGE: gettext_lazy("no price per image: images count as input tokens"),
    Lack.IMAGES_UNKNOWN: gettext_lazy("not known whether it takes images"),
    Lack.PROMPT_TOO_LONG: gettext_lazy("the prompt of one request is longer than the context window"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A model and what the volume costs with it; `pin_url` puts it beside others or takes it away (empty: no more room)."""

    answer: Answer
    at: datetime
    is_pinned: bool = False
    pin_url: str = ""

    @property
    def lack(self) -> Promise | str:
        return LACKS[self.answer.lack] if self.answer.lack else ""

    @property
    def prices(self) -> Mapping[str, Decimal]:
        """For a token, by token class, of the dearest band that the volume meets."""
        return {name.value: price for name, price in self.answer.parts[0].rate.unit_prices.items()}

    @property
    def rate(self) -> price_book.Rate:
        return self.answer.parts[0].rate

    @property
    def source(self) -> str:
        return source_name(self.rate.exchange.source) if self.rate.exchange else ""

    @property
    def has_cache_price(self) -> bool:
        costs = self.rate.unit_costs
        return costs[TokenClass.CACHE_READ] != costs[TokenClass.INPUT]

    @property
    def bands(self) -> list[tuple[str, int]]:
        """The bands of the price list in words, each with its number of requests; nothing where only the base price is met."""
        if all(part.rate.band == BASE for part in self.answer.parts):
            return []
        return [(self._condition(part), part.requests) for part in self.answer.parts]

    @property
    def lines(self) -> list[FormulaLine]:
        return [line for part in self.answer.parts for line in formula_lines(part.lines, part.rate)]

    @property
    def modalities(self) -> Sequence[Modality]:
        return modalities_of(self.answer.model)

    def _condition(self, part: Part) -> str:
        price = price_book.current().price(part.rate.model, self.at)
        if price is None or price.value is None:
            return ""
        return conditions_text(conditions_of(price.value, part.rate.band), get_language() or "")
