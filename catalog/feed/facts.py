"""What a list tells of a model besides its price, as fields of LanguageModel. What it does not tell is left out.

A value of the wrong kind refuses the whole list, because then it is not the list that we know; one that is merely out of bounds
counts as unknown.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from catalog.feed.snapshot import SnapshotRefused
from catalog.seed import our_table

LONGEST = {"name": 200, "provider": 100, "description_en": 5000, "tokenizer": 50}
MOST_WORDS, LONGEST_WORD = 100, 50
LARGEST_COUNT = 2**31 - 1

_NOT_TEXT = re.compile("[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
_LINK = re.compile(r"\[([^\]\[]*)\]\((?:[^()\s]|\([^()\s]*\))*\)")


def facts_of(slug: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an entry of OpenRouter's list. Raises SnapshotRefused."""
    name = _text(slug, item, "name")
    if not name:
        raise SnapshotRefused(f"{slug} has no 'name'.")
    architecture, top = _object(slug, item, "architecture"), _object(slug, item, "top_provider")
    maker, _, own_name = name.rpartition(": ")
    facts = {
        "name": (own_name or name)[: LONGEST["name"]],
        "provider": provider_of(slug, maker),
        "description_en": _prose(_text(slug, item, "description")),
        "context_length": _count(slug, item, "context_length"),
        "max_completion_tokens": _count(slug, top, "max_completion_tokens"),
        "input_modalities": _words(slug, architecture, "input_modalities"),
        "output_modalities": _words(slug, architecture, "output_modalities"),
        "tokenizer": _text(slug, architecture, "tokenizer")[: LONGEST["tokenizer"]],
        "supported_parameters": sorted(_words(slug, item, "supported_parameters")),
        "released_on": _day(slug, item, "created"),
    }
    return {field: value for field, value in facts.items() if value}


def facts_to_list(slug: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts enough to put a model on the list, whatever its source tells."""
    return {"name": slug.partition("/")[2], "provider": provider_of(slug), **facts}


def provider_of(slug: str, maker: str = "") -> str:
    """How we call the author of the id; else how the list does."""
    author = slug.partition("/")[0]
    known = our_table.provider_name(author)
    return known if known != author or not maker else maker[: LONGEST["provider"]]


def _get(slug: str, item: Mapping[str, Any], key: str, kind: Callable[[Any], bool], name: str) -> Any:
    value = item.get(key)
    if value is not None and not kind(value):
        raise SnapshotRefused(f"{slug}: {key!r} is not {name}.")
    return value


def _object(slug: str, item: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _get(slug, item, key, lambda value: isinstance(value, dict), "an object") or {}


def _text(slug: str, item: Mapping[str, Any], key: str) -> str:
    text = _get(slug, item, key, lambda value: isinstance(value, str), "a text") or ""
    return " ".join(_NOT_TEXT.sub("", text).split()) if key != "description" else _NOT_TEXT.sub("", text).strip()


def _prose(markdown: str) -> str:
    """A description without its links: we show the words only."""
    return _LINK.sub(r"\1", markdown)[: LONGEST["description_en"]]


def _count(slug: str, item: Mapping[str, Any], key: str) -> int | None:
    number = _get(
        slug, item, key, lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"
    )
    return number if number is not None and 0 < number <= LARGEST_COUNT else None


def _words(slug: str, item: Mapping[str, Any], key: str) -> list[str]:
    words = _get(slug, item, key, _is_list_of_texts, "a list of texts") or []
    return [_NOT_TEXT.sub("", word)[:LONGEST_WORD] for word in words[:MOST_WORDS] if word]


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _day(slug: str, item: Mapping[str, Any], key: str) -> Any:
    seconds = _count(slug, item, key)
    return datetime.fromtimestamp(seconds, UTC).date() if seconds else None
