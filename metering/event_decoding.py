"""The way from a body to `PushedEvent`s, each element by itself where one of them is broken; what is wrong with it, in words."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from metering.pushed_events import (
    WHERE_FIELDS_ARE,
    InvalidEvent,
    MalformedBatch,
    Name,
    PlainName,
    PlainTags,
    PlainText,
    PlainWord,
    PushedEvent,
    Tags,
    Text,
    TooManyEvents,
    Word,
)

PLAIN: dict[Any, Any] = {Name: PlainName, Word: PlainWord, Text: PlainText}
PLAIN |= {kind | None: plain | None for kind, plain in PLAIN.items()} | {Tags: PlainTags}
"""The types of texts, and the same without their patterns, which take most of the time that reading a text takes."""
PlainEvent = msgspec.defstruct(
    "PlainEvent",
    [
        (one.name, PLAIN[one.type], msgspec.field(default=one.default, default_factory=one.default_factory))  # type: ignore[call-overload]
        for one in msgspec.structs.fields(PushedEvent)
        if one.type in PLAIN
    ],
    bases=(PushedEvent,),
    kw_only=True,
    forbid_unknown_fields=True,
)
"""A `PushedEvent` that was read where no text can hold what the patterns refuse."""

_batch: msgspec.json.Decoder[list[PushedEvent]] = msgspec.json.Decoder(list[PushedEvent])
_plain_batch: msgspec.json.Decoder[list[PushedEvent]] = msgspec.json.Decoder(list[PlainEvent])  # type: ignore[valid-type]
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_event = msgspec.json.Decoder(PushedEvent)
_anything = msgspec.json.Decoder(dict[str, object])
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_events(body: bytes, *, at_most: int) -> Sequence[PushedEvent | InvalidEvent]:
    """The events of a body; of an element that is none, the reason. Raises MalformedBatch, TooManyEvents."""
    decoder = _batch if _may_hold_controls(body) else _plain_batch
    try:
        events = decoder.decode(body)
    except UNREADABLE:
        return _decode_each(body, at_most=at_most)
    if len(events) > at_most:
        raise TooManyEvents(at_most)
    return events


def _may_hold_controls(body: bytes) -> bool:
    """Whether a text of this JSON can hold a control character or half a surrogate pair: only escaped, except for DEL."""
    return b"\\" in body or b"\x7f" in body


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
        refusal = f"the body must be a JSON array of events: {fault}"
    try:
        found = json.loads(text := body.decode())
    except json.JSONDecodeError as fault:
        what = "ends too early" if fault.pos >= len(text.rstrip()) else "is broken"
        raise MalformedBatch(
            f"the body's JSON {what}, at line {fault.lineno}, column {fault.colno}: {fault.msg}"
        ) from None
    except (ValueError, RecursionError):
        raise MalformedBatch(refusal) from None
    if not isinstance(found, list):
        raise MalformedBatch(refusal)
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
