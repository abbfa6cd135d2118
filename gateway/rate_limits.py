"""How much a key and its organization may ask for in a minute: requests and tokens, counted before the call, corrected after it.

The tokens of a call are not known beforehand: a quarter of its bytes and the output that it asks for, or a usual answer, are taken,
and what it was wrong by is put back when the usage is known. Limits protect the service; money is protected by holds.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from django.conf import settings

from accounts.api_keys import KeyIdentity
from accounts.rate_limits import rates_that_hold
from gateway.asks import Ask
from gateway.errors import RateLimited, Unavailable
from gateway.shared_buckets import SharedBuckets
from gateway.token_buckets import MINUTE_MS, Level, LocalBuckets, Take

BYTES_PER_TOKEN = 4
USUAL_ANSWER = 512
"""Output tokens that are expected of a call that does not say how many it wants."""
MOST_EXPECTED = 10**12
"""No call uses more tokens, whatever it asks for. Floats count so many exactly, and their time fits Redis's integers."""
REQUESTS, TOKENS = "requests", "tokens"


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """Whose minute, and of what."""

    take: Take
    kind: str
    whose: str


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What a call has taken. `headers` tell the caller where it stands."""

    buckets: Sequence[Bucket] = ()
    expected_tokens: int = 0
    is_shared: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class RateLimiter:
    """Takes and puts back, in Redis while it answers. Without it as RATE_LIMITS_WITHOUT_REDIS says: `local` – each process counts
    by itself –, `open` – all pass –, `closed` – none does."""

    def __init__(self) -> None:
        self._shared = SharedBuckets(settings.REDIS_URL, patience=settings.RATE_LIMIT_SECONDS_FOR_REDIS)
        self._local = LocalBuckets()

    async def take(self, identity: KeyIdentity, ask: Ask, *, prompt_bytes: int, cap: int) -> Allowance:
        """Count a call that is about to be made. Raises RateLimited, Unavailable."""
        output = min(cap, USUAL_ANSWER) if ask.max_output is None else cap
        expected = min(prompt_bytes // BYTES_PER_TOKEN + output * ask.answers, MOST_EXPECTED)
        buckets = buckets_of(identity, tokens=expected)
        if not buckets:
            return Allowance()
        takes = [bucket.take for bucket in buckets]
        levels = await self._shared.take(takes)
        is_shared = levels is not None
        if levels is None:
            if settings.RATE_LIMITS_WITHOUT_REDIS == "open":
                return Allowance()
            if settings.RATE_LIMITS_WITHOUT_REDIS == "closed":
                raise Unavailable("Rate limits cannot be checked at the moment. Please try again shortly.")
            levels = self._local.take(takes, now_ms=time.monotonic() * 1000)
        headers = _headers(buckets, levels)
        if any(level.wait_ms for level in levels):
            raise _refused(buckets, levels, headers)
        return Allowance(buckets=buckets, expected_tokens=expected, is_shared=is_shared, headers=headers)

    def correct(self, allowance: Allowance, *, tokens: int | None) -> None:
        """Put back what the call was expected to use beyond `tokens`, or take the rest; None: nobody knows, so it stands."""
        wrong = 0 if tokens is None else allowance.expected_tokens - tokens
        takes = [
            Take(bucket.take.name, bucket.take.limit, wrong) for bucket in allowance.buckets if bucket.kind == TOKENS
        ]
        if not wrong or not takes:
            return
        if allowance.is_shared:
            self._shared.put_back(takes)
        else:
            self._local.put_back(takes, now_ms=time.monotonic() * 1000)

    async def start(self) -> None:
        """Connect, before the first call; without Redis it goes on by itself."""
        await self._shared.connect()

    async def close(self) -> None:
        await self._shared.close()


def buckets_of(identity: KeyIdentity, *, tokens: int) -> list[Bucket]:
    """The minutes that a call of the key counts in: its organization's, and its own where it has limits."""
    organization = f"rate:{identity.organization_id}"
    its_requests, its_tokens = rates_that_hold(
        requests=identity.organization_requests, tokens=identity.organization_tokens
    )
    limits = [
        (its_requests, REQUESTS, organization, "your organization"),
        (its_tokens, TOKENS, organization, "your organization"),
        (identity.key_requests, REQUESTS, f"{organization}:{identity.api_key_id}", "this API key"),
        (identity.key_tokens, TOKENS, f"{organization}:{identity.api_key_id}", "this API key"),
    ]
    return [
        Bucket(take=Take(f"{name}:{kind}", limit, 1 if kind == REQUESTS else tokens), kind=kind, whose=whose)
        for limit, kind, name, whose in limits
        if limit
    ]


def _refused(buckets: Sequence[Bucket], levels: Sequence[Level], headers: dict[str, str]) -> RateLimited:
    wait, bucket = max(
        ((level.wait_ms, bucket) for bucket, level in zip(buckets, levels, strict=True)), key=lambda one: one[0]
    )
    seconds = math.ceil(wait / 1000)
    return RateLimited(
        f"The limit of {bucket.take.limit:,} {bucket.kind} a minute of {bucket.whose} is reached: this call needs "
        f"{bucket.take.amount:,}. Please try again in {seconds} s.",
        headers={**headers, "retry-after": str(seconds), "retry-after-ms": str(wait)},
    )


def _headers(buckets: Sequence[Bucket], levels: Sequence[Level]) -> dict[str, str]:
    """As OpenAI's API names them; of a key's and its organization's minute the one with less left."""
    headers: dict[str, str] = {}
    for kind in (REQUESTS, TOKENS):
        of_kind = [
            (level.left, bucket.take.limit)
            for bucket, level in zip(buckets, levels, strict=True)
            if bucket.kind == kind
        ]
        if of_kind:
            left, limit = min(of_kind)
            headers[f"x-ratelimit-limit-{kind}"] = str(limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(left)
            headers[f"x-ratelimit-reset-{kind}"] = duration((limit - left) * MINUTE_MS // limit)
    return headers


def duration(milliseconds: int) -> str:
    """In the way that OpenAI's headers have it: `340ms`, `7.66s`, `1m0s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
