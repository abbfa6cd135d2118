"""One model's prices as pages write them: a line per token class with cost and price, conditions in words, their origin."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import dates
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog import price_book
from catalog.markup_origin import MarkupOrigin, Scope, markup_origin
from catalog.models import LanguageModel
from catalog.price_history import DatedPrice
from dashboard.rate_sources import source_name
from metering.token_labels import TOKEN_CLASSES
from pricing.bands import Override
from pricing.tokens import PIECE_CLASSES, TokenClass

MAIN_CLASSES = (TokenClass.INPUT, TokenClass.OUTPUT)
"""Shown large; the other prices of a sheet stand below."""

SCOPES: Mapping[Scope, Promise] = {
    Scope.ORGANIZATION_AND_MODEL: gettext_lazy("for this model in your organization"),
    Scope.ORGANIZATION: gettext_lazy("for your organization"),
    Scope.MODEL: gettext_lazy("for this model"),
    Scope.PROVIDER: gettext_lazy("for this provider's models"),
    Scope.ALL: gettext_lazy("for all models"),
}


@dataclass(frozen=True, slots=True)
class PriceLine:
    """USD for a token (image, search, request) at the upstream, and what the buyer pays for it (None: not known)."""

    token_class: TokenClass
    cost: Decimal
    price: Decimal | None = None

    @property
    def label(self) -> Any:
        return TOKEN_CLASSES[self.token_class]

    @property
    def is_piece(self) -> bool:
        return self.token_class in PIECE_CLASSES


@dataclass(frozen=True, slots=True)
class Provenance:
    """The rows that a price comes from: version of the upstream price, markup rule, exchange rate."""

    rate: price_book.Rate
    table: str
    markup: MarkupOrigin | None

    @property
    def scope(self) -> Promise | None:
        return SCOPES[self.markup.scope] if self.markup else None

    @property
    def source(self) -> str:
        return source_name(self.rate.exchange.source) if self.rate.exchange else ""


def price_lines(unit_costs: Mapping[TokenClass, Decimal], price: DatedPrice | None = None) -> list[PriceLine]:
    """In the order of TokenClass; a piece that costs nothing is no price."""
    prices = price.unit_prices(unit_costs) if price else {}
    return [
        PriceLine(token_class, unit_costs[token_class], prices.get(token_class))
        for token_class in TokenClass
        if token_class in unit_costs and (unit_costs[token_class] or token_class not in PIECE_CLASSES)
    ]


def provenance_of(model: LanguageModel, rate: price_book.Rate, terms: price_book.Terms) -> Provenance:
    """Where `rate` comes from."""
    origin = markup_origin(terms=terms, model=rate.model, rule_id=rate.markup_rule_id)
    return Provenance(rate=rate, table=model.cost_table.name, markup=origin)


def condition_text(override: Override) -> str:
    """`Prompts over 200,000 tokens · 16:30–00:30 UTC`."""
    parts = []
    if override.min_prompt_tokens is not None:
        parts.append(_("Prompts over %(count)s tokens") % {"count": f"{override.min_prompt_tokens:,}"})
    if override.utc_start is not None and override.utc_end is not None:
        parts.append(f"{clock(override.utc_start)}–{clock(override.utc_end)} UTC")
    if override.utc_days is not None:
        parts.append(", ".join(str(dates.WEEKDAYS_ABBR[day - 1]) for day in sorted(override.utc_days)))
    return " · ".join(parts)


def clock(minute: int) -> str:
    """A minute of the day as `16:30`."""
    return f"{minute // 60:02}:{minute % 60:02}"
