"""Embeddings: a prompt is priced, nothing is written. An answer is a list of vectors; there is no stream."""

from typing import Any

import msgspec

from gateway.asks import Ask, end_user, fallbacks, flag, model_of, tags_of, wants_cost
from gateway.dialects.base import Seen
from gateway.dialects.shown import Cost, for_caller
from gateway.errors import GatewayError, InvalidRequest, error_event
from gateway.sse import Event
from gateway.upstreams.forwarded_bodies import STRIPPED
from gateway.upstreams.openai_answers import Observed, ReportedError, Unreadable
from gateway.upstreams.openai_usage import read_usage
from pricing.exact import decimal_or_none

MOST_INPUTS = 2048
"""As OpenAI has it."""
OF_OTHER_ENDPOINTS = frozenset({
    "max_tokens", "max_completion_tokens", "messages", "n", "plugins", "prompt", "stream", "tools", "usage",
})  # fmt: skip
"""Some servers embed `messages`, with the pictures in them, where they are given."""


class _Frame(msgspec.Struct):
    id: Any = None
    model: Any = None
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Frame, float_hook=decimal_or_none).decode


class Embeddings:
    """Fulfils `base.Dialect`."""

    path = "embeddings"

    def read_ask(self, body: dict[str, Any]) -> Ask:
        if flag(body, "stream"):
            raise InvalidRequest("Embeddings are not streamed.", param="stream")
        _check_input(body.get("input"))
        return Ask(
            model=model_of(body),
            fallbacks=fallbacks(body),
            streamed=False,
            wants_usage=True,
            wants_cost=wants_cost(body),
            max_output=0,
            answers=1,
            has_media=False,
            images=0,
            searches=0,
            predicted=False,
            end_user=end_user(body.get("user")),
            tags=tags_of(body.get("metadata")),
        )

    def forwarded_body(self, body: dict[str, Any], ask: Ask, *, cap: int) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in STRIPPED | OF_OTHER_ENDPOINTS}

    def take(self, observed: Observed, data: bytes) -> Seen:
        try:
            frame = _decode(data)
        except (ValueError, RecursionError):
            raise Unreadable from None
        observed.name(frame.id, frame.model)
        if frame.data:
            observed.finish("stop")
        if isinstance(frame.usage, dict):
            observed.usage = read_usage(frame.usage | {"completion_tokens": 0}) or observed.usage
        if frame.error is not None:
            observed.fail(ReportedError.read(frame.error))
        return Seen(delivers=bool(frame.data), has_usage=frame.usage is not None)

    def whole(self, data: bytes, ask: Ask, *, cost: Cost | None) -> bytes:
        return for_caller(data, cost=cost)

    def piece(self, event: Event, seen: Seen, ask: Ask) -> bytes:
        return event.raw

    def ending(self, held: Event | None, ask: Ask, *, cost: Cost | None) -> bytes:
        return b""

    def broken(self, error: GatewayError, event: Event | None) -> bytes:
        return error_event(error)


def _check_input(given: Any) -> None:
    """Texts or tokens only: what else a model embeds has no bound that we know."""
    items = given if isinstance(given, list) else [given]
    if not items or (len(items) > MOST_INPUTS and not all(type(item) is int for item in items)):
        raise InvalidRequest(f"'input' must hold from 1 to {MOST_INPUTS} texts.", param="input")
    if not all(isinstance(item, str) or type(item) is int or _is_tokens(item) for item in items):
        raise InvalidRequest(
            "'input' must be a text, a list of texts, or tokens as lists of whole numbers.", param="input"
        )


def _is_tokens(item: Any) -> bool:
    return isinstance(item, list) and all(type(token) is int for token in item)


EMBEDDINGS = Embeddings()
