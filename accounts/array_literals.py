"""PostgreSQL's array literals: a column of a batch travels as one text, which is far cheaper to build than value by value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID


def array(values: Iterable[object]) -> str:
    """An array of values whose text needs no quoting: numbers, digests, moments, booleans, NULL."""
    return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"


def text_array(values: Iterable[object]) -> str:
    """An array of texts; most need quotes around them only."""
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def id_array(values: Iterable[UUID]) -> str:
    """An array of ids."""
    return "{" + ",".join([f"{value.int:032x}" for value in values]) + "}"


def array_of(values: Sequence[Any]) -> str:
    """An array of texts, of ids, or of what needs no quoting, as its first value tells."""
    kind = type(next((value for value in values if value is not None), None))
    return (text_array if issubclass(kind, str) else array)(values)


ARRAY_OF: Mapping[str, Callable[[Iterable[Any]], str]] = {"text": text_array, "uuid": id_array}
"""How columns are written whose values are more than their `str`."""


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
