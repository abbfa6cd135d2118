"""Cursor pages of the REST API: `{"data": […], "next_cursor": "…" | null}`, stable while rows are added.

A cursor is the position of the last row shown, written so that nobody is tempted to make one up.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rest_framework import serializers

Row = TypeVar("Row")
DEFAULT_LIMIT, MAX_LIMIT = 50, 200


class PageQuery(serializers.Serializer[Any]):
    """The two parameters of every list, and no others than those that are named: a mistyped one must not give another list.

    `prefixes` begin names that callers choose, as in `tag.team`.
    """

    prefixes: tuple[str, ...] = ()

    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)
    cursor = serializers.CharField(required=False, max_length=500, help_text="`next_cursor` of the page before.")

    def to_internal_value(self, data: Any) -> Any:
        for name in data:
            if name not in self.fields and not name.startswith(self.prefixes):
                raise serializers.ValidationError({name: f"unknown parameter; known are {', '.join(self.fields)}"})
        return super().to_internal_value(data)

    def validate_cursor(self, text: str) -> list[str | int]:
        """The position that the cursor stands for."""
        try:
            position = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
        except (binascii.Error, ValueError):
            position = None
        if not isinstance(position, list) or not position or not all(isinstance(part, str | int) for part in position):
            raise serializers.ValidationError("not a cursor of this list")
        return position


def write_cursor(*position: str | int) -> str:
    """The cursor of a row."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


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
