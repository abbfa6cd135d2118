"""OTLP/HTTP in JSON: traces whose spans carry GenAI attributes, as OpenTelemetry's exporters and OpenRouter's Broadcast send them.

A span is a call if it reports tokens and is neither an agent's nor a tool's: those sum up the calls below them. Of a span without
an operation's name, only the outermost counts, and it must name its answer: the spans of one trace may come in several bodies.
A call is known by `gen_ai.response.id`, else by trace and span.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from metering.formats.format import Convention, Format
from metering.formats.reading import (
    Decoded,
    count,
    event_of,
    first,
    identity,
    milliseconds_between,
    moment_of_nanoseconds,
    read_each,
    read_json,
    text,
)
from metering.pushed_events import LONGEST_TEXT, InvalidEvent, MalformedBatch, PushedEvent
from pricing.disjoint import disjoint_counts

CALLS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""`gen_ai.operation.name` of a call to a model."""
PROMPT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
COMPLETION = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
)
CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.input_tokens.cache_write",
)
REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.output_tokens.reasoning")
ORGANIZATION = ("invoicedream.organization", "trace.metadata.organization")
"""Attributes of a span or its resource that name the organization (its slug)."""
MEMBERS_OF_A_VALUE = ("stringValue", "intValue", "doubleValue", "boolValue")


def decode(body: bytes, *, at_most: int) -> Decoded:
    """The calls among the spans of an ExportTraceServiceRequest; other spans are passed over."""
    document = read_json(body)
    if not isinstance(document, Mapping) or not isinstance(document.get("resourceSpans"), list):
        raise MalformedBatch("the body must be an ExportTraceServiceRequest in JSON: an object with resourceSpans")
    return read_each(list(_calls(document["resourceSpans"])), _event, at_most=at_most)


def _calls(resource_spans: list[Any]) -> Iterator[Mapping[str, Any]]:
    spans = [span | {"attributes": attributes} for span, attributes in _spans(resource_spans)]
    reporting = {
        (span.get("traceId"), span.get("spanId"))
        for span in spans
        if _is_any(span["attributes"], (*PROMPT, *COMPLETION))
    }
    for span in spans:
        operation = span["attributes"].get("gen_ai.operation.name")
        if (span.get("traceId"), span.get("spanId")) not in reporting:
            continue
        is_inner = (span.get("traceId"), span.get("parentSpanId")) in reporting
        if operation in CALLS if operation is not None else not is_inner:
            yield span


def _spans(resource_spans: list[Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each span with its attributes, those of its resource included."""
    for group in _objects(resource_spans):
        resource = group.get("resource")
        common = _attributes(resource.get("attributes") if isinstance(resource, dict) else None)
        for scope in _objects(group.get("scopeSpans")):
            for span in _objects(scope.get("spans")):
                yield span, common | _attributes(span.get("attributes"))


def _event(span: Mapping[str, Any]) -> PushedEvent:
    attributes = span["attributes"]
    name = first([identity(attributes.get("gen_ai.response.id")), _span_name(span)])
    if name is None:
        raise InvalidEvent("a span is known by gen_ai.response.id, or by its traceId and spanId")
    if attributes.get("gen_ai.operation.name") is None and attributes.get("gen_ai.response.id") is None:
        raise InvalidEvent("a span without gen_ai.operation.name counts only with its gen_ai.response.id", name)
    began, ended = (moment_of_nanoseconds(span.get(field)) for field in ("startTimeUnixNano", "endTimeUnixNano"))
    if ended is None:
        raise InvalidEvent("endTimeUnixNano: must be given", name)
    asked, answered = (attributes.get(f"gen_ai.{side}.model") for side in ("request", "response"))
    return event_of(
        _counts(attributes, name)
        | {
            "id": name,
            "organization": text(first(attributes.get(field) for field in ORGANIZATION)),
            "model": first([answered, asked]),
            "requested_model": asked if answered is not None and asked != answered else None,
            "occurred_at": ended,
            "upstream": text(
                first([attributes.get("gen_ai.provider.name"), attributes.get("gen_ai.system")]), at_most=64
            ),
            "request_id": text(span.get("traceId")),
            "generation_id": text(attributes.get("gen_ai.response.id")),
            "latency_ms": milliseconds_between(began, ended),
            "finish_reason": text(_first_of(attributes.get("gen_ai.response.finish_reasons")), at_most=64),
            "end_user": text(first([attributes.get("user.id"), attributes.get("enduser.id")]), at_most=LONGEST_TEXT),
        }
    )


def _counts(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    prompt, completion = _count(attributes, PROMPT, name), _count(attributes, COMPLETION, name)
    return dict(
        disjoint_counts(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cache_read_tokens=_count(attributes, CACHE_READ, name),
            cache_write_tokens=_count(attributes, CACHE_WRITE, name),
            reasoning_tokens=_count(attributes, REASONING, name),
        )
    )


def _count(attributes: Mapping[str, Any], names: tuple[str, ...], event: str) -> int | None:
    value = first(attributes.get(name) for name in names)
    if value is not None and count(value) is None:
        raise InvalidEvent(f"{names[0]}: must be a whole number from 0", event)
    return count(value)


def _span_name(span: Mapping[str, Any]) -> str | None:
    trace, number = identity(span.get("traceId")), identity(span.get("spanId"))
    return identity(f"{trace}/{number}") if trace and number else None


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value")) for pair in _objects(pairs) if isinstance(pair.get("key"), str)}


def _value(wrapped: Any) -> Any:
    if not isinstance(wrapped, dict):
        return None
    values = wrapped.get("arrayValue")
    if isinstance(values, dict):
        return [_value(value) for value in _objects(values.get("values"))]
    return first(wrapped.get(member) for member in MEMBERS_OF_A_VALUE)


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _first_of(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else values


def _is_any(attributes: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return any(attributes.get(name) is not None for name in names)


FORMAT = Format("OTLP/HTTP JSON traces", ("application/json",), Convention.INCLUDED, decode)
