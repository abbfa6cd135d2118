"""LiteLLM's generic callback in its three forms: a JSON array, NDJSON, one record (`log_format` json_array, ndjson, single).

A record is known by `litellm_call_id`, else `id`; retries of one request share a `trace_id`. The organization is what LiteLLM
knows of its own key (organization or team, alias or id), never what the caller said; under an organization's own API key it is
that organization, whatever LiteLLM calls its teams. Answers from LiteLLM's own cache and
failed calls used no tokens of an upstream and are rejected, so that they are not charged.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from metering.formats.format import Convention, Format
from metering.formats.reading import (
    Decoded,
    count,
    event_of,
    first,
    identity,
    lines_of,
    milliseconds_between,
    moment_of_seconds,
    part,
    parts_of,
    read_each,
    read_json,
    read_line,
    text,
)
from metering.pushed_events import LONGEST_TEXT, MAX_REPORTED_COST, InvalidEvent, MalformedBatch, PushedEvent
from pricing.disjoint import disjoint_counts

TENANT_FIELDS = (
    "user_api_key_org_alias", "user_api_key_org_id", "user_api_key_team_alias", "user_api_key_team_id",
)  # fmt: skip
"""Where a record may name the organization (its slug), in this order."""
ROUTED = "openrouter"
"""A provider whose models are known here by the author's name, without the provider's in front."""


def decode(body: bytes, *, at_most: int) -> Decoded:
    """Any of the three forms, told apart by their shape."""
    try:
        document = read_json(body)
    except MalformedBatch:
        lines = lines_of(body, at_most=at_most)
        if len(lines) < 2:
            raise
        document = [read_line(line) for line in lines]
    return read_each(document if isinstance(document, list) else [document], _event, at_most=at_most)


def _event(record: Mapping[str, Any]) -> PushedEvent:
    name = first([identity(record.get("litellm_call_id")), identity(record.get("id"))])
    if name is None:
        raise InvalidEvent("litellm_call_id or id: must be given")
    if record.get("status") == "failure":
        raise InvalidEvent("a failed call, which used no tokens", name)
    if record.get("cache_hit") is True:
        raise InvalidEvent("answered from LiteLLM's own cache, which used no tokens", name)
    metadata = part(record, "metadata")
    began, ended = moment_of_seconds(record.get("startTime")), moment_of_seconds(record.get("endTime"))
    if ended is None:
        raise InvalidEvent("endTime: must be given in seconds since 1970", name)
    return event_of(
        _counts(record, part(metadata, "usage_object"), name)
        | {
            "id": name,
            "organization": first(text(metadata.get(field)) for field in TENANT_FIELDS),
            "model": _model(record),
            "occurred_at": ended,
            "upstream": text(record.get("custom_llm_provider"), at_most=64),
            "cost_usd": _cost(record.get("response_cost")),
            "request_id": text(record.get("trace_id")),
            "generation_id": text(record.get("id")),
            "streamed": first(_flag(where.get("stream")) for where in (record, part(record, "model_parameters"))),
            "latency_ms": milliseconds_between(began, ended),
            "first_token_ms": milliseconds_between(began, moment_of_seconds(record.get("completionStartTime"))),
            "finish_reason": _finish_reason(part(record, "response")),
            "end_user": text(record.get("end_user"), at_most=LONGEST_TEXT),
            "tags": _tags(record, metadata),
        }
    )


def _counts(record: Mapping[str, Any], usage: Mapping[str, Any], name: str) -> dict[str, Any]:
    prompt, completion = (
        first([count(record.get(total)), count(usage.get(total))]) for total in ("prompt_tokens", "completion_tokens")
    )
    if prompt is None or completion is None:
        raise InvalidEvent("prompt_tokens and completion_tokens: both must be given, as whole numbers from 0", name)
    parts = parts_of(usage, cache_write="cache_creation_tokens")
    for field, plain in (
        ("cache_read_tokens", "cache_read_input_tokens"),
        ("cache_write_tokens", "cache_creation_input_tokens"),
    ):
        parts[field] = first([parts[field], count(usage.get(plain))])
    return dict(disjoint_counts(prompt_tokens=prompt, completion_tokens=completion, **parts))


def _model(record: Mapping[str, Any]) -> str | None:
    """`openrouter/mistralai/devstral-small` and, of provider mistralai, `devstral-small` both are `mistralai/devstral-small`."""
    model, provider = text(record.get("model")), text(record.get("custom_llm_provider"))
    if model is None or provider is None:
        return model
    if provider == ROUTED:
        return model.removeprefix(f"{ROUTED}/")
    return model if "/" in model else f"{provider}/{model}"


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _finish_reason(response: Mapping[str, Any]) -> str | None:
    """Of the first answer, which stands in the record even where LiteLLM leaves texts out."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return text(choice.get("finish_reason"), at_most=64) if isinstance(choice, dict) else None


def _cost(value: Any) -> str | None:
    """A JSON number, whose text still has the digits that were sent. It is evidence only: an impossible one is left out."""
    if type(value) is not int and not isinstance(value, Decimal):
        return None
    return format(Decimal(value), "f") if 0 <= value <= MAX_REPORTED_COST else None


def _tags(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, str]:
    tags = record.get("request_tags")
    found = {
        "request_tags": text(",".join(map(str, tags)), at_most=LONGEST_TEXT) if isinstance(tags, list) else None,
        "model_group": text(record.get("model_group"), at_most=LONGEST_TEXT),
        "key_alias": text(metadata.get("user_api_key_alias"), at_most=LONGEST_TEXT),
    }
    return {name: value for name, value in found.items() if value is not None}


FORMAT = Format(
    "LiteLLM generic callback",
    ("application/json", "application/x-ndjson"),
    Convention.INCLUDED,
    decode,
    names_organizations=False,
)
