"""Cursor pages of the REST API: `{"data": […], "next_cursor": "…" | null}`, stable while rows are added.

A cursor is the position of the last row shown, written so that nobody is tempted to make one up.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from rest_framework import serializers

Row = TypeVar("Row")
DEFAULT_LIMIT, MAX_LIMIT = 50, 200
NOT_OURS = "not a cursor of this list"


class ForeignCursor(serializers.ValidationError):
    """The cursor is none that this list gave."""

    def __init__(self) -> None:
        super().__init__({"cursor": NOT_OURS})


class ClosedQuery(serializers.Serializer[Any]):
    """Takes no other parameters than those that it names: a mistyped filter must not give more than was asked for.

    `prefixes` begin names that callers choose, as in `tag.team`.
    """

    prefixes: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> Any:
        for name in data:
            if name not in self.fields and not name.startswith(self.prefixes):
                raise serializers.ValidationError({name: f"unknown parameter; known are {', '.join(self.fields)}"})
        return super().to_internal_value(data)


class PageQuery(ClosedQuery):
    """The two parameters of every list."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)
    cursor = serializers.CharField(required=False, max_length=500, help_text="`next_cursor` of the page before.")

    def validate_cursor(self, text: str) -> list[str | int]:
        """The position that the cursor stands for."""
        try:
            position = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
        except (binascii.Error, ValueError):
            position = None
        if not isinstance(position, list) or not position or not all(isinstance(part, str | int) for part in position):
            raise serializers.ValidationError(NOT_OURS)
        return position


def write_cursor(*position: str | int) -> str:
    """The cursor of a row."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def moment_and_id(cursor: list[str | int]) -> tuple[datetime, UUID]:
    """The position in a list that is sorted by both. Raises ForeignCursor."""
    try:
        at, last = cursor
        moment = datetime.fromisoformat(str(at))
        if moment.tzinfo is None:
            raise ValueError(at)
        return moment, UUID(str(last))
    except ValueError:
        raise ForeignCursor from None


def only_id(cursor: list[str | int]) -> UUID:
    """The position in a list that is sorted by ids made of time. Raises ForeignCursor."""
    try:
        [last] = cursor
        return UUID(str(last))
    except ValueError:
        raise ForeignCursor from None


def rows_up_to(cursor: list[str | int], keys: Sequence[str]) -> int:
    """How many rows of a list in memory end with the one whose key the cursor names. Raises ForeignCursor."""
    if cursor[0] not in keys:
        raise ForeignCursor
    return keys.index(str(cursor[0])) + 1


def page(
    rows: Sequence[Row], *, limit: int, position: Callable[[Row], tuple[str | int, ...]], render: Callable[[Row], Any]
) -> dict[str, Any]:
    """The page of `rows`, of which one more than `limit` was fetched if there are more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {
        "data": [render(row) for row in shown],
        "next_cursor": write_cursor(*position(shown[-1])) if more else None,
    }
