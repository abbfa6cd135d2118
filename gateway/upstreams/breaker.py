"""A dead upstream is not asked each time: after some connections in a row that it did not take, it is left alone for a while.

Only connections count. An upstream that answers, with whatever error, lives; that one of its models fails, or is slow, says nothing
of the others. Every process keeps its own.
"""

import time

FAILURES = 3
SHORTEST_REST, LONGEST_REST = 2.0, 60.0


class Breaker:
    """Counts connections that failed. To be used on one event loop."""

    def __init__(self) -> None:
        self._failures = 0
        self._rest = SHORTEST_REST
        self._closed_until = 0.0

    def lets_through(self) -> bool:
        """Whether the upstream may be asked now. After a rest one call may, and the others go on waiting for what it finds."""
        if self._failures < FAILURES:
            return True
        if time.monotonic() < self._closed_until:
            return False
        self._closed_until = time.monotonic() + self._rest
        return True

    def reached(self) -> None:
        """The upstream took a connection."""
        self._failures = 0
        self._rest = SHORTEST_REST

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._closed_until = time.monotonic() + self._rest
            self._rest = min(self._rest * 2, LONGEST_REST)
