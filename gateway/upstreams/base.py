"""What forwarding knows of an upstream: a request to send, an answer to read, and nothing of the vendor."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

import msgspec

from gateway.errors import GatewayError
from gateway.upstreams.breaker import Breaker
from pricing.tokens import TokenUsage


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it goes upstream. `endpoint` is the path under the base URL, `body` already stripped and capped."""

    endpoint: str
    body: dict[str, Any]
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one call, in seconds and bytes. `first_byte` holds for streams; a plain answer may take `total`."""

    connect: float
    first_byte: float
    between_chunks: float
    total: float
    answer_bytes: int
    event_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUsage:
    """What the upstream says was used: disjoint counts, and its own charge in USD where it names one."""

    counts: TokenUsage
    cost: Decimal | None


class AnswerCut(Exception):
    """The answer stopped before its end: connection lost, silence, or beyond its bounds. The message says which."""


class Again(Enum):
    """Where a call that failed before its answer may be tried once more."""

    NOWHERE = "nowhere"
    """The caller's mistake: every server would say the same."""
    ELSEWHERE = "elsewhere"
    """Ours with this upstream: it will not serve us a second time either."""
    HERE = "here"
    """Passing: this upstream, too, after a while."""


class CallFailed(Exception):
    """No answer began. `error` is for the caller, if nothing else is tried.

    `may_cost`: the request was sent, and the upstream may have generated and may charge for it: nobody knows. `wait` is how many
    seconds the upstream wants to be left alone.
    """

    def __init__(self, error: GatewayError, *, again: Again, may_cost: bool = False, wait: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.may_cost = may_cost
        self.wait = wait


class Unreachable(CallFailed):
    """The upstream did not even take the connection, so it has done nothing."""


class Answer(Protocol):
    """An answer whose head arrived with status 200. `generation_id` is the upstream's own name for it, if it gave one."""

    generation_id: str
    is_stream: bool

    def is_complete(self) -> bool:
        """Whether the whole body has arrived, so that reading it will not wait."""

    async def read(self) -> bytes:
        """The whole body. Raises AnswerCut."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives. Raises AnswerCut."""

    def hurry(self, seconds: float) -> None:
        """From now on wait at most so long for the end."""

    def cut(self) -> None:
        """End it now: whoever reads gets AnswerCut."""

    async def close(self, *, linger: float = 0.0) -> None:
        """Give the connection back if the answer's end arrives within `linger` seconds, else drop it."""


class Upstream(Protocol):
    """A server that answers. `trusts_model_ids`: whether the model it says answered is a name of our catalog. `falls_back`:
    whether it goes through `models` by itself. `secrets` must not stand in what is passed on of its errors."""

    name: str
    trusts_model_ids: bool
    falls_back: bool
    secrets: tuple[str, ...]
    breaker: Breaker

    async def open(self, request: UpstreamRequest) -> Answer:
        """Send a request and wait for the head of its answer. Raises CallFailed for anything but a 200."""

    async def close(self) -> None:
        """End all connections."""
