"""Price lists as OpenRouter answers them, made up for a story, and the way in that all of them take."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from accounts.models import AuditEntry
from catalog.feed.importing import Imported, import_snapshot
from catalog.feed.json_text import decode_json
from catalog.feed.reading import read_models
from catalog.feed.running import feed_table
from catalog.models import CostPrice, LanguageModel, QuarantinedPrice

PRICE = {"prompt": "0.000001", "completion": "0.000002"}
TABLES = (LanguageModel, CostPrice, QuarantinedPrice, AuditEntry)


def item(slug: str, pricing: Mapping[str, Any] = PRICE, **facts: Any) -> dict[str, Any]:
    """An entry with everything that the real list has."""
    return {
        "id": slug,
        "canonical_slug": slug,
        "name": f"Maker: {slug.partition('/')[2].title()}",
        "created": 1_752_160_751,
        "description": "Good at everything.",
        "context_length": 131_072,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": dict(pricing),
        "top_provider": {"context_length": 131_072, "max_completion_tokens": 8192, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": ["tools", "max_tokens"],
        **facts,
    }


def listing(*items: Mapping[str, Any], **root: Any) -> bytes:
    """The answer to GET /models."""
    return json.dumps({"data": list(items), **root}).encode()


def import_list(*items: Mapping[str, Any], now: datetime, **options: Any) -> Imported:
    """Import such a list into the feed's cost table."""
    return import_body(listing(*items), now=now, **options)


def import_body(body: bytes, *, now: datetime, **options: Any) -> Imported:
    snapshot = read_models([decode_json(body)])
    told = {"origin": "test feed", "clock": lambda: now} | options
    return import_snapshot(cost_table=feed_table(), snapshot=snapshot, **told)


def row_counts() -> dict[str, int]:
    """How many rows there are of everything that an import can write."""
    return {model.__name__: model.objects.using("system").count() for model in TABLES}


def sheets_of(slug: str) -> list[Any]:
    """The base prices of a model by the time they begin; None is a tombstone."""
    rows = CostPrice.objects.using("system").filter(language_model__slug=slug).order_by("effective_from")
    return [None if row.sheet is None else row.sheet["base"] for row in rows]
