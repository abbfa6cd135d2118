"""How often a client may ask: fixed windows counted in Redis, by key, user or address. Without Redis everybody may pass.

Limits protect the service; money is protected by holds. So losing the counters is logged and harmless.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:  # its views import this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)
PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
REDIS_TIMEOUT, SECONDS_BETWEEN_TRIES = 0.2, 5.0
STEPS = 1000
"""Of a limit above it, a process takes this part at once, so that not every request asks Redis."""
MOST_REMEMBERED = 10_000
NONE_TAKEN: Iterator[int] = iter(())


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Where a client stands: requests a window, how many are left, seconds until the next window."""

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class WindowCounters:
    """Counts in Redis; after a failure Redis is left alone for a few seconds, so that no request waits for it in vain."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        )
        self._silent_until = 0.0
        self._taken: dict[str, Iterator[int]] = {}

    def hit(self, name: str, *, seconds: int, step: int = 1) -> int | None:
        """Count one more in this window and return the count; None if Redis does not answer.

        With a `step` this process takes so many numbers at once: no two hits get the same, and the last few may go to nobody.
        """
        count = next(self._taken.get(name, NONE_TAKEN), None)
        if count is None and (taken := self._take(name, seconds, step)) is not None:
            count = next(taken)
            if step > 1:
                self._remember(name, taken)
        return count

    def _remember(self, name: str, taken: Iterator[int]) -> None:
        if len(self._taken) > MOST_REMEMBERED:
            self._taken = {}
        self._taken[name] = taken

    def _take(self, name: str, seconds: int, step: int) -> Iterator[int] | None:
        if time.monotonic() < self._silent_until:
            return None
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.incrby(name, step).expire(name, seconds)
                last = int(pipeline.execute()[0])
                return iter(range(last - step + 1, last + 1))
        except redis.RedisError as error:
            self._silent_until = time.monotonic() + SECONDS_BETWEEN_TRIES
            logger.warning(
                "rate limits are not counted: Redis does not answer", extra={"error_type": type(error).__name__}
            )
            return None


@lru_cache(maxsize=1)
def counters() -> WindowCounters:
    """The counters of this process."""
    return WindowCounters()


@lru_cache(maxsize=32)
def parse_rate(rate: str) -> tuple[int, int]:
    """ "600/min" as (600, 60): how many, in how many seconds."""
    number, _, period = rate.partition("/")
    return int(number), PERIODS[period[0]]


class ClientThrottle(BaseThrottle):
    """Limits a client under the rate named `client`, or `anonymous` without a key or session; a view may name another."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        who = request.auth or request.user
        if who.is_authenticated:
            scope = getattr(view, "throttle_scope", "client")
            ident = getattr(who, "throttle_ident", None) or f"user:{who.pk}"
        else:
            scope, ident = "anonymous", f"ip:{self.get_ident(request)}"
        limit, seconds = parse_rate(api_settings.DEFAULT_THROTTLE_RATES[scope])
        window, elapsed = divmod(int(time.time()), seconds)
        count = counters().hit(f"throttle:{scope}:{ident}:{window}", seconds=seconds, step=limit // STEPS or 1)
        self.reset = seconds - elapsed
        request.rate_limit = RateLimit(limit, max(limit - (count or 0), 0), self.reset)  # type: ignore[attr-defined]
        return count is None or count <= limit

    def wait(self) -> int:
        return self.reset
