"""Chat and text completions: an answer is a list of choices, a stream of chunks ends with a usage chunk and `[DONE]`."""

from typing import Any

import msgspec

from gateway.asks import Ask, read_ask
from gateway.dialects.base import Seen
from gateway.dialects.shown import Cost, for_caller
from gateway.errors import GatewayError, error_event
from gateway.sse import DONE, Event, event_of
from gateway.upstreams.forwarded_bodies import forwarded_body
from gateway.upstreams.openai_answers import Observed, ReportedError, Unreadable
from gateway.upstreams.openai_usage import read_usage
from pricing.exact import decimal_or_none


class _Choice(msgspec.Struct):
    finish_reason: Any = None


class _Frame(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Frame, float_hook=decimal_or_none).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
EMPTY = msgspec.Raw(b"[]")


class Choices:
    """Fulfils `base.Dialect` for `chat/completions` and `completions`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read_ask(self, body: dict[str, Any]) -> Ask:
        return read_ask(body)

    def forwarded_body(self, body: dict[str, Any], ask: Ask, *, cap: int) -> dict[str, Any]:
        return forwarded_body(body, ask, cap=cap)

    def take(self, observed: Observed, data: bytes) -> Seen:
        if data == DONE:
            return Seen(ends=True)
        try:
            frame = _decode(data)
        except (ValueError, RecursionError):
            raise Unreadable from None
        observed.name(frame.id, frame.model)
        for choice in frame.choices or ():
            observed.finish(choice.finish_reason)
        if frame.usage is not None:
            observed.usage = read_usage(frame.usage) or observed.usage
        if frame.error is not None:
            observed.fail(ReportedError.read(frame.error))
        has_usage = frame.usage is not None
        return Seen(delivers=bool(frame.choices), has_usage=has_usage, held=has_usage)

    def whole(self, data: bytes, ask: Ask, *, cost: Cost | None) -> bytes:
        return for_caller(data, cost=cost)

    def piece(self, event: Event, seen: Seen, ask: Ask) -> bytes:
        if seen.ends or event.data is None or (seen.held and not seen.delivers):
            return b""
        if not seen.has_usage:
            return event.raw
        shown = for_caller(event.data, with_usage=ask.wants_usage and not ask.wants_cost)
        return event.raw if shown is event.data else event_of(shown)

    def ending(self, held: Event | None, ask: Ask, *, cost: Cost | None) -> bytes:
        usage = b""
        if held is not None and held.data is not None and ask.wants_usage:
            usage = self._usage_chunk(held.data, ask, cost)
        return usage + event_of(DONE)

    def _usage_chunk(self, data: bytes, ask: Ask, cost: Cost | None) -> bytes:
        """Usage that came with a part of the answer was passed on with it, unless the caller waits for the cost."""
        if _decode(data).choices:
            if not ask.wants_cost:
                return b""
            data = msgspec.json.encode(_fields(data) | {"choices": EMPTY})
        return event_of(for_caller(data, cost=cost))

    def broken(self, error: GatewayError, event: Event | None) -> bytes:
        return error_event(error)


CHAT_COMPLETIONS = Choices("chat/completions")
COMPLETIONS = Choices("completions")
