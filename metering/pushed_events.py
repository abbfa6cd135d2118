"""Our own event format, one element of the array at POST /api/v1/usage/events: what may stand in it, and in which bounds.

Counts are disjoint; reasoning is inside output; what a reporter leaves out is unknown. A field that we do not know is an error,
because a mistyped name must not lose tokens.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from pricing.exact import ZERO, parse_decimal
from pricing.rating import AMOUNT_DECIMALS
from pricing.tokens import MAX_COUNT, InvalidUsage, TokenUsage

PRINTABLE = r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z"
WHERE_FIELDS_ARE = "POST /api/v1/usage/events at /api/docs/ lists the fields"
MAX_TAGS, LONGEST_WORD, LONGEST_TEXT = 10, 64, 256
"""A tag is a word, its value a text."""
MAX_REPORTED_COST = Decimal(1_000_000_000)
_COST_STEP = Decimal(1).scaleb(-AMOUNT_DECIMALS)
_ROUNDING = Context(prec=80, rounding=ROUND_HALF_EVEN)

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Word = Annotated[str, Meta(min_length=1, max_length=LONGEST_WORD, pattern=PRINTABLE)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT, pattern=PRINTABLE)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Small = Annotated[int, Meta(ge=0, le=32_767)]
Moment = Annotated[datetime, Meta(tz=True)]
Tags = Annotated[dict[Word, Text], Meta(max_length=MAX_TAGS)]


class PushedEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One call as another gateway tells it. `cost_usd` is what its upstream charged; we keep it as evidence beside our price."""

    id: Name
    organization: Name | None = None
    model: Name
    occurred_at: Moment
    input_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_1h_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    audio_input_tokens: Count | None = None
    audio_cache_read_tokens: Count | None = None
    audio_output_tokens: Count | None = None
    image_input_tokens: Count | None = None
    image_output_tokens: Count | None = None
    images: Count | None = None
    searches: Count | None = None
    requests: Count = 1
    api_key: Name | None = None
    upstream: Word | None = None
    cost_usd: str | None = None
    tags: Tags = {}
    requested_model: Name | None = None
    request_id: Name | None = None
    generation_id: Name | None = None
    attempt: Small | None = None
    status: Small | None = None
    streamed: bool | None = None
    latency_ms: Milliseconds | None = None
    first_token_ms: Milliseconds | None = None
    finish_reason: Word | None = None
    end_user: Text | None = None


class MalformedBatch(ValueError):
    """The body is no JSON array."""


class TooManyEvents(ValueError):
    """More events than one request may carry."""

    def __init__(self, at_most: int) -> None:
        super().__init__(f"a request may carry {at_most} events")


class InvalidEvent(ValueError):
    """An event that cannot be taken. The message is its reason; `event_id` is the reporter's, where it can be read."""

    def __init__(self, reason: str, event_id: str | None = None) -> None:
        super().__init__(reason)
        self.id = event_id


_batch = msgspec.json.Decoder(list[PushedEvent])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_event = msgspec.json.Decoder(PushedEvent)
_anything = msgspec.json.Decoder(dict[str, object])
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_events(body: bytes, *, at_most: int) -> Sequence[PushedEvent | InvalidEvent]:
    """The events of a body; of an element that is none, the reason. Raises MalformedBatch, TooManyEvents."""
    try:
        events = _batch.decode(body)
    except UNREADABLE:
        return _decode_each(body, at_most=at_most)
    if len(events) > at_most:
        raise TooManyEvents(at_most)
    return events


def usage_of(event: PushedEvent) -> TokenUsage:
    """The counts of an event. Raises InvalidEvent."""
    try:
        return TokenUsage(
            input_tokens=event.input_tokens,
            cache_read_tokens=event.cache_read_tokens,
            cache_write_tokens=event.cache_write_tokens,
            cache_write_1h_tokens=event.cache_write_1h_tokens,
            output_tokens=event.output_tokens,
            reasoning_tokens=event.reasoning_tokens,
            audio_input_tokens=event.audio_input_tokens,
            audio_cache_read_tokens=event.audio_cache_read_tokens,
            audio_output_tokens=event.audio_output_tokens,
            image_input_tokens=event.image_input_tokens,
            image_output_tokens=event.image_output_tokens,
            images=event.images,
            searches=event.searches,
            requests=event.requests,
        )
    except InvalidUsage as fault:
        raise InvalidEvent(str(fault), event.id) from None


def reported_cost(event: PushedEvent) -> Decimal | None:
    """What the upstream charged, in USD, kept to 20 decimals. Raises InvalidEvent."""
    return None if event.cost_usd is None else cost_of(event.cost_usd, event_id=event.id)


def cost_of(text: str, *, event_id: str) -> Decimal:
    """A reported cost in USD, kept to 20 decimals. Raises InvalidEvent."""
    try:
        cost = parse_decimal(text)
    except ValueError as fault:
        raise InvalidEvent(f"cost_usd: {fault}", event_id) from None
    if not ZERO <= cost <= MAX_REPORTED_COST:
        raise InvalidEvent(f"cost_usd: must lie between 0 and {MAX_REPORTED_COST}", event_id)
    return _ROUNDING.quantize(cost, _COST_STEP)


def _decode_each(body: bytes, *, at_most: int) -> Sequence[PushedEvent | InvalidEvent]:
    elements = split_elements(body)
    if len(elements) > at_most:
        raise TooManyEvents(at_most)
    return [decode_event(element) for element in elements]


def split_elements(body: bytes) -> Sequence[msgspec.Raw | bytes]:
    """The elements of the array, unread. Half a surrogate pair, which JavaScript writes as an escape when it cuts a text, stops
    msgspec for the whole array; the standard library reads on, so that only its element fails."""
    try:
        return _elements.decode(body)
    except UNREADABLE as fault:
        refusal = MalformedBatch(f"the body must be a JSON array of events: {fault}")
    try:
        found = json.loads(text := body.decode())
    except json.JSONDecodeError as fault:
        what = "ends too early" if fault.pos >= len(text.rstrip()) else "is broken"
        raise MalformedBatch(
            f"the body's JSON {what}, at line {fault.lineno}, column {fault.colno}: {fault.msg}"
        ) from None
    except (ValueError, RecursionError):
        raise refusal from None
    if not isinstance(found, list):
        raise refusal
    return [json.dumps(element).encode() for element in found]


def decode_event(element: msgspec.Raw | bytes) -> PushedEvent | InvalidEvent:
    try:
        return _event.decode(element)
    except UNREADABLE as fault:
        reason = reason_of(fault)
        return InvalidEvent(
            f"{reason}; {WHERE_FIELDS_ARE}" if "unknown field" in reason else reason, readable_id(element)
        )


def reason_of(fault: Exception) -> str:
    """msgspec's message with the field in front: "input_tokens: Expected `int`, got `str`"."""
    if not isinstance(fault, msgspec.ValidationError):
        return "the event is not readable JSON in UTF-8"
    what, _, where = str(fault).partition(" - at ")
    field = where.strip("`").removeprefix("$.").replace("key` in `$.", "a name in ")
    if field == "cost_usd":
        what = 'must be a decimal string such as "0.00012": numbers in JSON lose digits'
    elif "regex" in what:
        what = "must not contain control characters"
    return f"{field}: {what}" if field else what


def readable_id(element: msgspec.Raw | bytes) -> str | None:
    """The reporter's id of an element that cannot be read otherwise."""
    try:
        found = _anything.decode(element).get("id")
    except UNREADABLE:
        return None
    return found if isinstance(found, str) and len(found) <= 200 else None
