"""The body that goes upstream: the caller's, minus what would redirect, unmask or reprice the call, plus the reserved cap."""

from typing import Any

from gateway.asks import OUTPUT_CAPS, Ask
from gateway.searching import bounded
from gateway.upstreams.cache_lifetimes import usual_lifetimes

STRIPPED = frozenset({
    # where the call goes and with whose key: a caller who may choose that steals ours
    "api_base", "api_key", "api_type", "api_version", "base_url", "custom_llm_provider", "extra_body", "extra_headers",
    "extra_query", "headers", "organization", "proxy", "timeout",
    # what other gateways would act upon
    "fallbacks", "litellm_params", "mock_response", "model_list", "num_retries",
    # what belongs to our account upstream: its presets, traces, stored conversations
    "debug", "preset", "session_id", "store", "trace",
    # another tier, or another provider, has another price than the one that is charged
    "provider", "service_tier", "speed",
    # answered by us: the upstream's cost is not the caller's
    "usage",
    # other servers' names for the cap and the number of outputs, which would outdo what was reserved
    "max_new_tokens", "n_predict", "num_predict", "num_return_sequences", "use_beam_search",
})  # fmt: skip


def forwarded_body(body: dict[str, Any], ask: Ask, *, cap: int) -> dict[str, Any]:
    """A new body for the upstream. What is not known passes through unchanged."""
    forwarded = {name: value for name, value in body.items() if name not in STRIPPED}
    forwarded |= bounded(body)
    forwarded |= usual_lifetimes(forwarded)
    caps = [name for name in OUTPUT_CAPS if body.get(name) is not None]
    for name in OUTPUT_CAPS:
        forwarded.pop(name, None)
    if caps:
        forwarded |= {name: min(body[name], cap) for name in caps}
    else:
        forwarded["max_tokens"] = cap
    if ask.streamed:
        forwarded["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return forwarded
