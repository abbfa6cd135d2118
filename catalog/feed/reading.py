"""Read OpenRouter's list of models (`GET /models`) into a snapshot, whole or not at all.

What is wrong with the list itself, or a key that must be there and is not, refuses everything. What is wrong with the price of one
model is kept with its entry for the comparison to judge.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from catalog.feed.facts import facts_of
from catalog.feed.json_text import storable
from catalog.feed.snapshot import MOST_MODELS, FeedEntry, Snapshot, SnapshotRefused
from pricing.bands import IncompletePrice
from pricing.openrouter_pricing import InvalidPrice, NegativePrice, parse_openrouter_pricing

MODEL_ID = re.compile(r"[a-zA-Z0-9][\w.-]*/[\w.:-]+", re.ASCII)
LONGEST_ID = 200
MOST_OVERRIDES = 32
LONGEST_RAW = 20_000
ALIAS = "~"
BATCH = ":batch"
OUTPUTS_OF_THE_GATEWAY = frozenset({"text", "image", "audio", "embeddings"})
"""What its endpoints can answer with; a list of all modalities has video and speech too."""


def read_models(pages: Iterable[Any]) -> Snapshot:
    """The snapshot of a list that came in these decoded pages. Raises SnapshotRefused."""
    entries: dict[str, FeedEntry] = {}
    left_out: dict[str, str] = {}
    announced = 0
    for page in pages:
        announced = max(announced, _announced(page))
        for number, item in enumerate(_data(page), start=len(entries) + len(left_out) + 1):
            slug = _id(item, number)
            if slug in entries or slug in left_out:
                raise SnapshotRefused(f"It lists {slug} twice.")
            reason = _why_not(slug, item)
            if reason:
                left_out[slug] = reason
            else:
                entries[slug] = _entry(slug, item)
        if len(entries) + len(left_out) > MOST_MODELS:
            raise SnapshotRefused(f"It lists more than {MOST_MODELS:,} models.")
    snapshot = Snapshot(entries=entries, left_out=left_out)
    if not snapshot.listed:
        raise SnapshotRefused("It lists no model at all.")
    if announced > snapshot.listed:
        raise SnapshotRefused(f"It announces {announced} models but lists {snapshot.listed}.")
    return snapshot


def entry_of(slug: str, pricing: Mapping[str, Any], facts: Mapping[str, Any]) -> FeedEntry:
    """The entry of a model with a `pricing` object. Raises SnapshotRefused if prompt or completion is missing."""
    try:
        raw = storable(pricing)
    except ValueError as fault:
        raise SnapshotRefused(f"The price of {slug} holds {fault}.") from None
    if len(str(raw)) > LONGEST_RAW:
        raise SnapshotRefused(f"The price of {slug} is too long.")
    overrides = raw.get("overrides")
    if isinstance(overrides, list) and len(overrides) > MOST_OVERRIDES:
        raise SnapshotRefused(f"The price of {slug} has more than {MOST_OVERRIDES} conditions.")
    missing = [key for key in ("prompt", "completion") if pricing.get(key) is None]
    if missing:
        raise SnapshotRefused(f"The price of {slug} has no {missing[0]!r}.")
    try:
        sheet = parse_openrouter_pricing(pricing)
    except (InvalidPrice, IncompletePrice) as fault:
        is_negative = isinstance(fault, NegativePrice)
        return FeedEntry(slug=slug, raw=raw, sheet=None, fault=str(fault), is_negative=is_negative, facts=facts)
    return FeedEntry(slug=slug, raw=raw, sheet=sheet, is_router=sheet is None, facts=facts)


def check_id(slug: str) -> None:
    """Raises ValueError unless it is an id as we use them: author/model."""
    if len(slug) > LONGEST_ID or not MODEL_ID.fullmatch(slug):
        raise ValueError("an id that is not author/model")


def _data(page: Any) -> list[Any]:
    data = page.get("data") if isinstance(page, dict) else None
    if not isinstance(data, list):
        raise SnapshotRefused("It has no list of models (the key 'data').")
    return data


def _announced(page: Any) -> int:
    count = page.get("total_count") if isinstance(page, dict) else None
    return count if isinstance(count, int) else 0


def _id(item: Any, number: int) -> str:
    if not isinstance(item, dict):
        raise SnapshotRefused(f"Entry {number} is not an object.")
    slug = item.get("id")
    if not isinstance(slug, str) or not slug:
        raise SnapshotRefused(f"Entry {number} has no 'id'.")
    return slug


def _why_not(slug: str, item: Mapping[str, Any]) -> str:
    """Why we do not sell it, before its price is even read; empty if we may."""
    if slug.startswith(ALIAS) or item.get("alias_target"):
        return "an alias: priced as the model it stands for"
    if slug.endswith(BATCH):
        return "a variant that the gateway cannot call"
    try:
        check_id(slug)
    except ValueError as fault:
        return str(fault)
    architecture = item.get("architecture")
    outputs = architecture.get("output_modalities") if isinstance(architecture, dict) else None
    named = outputs if isinstance(outputs, list) else []
    strange = [one for one in named if isinstance(one, str) and one not in OUTPUTS_OF_THE_GATEWAY]
    return f"answers with what the gateway cannot carry: {', '.join(strange)}" if strange else ""


def _entry(slug: str, item: Mapping[str, Any]) -> FeedEntry:
    pricing = item.get("pricing")
    if not isinstance(pricing, dict):
        raise SnapshotRefused(f"{slug} has no 'pricing': is this OpenRouter's list?")
    return entry_of(slug, pricing, facts_of(slug, item))
