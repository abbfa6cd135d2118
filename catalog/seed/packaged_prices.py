"""OpenRouter's prices out of the installed package `genai-prices`, rewritten as OpenRouter's own `pricing` objects.

So they take the same way in as the live feed (`pricing.openrouter_pricing`): same checks, same rounding. The package states
USD per million tokens (per thousand searches), tiers that reprice the whole request, and the days when prices changed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.metadata import version

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from pricing.bands import PriceSheet
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.tokens import TokenClass

PACKAGE = "genai-prices"
PROVIDER = "openrouter"
KEYS: Mapping[str, tuple[str, int]] = {
    "input_mtok": ("prompt", -6),
    "output_mtok": ("completion", -6),
    "cache_read_mtok": ("input_cache_read", -6),
    "cache_write_mtok": ("input_cache_write", -6),
    "cache_write_1h_mtok": ("input_cache_write_1h", -6),
    "output_reasoning_mtok": ("internal_reasoning", -6),
    "web_searches_kcount": ("web_search", -3),
}
"""The package's price → OpenRouter's key, and the power of ten that makes it a price of one unit."""
FREE = ":free"
NOT_SOLD = (":batch",)
"""Variants of an id that need an interface the gateway has not: batches are posted as files, not called."""
ALIAS = "~"
MAKES_MEDIA = re.compile(r"image|audio|banana|omni|lyria")
"""Ids of models whose answers are pictures or sound. These have prices of their own, which the package does not know; priced
as text they would be sold far below cost."""


class Unusable(ValueError):
    """The model cannot be sold from this data; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedPrice:
    """A price from the start of a UTC day on; None as the day is "from the beginning". `pricing` is the text it is made of."""

    since: date | None
    pricing: dict[str, object]
    sheet: PriceSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModel:
    """A model with a name and at least one price, oldest first. The context length is not always known."""

    slug: str
    name: str
    context_length: int | None
    prices: tuple[PackagedPrice, ...]


def origin() -> str:
    """Where these prices come from, as CostPrice.origin states it."""
    return f"{PACKAGE} {version(PACKAGE)}"


def packaged_models(*, names: Mapping[str, str]) -> tuple[list[PackagedModel], dict[str, str]]:
    """All models that can be sold, and the reasons why the others (by id) cannot. `names` serves where the package has none."""
    sold, left_out = [], {}
    for info in every_model():
        try:
            sold.append(_model(info, names.get(info.id) or info.name))
        except ValueError as reason:
            left_out[info.id] = str(reason)
    return sold, left_out


def every_model() -> Iterator[ModelInfo]:
    """All that the package knows of OpenRouter, sold here or not."""
    for provider in get_snapshot().providers:
        if provider.id == PROVIDER:
            yield from provider.models


def _model(info: ModelInfo, name: str | None) -> PackagedModel:
    if "/" not in info.id:
        raise Unusable("an id of old, without its author")
    if info.id.startswith(ALIAS):
        raise Unusable("an alias: priced as the model it stands for")
    if info.id.endswith(NOT_SOLD):
        raise Unusable("a variant that the gateway cannot call")
    if MAKES_MEDIA.search(info.id) and not info.id.endswith(FREE):
        raise Unusable("answers with pictures or sound, whose price is not known")
    if not name:
        raise Unusable("no name, so no longer listed")
    prices = info.prices if isinstance(info.prices, list) else [ConditionalPrice(prices=info.prices)]
    return PackagedModel(
        slug=info.id,
        name=" ".join(name.split()),
        context_length=info.context_window,
        prices=tuple(sorted((_price(info.id, price) for price in prices), key=lambda price: price.since or date.min)),
    )


def _price(slug: str, price: ConditionalPrice) -> PackagedPrice:
    if price.constraint is not None and not isinstance(price.constraint, StartDateConstraint):
        raise Unusable(f"a price with a condition that we do not know: {type(price.constraint).__name__}")
    is_free = slug.endswith(FREE)
    pricing = openrouter_pricing(price.prices)
    if not pricing and is_free:
        pricing = {"prompt": "0", "completion": "0"}
    sheet = parse_openrouter_pricing(pricing)
    if sheet is None or not (is_free or (sheet.base[TokenClass.INPUT] and sheet.base[TokenClass.OUTPUT])):
        raise Unusable("a price of 0 or less that is not called free")
    return PackagedPrice(since=price.constraint.start_date if price.constraint else None, pricing=pricing, sheet=sheet)


def openrouter_pricing(price: ModelPrice) -> dict[str, object]:
    """A `pricing` object of OpenRouter's: decimal text per unit, tiers as overrides, the highest last because later ones win."""
    base: dict[str, object] = {}
    overrides: dict[int, dict[str, object]] = {}
    for unit, value in vars(price).items():
        if value is None:
            continue
        if unit not in KEYS:
            raise Unusable(f"a price of something that we do not know: {unit}")
        key, power = KEYS[unit]
        base[key] = _per_unit(value.base if isinstance(value, TieredPrices) else value, power)
        for tier in value.tiers if isinstance(value, TieredPrices) else ():
            overrides.setdefault(tier.start, {"min_prompt_tokens": tier.start})[key] = _per_unit(tier.price, power)
    if overrides:
        base["overrides"] = [overrides[start] for start in sorted(overrides)]
    return base


def _per_unit(price: Decimal, power: int) -> str:
    return format(price.scaleb(power), "f")
