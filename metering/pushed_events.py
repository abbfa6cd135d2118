"""Our own event format, one element of the array at POST /api/v1/usage/events: what may stand in it, and in which bounds.

Counts are disjoint; reasoning is inside output; what a reporter leaves out is unknown. A field that we do not know is an error,
because a mistyped name must not lose tokens.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from pricing.exact import ZERO, parse_decimal
from pricing.rating import AMOUNT_DECIMALS
from pricing.tokens import MAX_COUNT, TokenUsage

PRINTABLE = r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z"
WHERE_FIELDS_ARE = "POST /api/v1/usage/events at /api/docs/ lists the fields"
MAX_TAGS, LONGEST_WORD, LONGEST_TEXT = 10, 64, 256
"""A tag is a word, its value a text."""
MAX_REPORTED_COST = Decimal(1_000_000_000)
_COST_STEP = Decimal(1).scaleb(-AMOUNT_DECIMALS)
_ROUNDING = Context(prec=80, rounding=ROUND_HALF_EVEN)

PlainName = Annotated[str, Meta(min_length=1, max_length=200)]
PlainWord = Annotated[str, Meta(min_length=1, max_length=LONGEST_WORD)]
PlainText = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Name = Annotated[PlainName, Meta(pattern=PRINTABLE)]
Word = Annotated[PlainWord, Meta(pattern=PRINTABLE)]
Text = Annotated[PlainText, Meta(pattern=PRINTABLE)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Small = Annotated[int, Meta(ge=0, le=32_767)]
Moment = Annotated[datetime, Meta(tz=True)]
PlainTags = Annotated[dict[PlainWord, PlainText], Meta(max_length=MAX_TAGS)]
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

    def without_origin(self) -> Self:
        """The same, kept as a verdict: the frames it was raised through would keep the whole batch until the collector comes."""
        return self.with_traceback(None)


def usage_of(event: PushedEvent) -> TokenUsage:
    """The counts of an event. Their names are the same in both, so msgspec copies them, in half the time. Raises InvalidEvent."""
    try:
        return msgspec.convert(event, TokenUsage, from_attributes=True)
    except msgspec.ValidationError as fault:  # it wraps the InvalidUsage
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
