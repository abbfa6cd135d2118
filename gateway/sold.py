"""What is sold at this moment, from the price book's memory: for admission, and for GET /v1/models."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from catalog import price_book
from catalog.price_snapshot import ModelEntry
from gateway.errors import ModelNotFound
from gateway.keys import Caller


def models_on_sale(*, now: datetime) -> Iterator[ModelEntry]:
    """Every model that can be called now, by name."""
    for _slug, model in sorted(price_book.current().models.items()):
        if price_book.is_sold(model, at=now):
            yield model


def find_sold(slug: str, *, caller: Caller, now: datetime) -> ModelEntry:
    """The model that is called `slug`, if it is sold now and the key may use it. Raises ModelNotFound.

    A model that the key may not use looks like one that does not exist.
    """
    model = price_book.current().models.get(slug)
    if model is None or not price_book.is_sold(model, at=now) or not may_use(model, caller=caller):
        raise ModelNotFound(slug)
    return model


def may_use(model: ModelEntry, *, caller: Caller) -> bool:
    """Whether the key is allowed this model; a key without a list is allowed all."""
    allowed = caller.identity.allowed_models
    return not allowed or model.slug in allowed


def describe(model: ModelEntry) -> dict[str, Any]:
    """A model in OpenAI's shape, with its limits where they are known. `created` is when we began to sell it."""
    prices = price_book.current().prices.get((model.cost_table_id, model.id), ())
    facts: dict[str, Any] = {
        "id": model.slug,
        "object": "model",
        "created": int(prices[0].since.timestamp()) if prices else 0,
        "owned_by": model.provider_slug,
    }
    if model.context_length:
        facts["context_length"] = model.context_length
    if model.max_completion_tokens:
        facts["max_completion_tokens"] = model.max_completion_tokens
    return facts
