"""Decode JSON strictly: no float is ever made, no key given twice, nothing that the database could not store."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from accounts.storable_text import NO_SIGN
from catalog.feed.snapshot import SnapshotRefused

LONGEST_NUMBER = 60
LONGEST_NAME = 60


def decode_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8, its fractions as Decimal. Raises SnapshotRefused with the first thing wrong."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SnapshotRefused("It is not text in UTF-8.") from None
    if not text.strip():
        raise SnapshotRefused("It is empty.")
    if text.lstrip()[0] == "<":
        raise SnapshotRefused("It is a web page (HTML or XML), not JSON.")
    try:
        return json.loads(
            text,
            parse_float=_fraction,
            parse_int=_whole,
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as fault:
        is_cut = fault.pos >= len(text.rstrip()) - 1 or fault.msg.startswith("Unterminated")
        where = "it ends too early" if is_cut else f"line {fault.lineno}, {fault.msg}"
        raise SnapshotRefused(f"It is not valid JSON: {where}.") from None
    except RecursionError:
        raise SnapshotRefused("It is nested too deeply.") from None


def storable(value: Any) -> Any:
    """The same value for a JSON column: decimals as text, since the column would make floats of them. Raises ValueError."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str):
        if NO_SIGN.search(value):
            raise ValueError("a text with signs that are none")
        return value
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


def _fraction(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise SnapshotRefused(f"A number has more than {LONGEST_NUMBER} signs.")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise SnapshotRefused(f"{text} is no number that can be believed.") from None


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise SnapshotRefused(f"A number has more than {LONGEST_NUMBER} signs.")
    return int(text)


def _no_number(text: str) -> Any:
    raise SnapshotRefused(f"It holds {text}, which is no number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise SnapshotRefused(f"An object has the key {name[:LONGEST_NAME]!r} twice.")
        found[name] = value
    return found
