"""What this upstream sells: a few models with OpenRouter's facts; any other id is served at the default price."""

from decimal import Decimal
from typing import Any, NamedTuple


class Price(NamedTuple):
    """US dollars a token, as OpenRouter writes them."""

    prompt: Decimal
    completion: Decimal
    cache_read: Decimal


def _per_million(prompt: str, completion: str, cache_read: str) -> Price:
    million = Decimal(1_000_000)
    return Price(Decimal(prompt) / million, Decimal(completion) / million, Decimal(cache_read) / million)


DEFAULT_PRICE = _per_million("0.20", "0.60", "0.02")
FREE_PRICE = _per_million("0", "0", "0")

# id: name, context in tokens, price
_SOLD = {
    "mistralai/devstral-small": ("Mistral: Devstral Small 1.1", 131_072, _per_million("0.10", "0.30", "0.01")),
    "mistralai/mistral-small-3.2-24b-instruct": ("Mistral Small 3.2", 131_072, _per_million("0.06", "0.18", "0.006")),
    "meta-llama/llama-3.3-70b-instruct": ("Meta: Llama 3.3 70B", 131_072, _per_million("0.13", "0.40", "0.013")),
    "qwen/qwen3-32b": ("Qwen: Qwen3 32B", 40_960, _per_million("0.08", "0.24", "0.008")),
    "openai/gpt-4o-mini": ("OpenAI: GPT-4o mini", 128_000, _per_million("0.15", "0.60", "0.075")),
    "google/gemma-3-27b-it:free": ("Google: Gemma 3 27B (free)", 96_000, FREE_PRICE),
}

ROUTER = "openrouter/auto"
ROUTED_TO = "mistralai/devstral-small"

_PARAMETERS = [
    "frequency_penalty", "max_tokens", "presence_penalty", "response_format", "seed", "stop", "structured_outputs",
    "temperature", "tool_choice", "tools", "top_p",
]  # fmt: skip


def price_of(model: str) -> Price:
    if model in _SOLD:
        return _SOLD[model][2]
    return FREE_PRICE if model.endswith(":free") else DEFAULT_PRICE


def answering_model(asked: str) -> str:
    """A router answers with the name of the model it chose; any other model answers for itself."""
    return ROUTED_TO if asked == ROUTER else asked


def provider_of(model: str) -> str:
    return {"mistralai": "Mistral", "openai": "OpenAI", "google": "Google"}.get(model.partition("/")[0], "Sandbox")


def entry_of(model: str) -> dict[str, Any]:
    """A model of these as `GET /models` lists it."""
    name, context, price = _SOLD[model]
    return {
        "id": model,
        "object": "model",
        "owned_by": model.partition("/")[0],
        "canonical_slug": model,
        "name": name,
        "created": 1_752_160_751,
        "description": "",
        "context_length": context,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Mistral" if model.startswith("mistralai/") else "Other",
            "instruct_type": None,
        },
        "pricing": {
            "prompt": format(price.prompt, "f"),
            "completion": format(price.completion, "f"),
            "input_cache_read": format(price.cache_read, "f"),
        },
        "top_provider": {"context_length": context, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": _PARAMETERS,
    }
