"""Our own table of models (models.toml, providers.toml): full facts in our own words, over the packaged prices."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pricing.bands import PriceSheet
from pricing.exact import parse_decimal
from pricing.openrouter_pricing import parse_openrouter_pricing

FOLDER = Path(__file__).parent
MODELS, PROVIDERS = FOLDER / "models.toml", FOLDER / "providers.toml"
ORIGIN = "our table"
DEFAULT_COST_TABLE = "openrouter"


@dataclass(frozen=True, slots=True, kw_only=True)
class OurPrice:
    """A price in one cost table from the start of a UTC day on; without a sheet the model is delisted there."""

    cost_table: str
    since: date
    pricing: dict[str, str]
    sheet: PriceSheet | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OurModel:
    """What we know of a model. `facts` are fields of `catalog.listing.ModelFacts`; no prices means that the package has them.

    `also` are pricing keys that the package does not know of, for all its prices.
    """

    slug: str
    name: str
    cost_table: str
    facts: dict[str, Any]
    prices: tuple[OurPrice, ...]
    also: dict[str, str]


def fingerprint() -> str:
    """Changes when the table does."""
    return blake2b(MODELS.read_bytes() + PROVIDERS.read_bytes(), digest_size=8).hexdigest()


def cost_tables() -> dict[str, str]:
    """Names of the upstreams' price lists, by slug."""
    return {entry["slug"]: entry["name"] for entry in _table()["cost_tables"]}


def our_models() -> dict[str, OurModel]:
    """The table, by slug."""
    parameters = _table()["parameters"]
    return {entry["slug"]: _model(entry, parameters) for entry in _table()["models"]}


def provider_name(slug: str) -> str:
    """The provider of a model id as people write it, or as the id writes it if we do not know."""
    author = slug.partition("/")[0]
    return _providers().get(author, author)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(MODELS.read_text(encoding="utf-8"))


@cache
def _providers() -> dict[str, str]:
    return tomllib.loads(PROVIDERS.read_text(encoding="utf-8"))


def _model(entry: Mapping[str, Any], parameters: Mapping[str, list[str]]) -> OurModel:
    facts = dict(entry)
    prices, also = facts.pop("prices", ()), facts.pop("also_per_million", {})
    if "parameters" in facts:
        facts["supported_parameters"] = parameters[facts.pop("parameters")]
    return OurModel(
        slug=facts.pop("slug"),
        name=facts.pop("name"),
        cost_table=facts.pop("cost_table", DEFAULT_COST_TABLE),
        facts={"input_modalities": facts.pop("input"), "output_modalities": facts.pop("output"), **facts},
        prices=tuple(map(_price, prices)),
        also=_per_token(also),
    )


def _price(entry: Mapping[str, Any]) -> OurPrice:
    pricing = _per_token(entry.get("per_million", {}))
    return OurPrice(
        cost_table=entry["cost_table"],
        since=entry["from"],
        pricing=pricing,
        sheet=None if entry.get("delisted") else parse_openrouter_pricing(pricing),
    )


def _per_token(per_million: Mapping[str, str]) -> dict[str, str]:
    return {key: format(parse_decimal(price).scaleb(-6), "f") for key, price in per_million.items()}
