"""Token counts as OpenAI's family of servers reports them, made disjoint at the door.

There, cached and audio tokens are part of the prompt, and reasoning, audio and image tokens part of the completion.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.upstreams.base import ReportedUsage
from pricing.disjoint import disjoint_counts
from pricing.exact import ZERO
from pricing.tokens import MAX_COUNT, TokenUsage

COST_STEP = Decimal(1).scaleb(-20)
RESPONSE_NAMES = {
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens": "completion_tokens",
    "output_tokens_details": "completion_tokens_details",
}
HIGHEST_COST = Decimal(10) ** 9


def read_usage(reported: Any) -> ReportedUsage | None:
    """The usage in an answer's `usage` object; None unless it says how long both prompt and completion were.

    Half a usage is not charged: the missing half would be free, and nobody would look for it.
    """
    if not isinstance(reported, Mapping):
        return None
    prompt, completion, total = (
        _count(reported.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if prompt is None and total is not None and completion is not None and total >= completion:
        prompt = total - completion
    if completion is None and total is not None and prompt is not None and total >= prompt:
        completion = total - prompt
    if prompt is None or completion is None:
        return None
    prompt_details = _object(reported, "prompt_tokens_details")
    completion_details = _object(reported, "completion_tokens_details")
    reasoning = _count(completion_details.get("reasoning_tokens"))
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning  # this server counts reasoning beside the completion, not within it
    if max(prompt, completion) > MAX_COUNT:
        return None
    cached = prompt_details.get(
        "cached_tokens", reported.get("prompt_cache_hit_tokens")
    )  # the latter is DeepSeek's name
    counts = TokenUsage(
        **disjoint_counts(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cache_read_tokens=_count(cached),
            cache_write_tokens=_count(prompt_details.get("cache_write_tokens")),
            audio_input_tokens=_count(prompt_details.get("audio_tokens")),
            reasoning_tokens=reasoning,
            audio_output_tokens=_count(completion_details.get("audio_tokens")),
            image_output_tokens=_count(completion_details.get("image_tokens")),
        ),
        searches=_searches(reported),
    )
    return ReportedUsage(counts=counts, cost=_cost(reported.get("cost")))


def read_response_usage(reported: Any) -> ReportedUsage | None:
    """The same of a response's usage, which has other names for the same counts."""
    if not isinstance(reported, Mapping):
        return None
    return read_usage({RESPONSE_NAMES.get(name, name): value for name, value in reported.items()})


def _searches(reported: Mapping[str, Any]) -> int | None:
    for name in ("server_tool_use", "server_tool_use_details"):  # both spellings occur
        searches = _count(_object(reported, name).get("web_search_requests"))
        if searches is not None:
            return min(searches, MAX_COUNT)
    return None


def _object(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = reported.get(name)
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    """A count that can be true: a whole number from 0 on, also written as 12.0."""
    if isinstance(value, Decimal) and value.is_finite() and abs(value) <= MAX_COUNT and value == int(value):
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _cost(value: Any) -> Decimal | None:
    """What the upstream says it charges, in USD, as far as the column holds it."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    cost = Decimal(value)
    if not cost.is_finite() or not ZERO <= cost < HIGHEST_COST:
        return None
    return cost.quantize(COST_STEP) if cost.as_tuple().exponent < -20 else cost  # type: ignore[operator]
