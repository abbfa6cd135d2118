"""CloudEvents 1.0 in JSON, one or a batch: `data` holds a call's counts, or a number of tokens of one `type`.

An event is known by its `source` and `id` together, as CloudEvents defines. `subject` names the organization; the key that is
used decides whether it may. `data.type` splits one call over two events, of which the input counts as the request.
"""

from collections.abc import Mapping
from typing import Any

from metering.formats.format import Convention, Format
from metering.formats.reading import Decoded, count, event_of, first, identity, parts_of, read_each, read_json, text
from metering.pushed_events import InvalidEvent, MalformedBatch, PushedEvent
from pricing.disjoint import disjoint_counts

VERSION = "1.0"
FIELD_OF_TYPE = {
    "input": "input_tokens",
    "prompt": "input_tokens",
    "output": "output_tokens",
    "completion": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
}
"""`data.type` → our count."""
PASSED_ON = (
    "requested_model", "api_key", "upstream", "cost_usd", "tags", "request_id", "generation_id", "attempt", "status",
    "streamed", "latency_ms", "first_token_ms", "finish_reason", "end_user", "images", "searches",
)  # fmt: skip
"""Fields of `data` that mean what they mean in our own format."""


def decode_one(body: bytes, *, at_most: int) -> Decoded:
    """A single event in structured mode."""
    return read_each([read_json(body)], _event, at_most=at_most)


def decode_batch(body: bytes, *, at_most: int) -> Decoded:
    """A JSON array of events."""
    events = read_json(body)
    if not isinstance(events, list):
        raise MalformedBatch("the body must be a JSON array of CloudEvents")
    return read_each(events, _event, at_most=at_most)


def _event(told: Mapping[str, Any]) -> PushedEvent:
    name = _name(told.get("source"), told.get("id"))
    if name is None:
        raise InvalidEvent("a CloudEvent is known by its source and id: both must be given", text(told.get("id")))
    if told.get("specversion") != VERSION:
        raise InvalidEvent(f"specversion: must be {VERSION}", name)
    if told.get("time") is None:
        raise InvalidEvent("time: must be given, so that a repetition is known as one", name)
    data = told.get("data")
    if not isinstance(data, Mapping):
        raise InvalidEvent("data: must be a JSON object", name)
    return event_of(
        {field: data.get(field) for field in PASSED_ON}
        | _counts(data, name)
        | {
            "id": name,
            "organization": first([data.get("organization"), told.get("subject")]),
            "model": data.get("model"),
            "occurred_at": told["time"],
        }
    )


def _name(source: Any, number: Any) -> str | None:
    """Source and id; the source is quoted so that the first `#` ends it."""
    if not isinstance(source, str) or not isinstance(number, str) or not source or not number:
        return None
    return identity(f"{source.replace('%', '%25').replace('#', '%23')}#{number}")


def _counts(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    if "tokens" in data:
        kind = data.get("type")
        field = FIELD_OF_TYPE.get(kind) if isinstance(kind, str) else None
        if field is None:
            raise InvalidEvent(f"data.type: must be one of {', '.join(FIELD_OF_TYPE)}", name)
        return {field: _known(data, "tokens", name), "requests": int(field == "input_tokens")}
    prompt, completion = (_known(data, total, name) for total in ("prompt_tokens", "completion_tokens"))
    if prompt is None and completion is None:
        raise InvalidEvent("data: must hold prompt_tokens and completion_tokens, or tokens with their type", name)
    parts = parts_of(data, cache_write="cache_write_tokens")
    for field, plain in (("cache_read_tokens", "cached_tokens"), ("reasoning_tokens", "reasoning_tokens")):
        parts[field] = first([count(data.get(plain)), parts[field]])
    return dict(disjoint_counts(prompt_tokens=prompt, completion_tokens=completion, **parts))


def _known(data: Mapping[str, Any], field: str, name: str) -> int | None:
    """A count that is not given is unknown; one that cannot be true loses tokens if it is passed over."""
    value = data.get(field)
    if value is not None and count(value) is None:
        raise InvalidEvent(f"data.{field}: must be a whole number from 0", name)
    return count(value)


SINGLE = Format("CloudEvent", ("application/cloudevents+json",), Convention.INCLUDED, decode_one)
BATCH = Format("CloudEvents batch", ("application/cloudevents-batch+json",), Convention.INCLUDED, decode_batch)
