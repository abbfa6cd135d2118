"""A plan written out in OpenAI's shapes, as OpenRouter sends them: a whole answer, or the events of a stream."""

import base64
import hashlib
import random
import struct
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sandbox.llm import answers, models
from sandbox.llm.planning import Choice, Plan, Usage

_encode = msgspec.json.Encoder(decimal_format="number").encode
PROCESSING = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"
DEFAULT_DIMENSIONS = 256
MAX_DIMENSIONS = 4096


@dataclass(slots=True)
class Events:
    """A stream's events in the order of sending; `usage` is empty when the stream carries none.

    A stream of another grammar than the chat's names what stands for its usage when there is none, and for an error.
    """

    content: list[bytes] = field(default_factory=list)
    finish: list[bytes] = field(default_factory=list)
    usage: bytes = b""
    without_usage: bytes = b""
    failed: bytes = b""

    def all(self) -> list[bytes]:
        return [PROCESSING, *self.content, *self.finish, *([self.usage] if self.usage else []), DONE]


@dataclass(slots=True, frozen=True)
class Form:
    """Which endpoint is spoken, and whether as OpenRouter (usage always, with cost) or as bare OpenAI."""

    chat: bool
    openai_usage: bool = False
    response: bool = False

    @property
    def name(self) -> str:
        return "chat.completion" if self.chat else "text_completion"


def event(value: Any) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def usage_fields(usage: Usage, *, model: str, form: Form) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }
    if form.openai_usage:
        return fields
    prompt_cost, completion_cost = usage.costs(model)
    fields["cost"] = prompt_cost + completion_cost
    fields["is_byok"] = False
    fields["prompt_tokens_details"] |= {"cache_write_tokens": usage.cache_write_tokens, "video_tokens": 0}
    fields["completion_tokens_details"]["image_tokens"] = 0
    fields["cost_details"] = {
        "upstream_inference_cost": prompt_cost + completion_cost,
        "upstream_inference_prompt_cost": prompt_cost,
        "upstream_inference_completions_cost": completion_cost,
    }
    return fields


def whole(plan: Plan, *, generation_id: str, created: int, form: Form, with_usage: bool = True) -> bytes:
    """The body of an answer that is not streamed."""
    answer = _frame(plan, generation_id=generation_id, created=created, name=form.name)
    answer["choices"] = [
        _whole_chat(choice, index, generation_id) if form.chat else _whole_text(choice, index)
        for index, choice in enumerate(plan.choices)
    ]
    if with_usage:
        answer["usage"] = usage_fields(plan.usage, model=plan.model, form=form)
    return _encode(answer)


def _frame(plan: Plan, *, generation_id: str, created: int, name: str) -> dict[str, Any]:
    provider = models.provider_of(plan.model)
    return {"id": generation_id, "provider": provider, "model": plan.model, "object": name, "created": created}


def _whole_chat(choice: Choice, index: int, generation_id: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.reasoning:
        message["reasoning"] = choice.reasoning
    if choice.function:
        function = {"name": choice.function, "arguments": choice.arguments}
        message["content"] = None
        message["tool_calls"] = [
            {"index": 0, "id": answers.call_id(generation_id, index), "type": "function", "function": function}
        ]
    return {"index": index, "logprobs": None, **_reasons(choice.finish_reason), "message": message}


def _whole_text(choice: Choice, index: int) -> dict[str, Any]:
    return {"index": index, "logprobs": None, **_reasons(choice.finish_reason), "text": choice.text}


def _reasons(reason: str | None) -> dict[str, Any]:
    return {"finish_reason": reason, "native_finish_reason": reason}


def stream(plan: Plan, *, generation_id: str, created: int, form: Form, pieces: int) -> Events:
    """The events of a streamed answer, each text cut into `pieces` (0: at its words)."""
    name = "chat.completion.chunk" if form.chat else form.name
    frame = _frame(plan, generation_id=generation_id, created=created, name=name)
    asked_for_usage = plan.include_usage or not form.openai_usage
    if form.openai_usage and plan.include_usage:
        frame["usage"] = None
    events = Events()
    for index, choice in enumerate(plan.choices):
        deltas: list[Any] = split(choice.text, pieces) or [""]
        if form.chat:
            deltas = _deltas(choice, index, generation_id, pieces=pieces)
        key = "delta" if form.chat else "text"
        opening, ending = _around(frame, index=index, key=key)
        events.content.extend(opening + _encode(delta) + ending for delta in deltas)
        last: Any = {"role": "assistant", "content": ""} if form.chat else ""
        entry = {"index": index, key: last, **_reasons(choice.finish_reason), "logprobs": None}
        events.finish.append(event({**frame, "choices": [entry]}))
    if asked_for_usage:
        usage = usage_fields(plan.usage, model=plan.model, form=form)
        events.usage = event({**frame, "choices": [], "usage": usage})
    return events


def _around(frame: dict[str, Any], *, index: int, key: str) -> tuple[bytes, bytes]:
    """What stands before and after the delta in every chunk of a choice: encoded once, not once a chunk."""
    marked = event({**frame, "choices": [{"index": index, key: 0, **_reasons(None), "logprobs": None}]})
    opening, ending = marked.split(f'"{key}":0,"finish'.encode())
    return opening + f'"{key}":'.encode(), b',"finish' + ending


def _deltas(choice: Choice, index: int, generation_id: str, *, pieces: int) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "reasoning": piece} for piece in split(choice.reasoning, 0)
    ]
    if not choice.function:
        return deltas + [{"role": "assistant", "content": piece} for piece in split(choice.text, pieces) or [""]]
    call = {
        "index": 0,
        "id": answers.call_id(generation_id, index),
        "type": "function",
        "function": {"name": choice.function, "arguments": ""},
    }
    deltas.append({"role": "assistant", "content": None, "tool_calls": [call]})
    for piece in split(choice.arguments, pieces or 4):
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    return deltas


def split(text: str, pieces: int) -> list[str]:
    """Cut into that many equal pieces, or at the words when `pieces` is 0; nothing is lost."""
    if not pieces:
        words = text.split(" ")
        return [word + " " for word in words[:-1]] + [words[-1]] if text else []
    pieces = min(pieces, len(text))
    return [text[len(text) * i // pieces : len(text) * (i + 1) // pieces] for i in range(pieces)]


def embeddings(
    inputs: list[Any], *, model: str, prompt_tokens: int, dimensions: int, as_base64: bool, with_usage: bool = True
) -> bytes:
    """A unit vector an input, the same for the same input."""
    data = []
    for index, text in enumerate(inputs):
        vector = _vector(repr(text), dimensions)
        packed: Any = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if as_base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": packed})
    answer: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if with_usage:
        cost, _ = Usage(prompt_tokens).costs(model)
        answer["usage"] = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens, "cost": cost}
    return _encode(answer)


def _vector(text: str, dimensions: int) -> list[float]:
    dice = random.Random(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
    vector = [dice.uniform(-1, 1) for _ in range(dimensions)]
    length = sum(value * value for value in vector) ** 0.5
    return [value / length for value in vector]


def error(status: int | str, message: str, **metadata: Any) -> bytes:
    return _encode({"error": {"message": message, "code": status, "metadata": metadata}})
