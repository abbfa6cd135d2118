"""Buckets that fill evenly over a minute: what a key or an organization may take at once, and how long it waits for more.

A bucket holds at most a minute's worth. What is taken can turn out to have been too little, so a level may be negative; it fills up
again like any other. The same arithmetic runs here, for one process, and in Redis, for all (`shared_buckets`).
"""

import math
from collections.abc import Sequence

import msgspec

MINUTE_MS = 60_000
MOST_KEPT = 100_000
"""Buckets of one process. Beyond that all are forgotten, which is generous for a moment and bounded for good."""


class Take(msgspec.Struct, frozen=True):
    """What a call takes from one bucket: `name`, the minute's `limit`, and how much of it."""

    name: str
    limit: int
    amount: int

    @property
    def needed(self) -> int:
        """No more than a full bucket is waited for: what is larger than the limit goes when nothing else has gone."""
        return min(self.amount, self.limit)


class Level(msgspec.Struct, frozen=True):
    """What is left in a bucket afterwards, and the wait until enough is there; 0 if it was."""

    left: int
    wait_ms: int


class LocalBuckets:
    """The buckets of one process. Two processes let through twice as much: what there is without Redis."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, takes: Sequence[Take], *, now_ms: float) -> list[Level]:
        """Take from all buckets if all have enough, else from none."""
        levels = [self._level(take, now_ms) for take in takes]
        waits = [_wait(take, level) for take, level in zip(takes, levels, strict=True)]
        if not any(waits):
            levels = [level - take.amount for take, level in zip(takes, levels, strict=True)]
            self._keep(takes, levels, now_ms)
        return [Level(max(0, math.floor(level)), wait) for level, wait in zip(levels, waits, strict=True)]

    def put_back(self, takes: Sequence[Take], *, now_ms: float) -> None:
        """Put amounts back; negative ones are taken, whatever is there."""
        levels = [min(take.limit, self._level(take, now_ms) + take.amount) for take in takes]
        self._keep(takes, levels, now_ms)

    def _level(self, take: Take, now_ms: float) -> float:
        level, at = self._buckets.get(take.name, (take.limit, now_ms))
        return min(take.limit, level + max(0.0, now_ms - at) * take.limit / MINUTE_MS)

    def _keep(self, takes: Sequence[Take], levels: Sequence[float], now_ms: float) -> None:
        if len(self._buckets) > MOST_KEPT:
            self._buckets.clear()
        self._buckets.update({take.name: (level, now_ms) for take, level in zip(takes, levels, strict=True)})


def _wait(take: Take, level: float) -> int:
    return math.ceil(max(0.0, take.needed - level) * MINUTE_MS / take.limit)
