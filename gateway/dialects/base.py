"""What forwarding, streaming and settlement know of an endpoint's language; each endpoint fulfils it in a module of its own."""

from typing import Any, Protocol

import msgspec

from gateway.asks import Ask
from gateway.dialects.shown import Cost
from gateway.errors import GatewayError
from gateway.sse import Event
from gateway.upstreams.openai_answers import Observed


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer, or one event of a stream, was.

    `delivers`: it is part of the answer proper. `held`: something of it must wait for the commit. `ends`: nothing follows it.
    """

    delivers: bool = False
    has_usage: bool = False
    held: bool = False
    ends: bool = False


class Dialect(Protocol):
    """One endpoint. `path` is what follows the base URL, ours as well as the upstream's.

    `cost` below is what the caller was charged, where it asked to see it and it is known.
    """

    path: str

    def read_ask(self, body: dict[str, Any]) -> Ask:
        """What a decoded body asks for. Raises InvalidRequest."""

    def forwarded_body(self, body: dict[str, Any], ask: Ask, *, cap: int) -> dict[str, Any]:
        """The body that goes upstream."""

    def take(self, observed: Observed, data: bytes) -> Seen:
        """Read a whole answer, or the data of one event. Raises Unreadable."""

    def whole(self, data: bytes, ask: Ask, *, cost: Cost | None) -> bytes:
        """A whole answer as the caller gets it, after the commit."""

    def piece(self, event: Event, seen: Seen, ask: Ask) -> bytes:
        """What of an event the caller gets at once."""

    def ending(self, held: Event | None, ask: Ask, *, cost: Cost | None) -> bytes:
        """What ends a stream that went well, after the commit. `held` is the last event of which something had to wait."""

    def broken(self, error: GatewayError, event: Event | None) -> bytes:
        """An event that tells OpenAI's clients of a failure in the middle of a stream. `event` is what reported it, if one did."""
