"""What the adapters share: JSON without floats, counts and names that can be true, and the way into a `PushedEvent`."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from metering.event_decoding import UNREADABLE, reason_of
from metering.pushed_events import InvalidEvent, MalformedBatch, PushedEvent, TooManyEvents
from pricing.exact import decimal_or_none
from pricing.tokens import MAX_COUNT

Decoded = Sequence[PushedEvent | InvalidEvent]
LONGEST_ID = 200
LONGEST_INTEGER = 40
_json = msgspec.json.Decoder(float_hook=decimal_or_none)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_json(body: bytes) -> Any:
    """The document, its fractions as Decimal, numbers that nobody can mean as None. Raises MalformedBatch.

    Half a surrogate pair, as in a prompt that was cut, or a giant integer stops msgspec for the whole document; the standard
    library reads on, so that at most the element that holds it fails.
    """
    try:
        return _json.decode(body)
    except UNREADABLE as fault:
        refusal = f"the body must be JSON: {fault}"
    try:
        return json.loads(body.decode(), parse_float=decimal_or_none, parse_int=_integer, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise MalformedBatch(refusal) from None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_INTEGER else None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def lines_of(body: bytes, *, at_most: int) -> list[bytes]:
    """The lines that are not blank. Raises TooManyEvents."""
    lines = list(itertools.islice((line for line in body.split(b"\n") if line.strip()), at_most + 1))
    if len(lines) > at_most:
        raise TooManyEvents(at_most)
    return lines


def read_line(line: bytes) -> Any:
    """The document on a line, or why it is none: a broken line fails alone."""
    try:
        return read_json(line)
    except MalformedBatch:
        return InvalidEvent("the line is not readable JSON in UTF-8")


def read_each(elements: Sequence[Any], read: Callable[[Mapping[str, Any]], PushedEvent], *, at_most: int) -> Decoded:
    """An event of each element, or why it is none. Raises TooManyEvents."""
    if len(elements) > at_most:
        raise TooManyEvents(at_most)
    events: list[PushedEvent | InvalidEvent] = []
    for element in elements:
        try:
            if isinstance(element, InvalidEvent):
                raise element
            if not isinstance(element, Mapping):
                raise InvalidEvent("an event must be a JSON object")
            events.append(read(element))
        except InvalidEvent as fault:
            events.append(fault.without_origin())
        except RecursionError:
            events.append(InvalidEvent("nested too deeply"))
    return events


def event_of(fields: Mapping[str, Any]) -> PushedEvent:
    """An event of those fields that are known, within the bounds of our own format. Raises InvalidEvent."""
    known = {name: value for name, value in fields.items() if value is not None}
    try:
        return msgspec.convert(known, PushedEvent)
    except msgspec.ValidationError as fault:
        raise InvalidEvent(reason_of(fault), text(known.get("id"))) from None


def count(value: Any) -> int | None:
    """A count that can be true, also written as 12.0 or "12"."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_COUNT)):
        value = int(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value) <= MAX_COUNT and value == int(value):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def text(value: Any, *, at_most: int = LONGEST_ID) -> str | None:
    """A text that is not empty, cut to length, without control characters; numbers are read as their text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return "".join(sign for sign in str(value)[:at_most] if sign.isprintable()) or None


def identity(value: Any) -> str | None:
    """What an event is known by: a text, or a digest of one that is too long. Never cut: two ids must not become one."""
    if not isinstance(value, str) or not value:
        return None
    if len(value) <= LONGEST_ID:
        return value
    return f"sha256:{hashlib.sha256(value.encode(errors='surrogatepass')).hexdigest()}"


def part(whole: Any, *names: str) -> Mapping[str, Any]:
    """The object inside objects under these names; empty where there is none."""
    for name in names:
        whole = whole.get(name) if isinstance(whole, Mapping) else None
    return whole if isinstance(whole, Mapping) else {}


def parts_of(usage: Mapping[str, Any], *, cache_write: str) -> dict[str, int | None]:
    """What the totals contain as OpenAI's `…_details` tell it; `cache_write` is the source's name for what it wrote there."""
    prompt, completion = part(usage, "prompt_tokens_details"), part(usage, "completion_tokens_details")
    return {
        "cache_read_tokens": count(prompt.get("cached_tokens")),
        "cache_write_tokens": count(prompt.get(cache_write)),
        "audio_input_tokens": count(prompt.get("audio_tokens")),
        "reasoning_tokens": count(completion.get("reasoning_tokens")),
        "audio_output_tokens": count(completion.get("audio_tokens")),
        "image_output_tokens": count(completion.get("image_tokens")),
    }


def first(values: Iterable[Any]) -> Any:
    """The first that is known."""
    return next((value for value in values if value is not None), None)


def moment_of_seconds(value: Any) -> datetime | None:
    """Of seconds since 1970, cut to microseconds."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value < 10**11:
        return None
    return _EPOCH + timedelta(microseconds=int(value * 1_000_000))


def moment_of_nanoseconds(value: Any) -> datetime | None:
    """Of nanoseconds since 1970, cut to microseconds."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 21 else value
    return moment_of_seconds(Decimal(number).scaleb(-9)) if type(number) is int and number < 10**20 else None


def milliseconds_between(start: datetime | None, end: datetime | None) -> int | None:
    """How long it took; None where it is not known or runs backwards."""
    if start is None or end is None or end < start:
        return None
    return min((end - start) // timedelta(milliseconds=1), MAX_COUNT)
