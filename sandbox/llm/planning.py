"""From a request's body to the plan of its answer: choices, token counts and cost, before anything is written out."""

import os
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from sandbox.llm import answers, models, tokens

MAX_CHOICES = 16
CACHE_FROM_TOKENS = 1024
CACHE_BLOCK_TOKENS = 64
REASONING = ("질문의 뜻을 먼저 정리하고 답을 고릅니다.", "First settle what is asked, then choose the answer.")
USAGE_FIELDS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


class BadRequestError(ValueError):
    """The body cannot be answered; the message says why and the upstream replies 400."""


@dataclass(slots=True)
class Choice:
    """One answer: a text or a tool call (function name and arguments as JSON), and why it ended."""

    text: str
    finish_reason: str = "stop"
    reasoning: str = ""
    function: str = ""
    arguments: str = ""

    def tokens(self) -> int:
        return tokens.count_text(self.text) + tokens.count_text(self.function + self.arguments)


@dataclass(slots=True)
class Usage:
    """Native token counts: cached and cache writes are part of the prompt, reasoning is part of the completion.

    An answer without a single token is `free`, as at OpenRouter.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    free: bool = False

    def costs(self, model: str) -> tuple[Decimal, Decimal]:
        """US dollars for the prompt and for the completion."""
        price = models.FREE_PRICE if self.free else models.price_of(model)
        fresh = self.prompt_tokens - self.cached_tokens
        return fresh * price.prompt + self.cached_tokens * price.cache_read, self.completion_tokens * price.completion


@dataclass(slots=True)
class Plan:
    """What will be answered, whoever asks: two equal bodies have equal plans."""

    model: str
    choices: list[Choice]
    usage: Usage
    stream: bool = False
    include_usage: bool = False


def new_id() -> str:
    """A generation id in OpenRouter's manner; unlike the plan it differs from call to call."""
    return "gen-" + b32encode(os.urandom(15)).decode().lower()


def plan_chat(body: dict[str, Any], *, words: int = 0) -> Plan:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError('Input required: specify "messages"')
    prompt = sum(tokens.count_message(message) for message in messages)
    prompt += tokens.count_json(body.get("tools")) + tokens.count_json(body.get("response_format"))
    last = messages[-1] if isinstance(messages[-1], dict) else {}
    asked = answers.text_of(next((m.get("content") for m in reversed(messages) if _is_from_user(m)), ""))

    def choose(variant: int) -> Choice:
        if last.get("role") == "tool":
            result = answers.text_of(last.get("content"))
            return Choice(answers.reply_after_tool(result, korean=answers.is_korean(asked)))
        function = answers.wanted_function(body, text=asked)
        if function:
            arguments = answers.call_arguments(function, text=asked)
            return Choice("", "tool_calls", function=function["name"], arguments=arguments)
        form = body.get("response_format")
        written = answers.reply_in_json(form, text=asked) if isinstance(form, dict) else None
        return Choice(written or answers.reply_to(asked, variant=variant, words=words))

    thoughts = REASONING[0 if answers.is_korean(asked) else 1] if _wants_reasoning(body) else ""
    earlier = prompt - tokens.count_message(messages[-1])
    return _plan(body, choose, usage=Usage(prompt, cached_tokens=_cached(earlier)), reasoning=thoughts)


def plan_completion(body: dict[str, Any], *, words: int = 0) -> Plan:
    prompt = body.get("prompt")
    if not isinstance(prompt, (str, list)) or not prompt:
        raise BadRequestError('Input required: specify "prompt"')
    text = prompt if isinstance(prompt, str) else " ".join(item for item in prompt if isinstance(item, str))
    echo = text if body.get("echo") else ""
    return _plan(
        body,
        lambda variant: Choice(echo + answers.reply_to(text, variant=variant, words=words)),
        usage=Usage(tokens.count_prompt(prompt)),
    )


def _plan(body: dict[str, Any], choose: Callable[[int], Choice], *, usage: Usage, reasoning: str = "") -> Plan:
    limit = _whole_number(body, "max_completion_tokens") or _whole_number(body, "max_tokens")
    stops = body.get("stop") or []
    count = min(_whole_number(body, "n") or 1, MAX_CHOICES)
    choices = [_shorten(choose(i), reasoning=reasoning, limit=limit, stops=stops) for i in range(count)]
    usage.reasoning_tokens = sum(tokens.count_text(choice.reasoning) for choice in choices)
    usage.completion_tokens = usage.reasoning_tokens + sum(choice.tokens() for choice in choices)
    _overrule(usage, body)
    options = body.get("stream_options")
    return Plan(
        model=models.answering_model(model_of(body)),
        choices=choices,
        usage=usage,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
    )


def _shorten(choice: Choice, *, reasoning: str, limit: int | None, stops: str | list[str]) -> Choice:
    """Apply the reasoning, the stop sequences and the token limit, in this order."""
    for stop in [stops] if isinstance(stops, str) else stops:
        if isinstance(stop, str) and stop and stop in choice.text:
            choice.text = choice.text[: choice.text.index(stop)]
    if limit is None:
        choice.reasoning = reasoning
        return choice
    choice.reasoning = tokens.cut_text(reasoning, tokens=limit)
    left = limit - tokens.count_text(choice.reasoning)
    if choice.tokens() > left:
        choice.text = tokens.cut_text(choice.text, tokens=left)
        room = left - tokens.count_text(choice.function)
        choice.arguments = tokens.cut_text(choice.arguments, tokens=room)
        choice.finish_reason = "length"
    return choice


def _overrule(usage: Usage, body: dict[str, Any]) -> None:
    """`metadata.sandbox_usage` (an object, or its JSON) sets counts that would otherwise need a special prompt."""
    metadata = body.get("metadata")
    wish = metadata.get("sandbox_usage") if isinstance(metadata, dict) else None
    if isinstance(wish, str):
        try:
            wish = msgspec.json.decode(wish)
        except msgspec.DecodeError:
            raise BadRequestError("metadata.sandbox_usage is not JSON") from None
    if isinstance(wish, dict):
        for field in USAGE_FIELDS:
            if isinstance(wish.get(field), int):
                setattr(usage, field, wish[field])


def model_of(body: dict[str, Any]) -> str:
    fallbacks = body.get("models")
    model = body.get("model") or (fallbacks[0] if isinstance(fallbacks, list) and fallbacks else None)
    if not isinstance(model, str) or not model:
        raise BadRequestError("No models provided")
    return model


def _whole_number(body: dict[str, Any], field: str) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequestError(f"{field} must be a whole number of at least 1")
    return value


def _is_from_user(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "user"


def _wants_reasoning(body: dict[str, Any]) -> bool:
    return bool(body.get("reasoning")) or body.get("reasoning_effort") not in (None, "none")


def _cached(earlier: int) -> int:
    """A long conversation's earlier part counts as read from the cache, in whole blocks."""
    return earlier - earlier % CACHE_BLOCK_TOKENS if earlier >= CACHE_FROM_TOKENS else 0
