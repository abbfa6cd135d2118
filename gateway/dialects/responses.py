"""OpenAI's Responses: an answer is one object, a stream tells of it in typed events, and the last of them carries the usage.

That last event – completed, incomplete, failed – waits for the commit, as `[DONE]` does elsewhere.
"""

from dataclasses import replace
from typing import Any

import msgspec

from gateway.asks import Ask
from gateway.dialects.base import Seen
from gateway.dialects.response_asks import read_response_ask, response_body
from gateway.dialects.shown import Cost, for_caller
from gateway.errors import GatewayError, error_object
from gateway.sse import DONE, Event
from gateway.upstreams.openai_answers import Observed, ReportedError, Unreadable
from gateway.upstreams.openai_usage import read_response_usage
from pricing.exact import decimal_or_none

LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
FAILED = frozenset({"failed", "cancelled"})
SEARCH_CALL = "web_search_call"


class _Item(msgspec.Struct):
    type: Any = None


class _Reason(msgspec.Struct):
    reason: Any = None


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    status: Any = None
    output: list[_Item] | None = None
    incomplete_details: _Reason | None = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    response: _Response | None = None
    error: Any = None
    code: Any = None
    message: Any = None


_decode_response = msgspec.json.Decoder(_Response, float_hook=decimal_or_none).decode
_decode_event = msgspec.json.Decoder(_Event, float_hook=decimal_or_none).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Responses:
    """Fulfils `base.Dialect`."""

    path = "responses"

    def read_ask(self, body: dict[str, Any]) -> Ask:
        return read_response_ask(body)

    def forwarded_body(self, body: dict[str, Any], ask: Ask, *, cap: int) -> dict[str, Any]:
        return response_body(body, ask, cap=cap)

    def take(self, observed: Observed, data: bytes) -> Seen:
        if data == DONE:  # some servers end every stream with it; ours has ended before
            return Seen(ends=True)
        try:
            event = _decode_event(data)
            response = event.response if event.type is not None else _decode_response(data)
        except (ValueError, RecursionError):
            raise Unreadable from None
        if event.type == "error" or (event.type is not None and event.error is not None):
            observed.fail(ReportedError.read(event.error or {"code": event.code, "message": event.message}))
            return Seen()
        if response is not None:
            _take_response(observed, response)
        if event.type is None:
            return Seen(delivers=bool(response and response.output), has_usage=observed.usage is not None)
        last = event.type in LAST
        if last and response is None:
            raise Unreadable
        return Seen(delivers=response is None, has_usage=last, held=last, ends=last)

    def whole(self, data: bytes, ask: Ask, *, cost: Cost | None) -> bytes:
        return for_caller(data, cost=cost)

    def piece(self, event: Event, seen: Seen, ask: Ask) -> bytes:
        return b"" if seen.held or seen.ends else event.raw

    def ending(self, held: Event | None, ask: Ask, *, cost: Cost | None) -> bytes:
        return b"" if held is None or held.data is None else _last_event(held.data, cost=cost)

    def broken(self, error: GatewayError, event: Event | None) -> bytes:
        said = error_object(error)
        if event is not None and event.data is not None and _decode_event(event.data).type in LAST:
            shown = {"code": said["code"], "message": said["message"]}
            return _last_event(event.data, replaced={"error": msgspec.Raw(msgspec.json.encode(shown))})
        return b"event: error\ndata: " + msgspec.json.encode({**said, "type": "error", "error": said}) + b"\n\n"


def _take_response(observed: Observed, response: _Response) -> None:
    observed.name(response.id, response.model)
    if response.status == "completed":
        observed.finish("stop")
    elif response.incomplete_details is not None:
        observed.finish(response.incomplete_details.reason)
    usage = read_response_usage(response.usage)
    if usage is not None:
        searched = sum(item.type == SEARCH_CALL for item in response.output or ())
        if usage.counts.searches is None and searched:
            usage = replace(usage, counts=replace(usage.counts, searches=searched))
        observed.usage = usage
    if response.error is not None or response.status in FAILED:
        observed.fail(ReportedError.read(response.error))


def _last_event(data: bytes, *, cost: Cost | None = None, replaced: dict[str, msgspec.Raw] | None = None) -> bytes:
    """A stream's last event as the caller gets it: the response in it is shown as a whole one would be."""
    fields = _decode_fields(data)
    response = for_caller(bytes(fields["response"]), cost=cost)
    if replaced:
        response = msgspec.json.encode(_decode_fields(response) | replaced)
    kind = msgspec.json.decode(fields["type"], type=str)
    return (
        f"event: {kind}\ndata: ".encode() + msgspec.json.encode(fields | {"response": msgspec.Raw(response)}) + b"\n\n"
    )


RESPONSES = Responses()
