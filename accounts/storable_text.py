"""Texts from outside may hold what PostgreSQL stores in no text and no JSON: NUL, and halves of surrogate pairs."""

import re
from collections.abc import Mapping
from typing import Any

NO_SIGN = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable_text(text: str) -> str:
    """The text with a replacement character for every sign that is none."""
    return NO_SIGN.sub(REPLACEMENT, text)


def storable_json(value: Any) -> Any:
    """The same for all texts of a plain JSON value, keys too."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(str(key)): storable_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable_json(item) for item in value]
    return value
