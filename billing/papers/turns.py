"""Whose turn it is in a sweep that cannot do all that is missing: papers that fail every time keep nobody from theirs."""

import random
from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key")


def drawn(keys: Sequence[Key], *, most: int) -> list[Key]:
    """All of them, or so many drawn by lot: the oldest ones first would be the same ones for ever, if they are those that fail."""
    return list(keys) if len(keys) <= most else random.sample(keys, most)
