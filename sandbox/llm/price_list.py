"""`GET /models`: what this upstream says that its models cost, in OpenRouter's shape and with OpenRouter's prices of today.

They come from the installed package `genai-prices`, which knows the days on which prices changed, so the list changes on those
days too. What the package does not know of a model is left empty; the bill (`bill.py`) has prices of its own. `PUT /sandbox/models`
puts other entries over the list: a jump, a zero, a model that is gone.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from sandbox.llm import models

KEYS = {
    "input_mtok": ("prompt", -6),
    "output_mtok": ("completion", -6),
    "cache_read_mtok": ("input_cache_read", -6),
    "cache_write_mtok": ("input_cache_write", -6),
    "cache_write_1h_mtok": ("input_cache_write_1h", -6),
    "output_reasoning_mtok": ("internal_reasoning", -6),
    "web_searches_kcount": ("web_search", -3),
}
"""The package's price → OpenRouter's key, and the power of ten that makes it the price of one."""
ROUTER = {"prompt": "-1", "completion": "-1"}
FREE = {"prompt": "0", "completion": "0"}
MEDIA = ("image", "audio", "banana", "omni", "lyria")
"""In ids of models that answer with pictures or sound, for which the package has no prices."""
UNPACKAGED = "mistralai/devstral-small"
"""What the package knows only by an id without its author."""
EMBEDDER = "openai/text-embedding-3-small"
"""What the package has no output price for, because it writes nothing."""
UNNAMED = {"x-ai/grok-4-fast": "Grok 4 Fast"}
ALSO = {
    "google/gemini-2.5-flash": {"audio": "0.000001"},
    "google/gemini-2.5-flash-lite": {"audio": "0.0000003"},
    "google/gemini-3-flash-preview": {"audio": "0.000001"},
}
"""What the package lacks of models that it has."""


class PriceList:
    """The answer, made once a day and after each change. Reading the package takes half a second, so not on the event loop."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[str, Any] | None] = {}
        self._made_on: date | None = None
        self._body, self._etag = b"", ""

    def answer(self) -> tuple[bytes, str]:
        """The body and its ETag."""
        today = datetime.now(UTC).date()
        if self._made_on != today:
            self._body = msgspec.json.encode(self._listing(today))
            self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
            self._made_on = today
        return self._body, self._etag

    def change(self, entries: dict[str, dict[str, Any] | None]) -> None:
        """Put these over the list, by id: fields of an entry, or None for a model that is gone."""
        self._changes |= entries
        self._made_on = None

    def restore(self) -> None:
        self._changes.clear()
        self._made_on = None

    def _listing(self, today: date) -> dict[str, Any]:
        router = _bare(models.ROUTER, "Auto Router", None) | {"pricing": ROUTER}
        ours = (models.entry_of(UNPACKAGED), router, _embedder())
        listed = {entry["id"]: entry for entry in (*ours, *_packaged(today))}
        for model, fields in self._changes.items():
            if fields is None:
                listed.pop(model, None)
            else:
                listed[model] = {**listed.get(model, _bare(model, model, None)), **fields}
        return {"object": "list", "data": list(listed.values()), "total_count": len(listed)}


def _embedder() -> dict[str, Any]:
    outputs = {"modality": "text->embeddings", "input_modalities": ["text"], "output_modalities": ["embeddings"]}
    entry = _bare(EMBEDDER, "Text Embedding 3 Small", 8_191)
    return entry | {
        "architecture": entry["architecture"] | outputs,
        "pricing": {"prompt": "0.00000002", "completion": "0"},
    }


def _packaged(today: date) -> Iterator[dict[str, Any]]:
    for provider in get_snapshot().providers:
        for info in provider.models if provider.id == "openrouter" else ():
            name = UNNAMED.get(info.id) or info.name
            pricing = _pricing(info, today) if name and _is_called(info.id) else None
            if pricing:
                yield _bare(info.id, name or info.id, info.context_window) | {
                    "pricing": pricing | ALSO.get(info.id, {})
                }


def _is_called(model: str) -> bool:
    if "/" not in model or model.startswith("~") or model.endswith(":batch"):
        return False
    return model.endswith(":free") or not any(word in model for word in MEDIA)


def _bare(model: str, name: str, context: int | None) -> dict[str, Any]:
    return {
        "id": model,
        "object": "model",
        "owned_by": model.partition("/")[0],
        "canonical_slug": model,
        "name": " ".join(name.split()),
        "created": 0,
        "description": "",
        "context_length": context,
        "architecture": {"modality": None, "input_modalities": [], "output_modalities": [], "tokenizer": None},
        "pricing": FREE,
        "top_provider": {"context_length": context, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": [],
    }


def _pricing(info: ModelInfo, today: date) -> dict[str, Any] | None:
    """The prices in force today; None if the package has none by which the model could be sold."""
    pricing = _rewritten(_in_force(info, today))
    if info.id.endswith(":free"):
        return pricing or FREE
    if pricing is None or not all(Decimal(pricing.get(key, 0)) for key in FREE):
        return None
    return pricing


def _in_force(info: ModelInfo, today: date) -> ModelPrice:
    if not isinstance(info.prices, list):
        return info.prices
    return max((price for price in info.prices if _since(price) <= today), key=_since).prices


def _since(price: ConditionalPrice) -> date:
    return price.constraint.start_date if isinstance(price.constraint, StartDateConstraint) else date.min


def _rewritten(price: ModelPrice) -> dict[str, Any] | None:
    """As OpenRouter writes prices: text, USD each, tiers as overrides of which the last that applies wins."""
    base: dict[str, Any] = {}
    tiers: dict[int, dict[str, Any]] = {}
    for unit, value in vars(price).items():
        if value is None:
            continue
        if unit not in KEYS:
            return None
        key, power = KEYS[unit]
        base[key] = _each(value.base if isinstance(value, TieredPrices) else value, power)
        for tier in value.tiers if isinstance(value, TieredPrices) else ():
            tiers.setdefault(tier.start, {"min_prompt_tokens": tier.start})[key] = _each(tier.price, power)
    if tiers:
        base["overrides"] = [tiers[start] for start in sorted(tiers)]
    return base


def _each(price: Decimal, power: int) -> str:
    return format(price.scaleb(power), "f")
