"""What a request asks for, as far as money depends on it: models, output, media, searches. All else passes through unread.

An `Ask` bounds what the call can cost, so a field that could let the upstream do more than was reserved is either counted here,
capped in the body that is forwarded, or stripped (`upstreams/forwarded_bodies.py`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import InvalidRequest
from gateway.searching import SEARCHES_AT_MOST, asks_for_search, objects
from metering.pushed_events import LONGEST_TEXT, LONGEST_WORD, MAX_TAGS

MAX_CHOICES = 128
MAX_MODELS = 10
END_USER_LENGTH = 128
TEXT_PARTS = frozenset({"text", "refusal", "thinking"})
TEXT_KEYS = frozenset({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "cache_control",
    "reasoning", "reasoning_content", "reasoning_details", "prefix",
})  # fmt: skip
"""What of a message is text of its own bytes; anything else may stand for media."""
OUTPUT_CAPS = ("max_completion_tokens", "max_tokens")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`answers` counts the outputs that `max_output` (None: not given) applies to each; `fallbacks` are further models that
    the caller lets the upstream use."""

    model: str
    fallbacks: tuple[str, ...]
    streamed: bool
    wants_usage: bool
    wants_cost: bool
    max_output: int | None
    answers: int
    has_media: bool
    images: int
    searches: int
    predicted: bool
    end_user: str | None
    tags: Mapping[str, str]


def read_ask(body: dict[str, Any]) -> Ask:
    """Read a decoded body. Raises InvalidRequest where a field that decides about money is not what it must be."""
    streamed = flag(body, "stream")
    if body.get("modalities") not in (None, ["text"]):
        raise InvalidRequest("Only text is sold as output: 'modalities' must be [\"text\"].", param="modalities")
    images, others = _attachments(body.get("messages"))
    searching = asks_for_search(body)
    return Ask(
        model=model_of(body),
        fallbacks=fallbacks(body),
        streamed=streamed,
        wants_usage=wants_usage(body, streamed=streamed),
        wants_cost=wants_cost(body),
        max_output=max((count(body, name) for name in OUTPUT_CAPS if body.get(name) is not None), default=None),
        answers=_answers(body),
        has_media=bool(images or others or searching),
        images=images,
        searches=SEARCHES_AT_MOST if searching else 0,
        predicted=body.get("prediction") is not None,
        end_user=end_user(body.get("user")),
        tags=tags_of(body.get("metadata")),
    )


def model_of(body: dict[str, Any]) -> str:
    """The model asked for."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("You must name a model.", param="model")
    return model


def flag(body: dict[str, Any], name: str) -> bool:
    """A field that is true or false; false if it is not given."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"'{name}' must be true or false.", param=name)


def count(body: dict[str, Any], name: str, *, highest: int = 2**31 - 1) -> int:
    """A field that is a whole number from 1 on."""
    value = body[name]
    if type(value) is not int or not 1 <= value <= highest:
        raise InvalidRequest(f"'{name}' must be a whole number from 1 to {highest}.", param=name)
    return value


def _answers(body: dict[str, Any]) -> int:
    """How many outputs are generated: `n` or `best_of` of them for every prompt of a text completion."""
    each = max(
        (count(body, name, highest=MAX_CHOICES) for name in ("n", "best_of") if body.get(name) is not None), default=1
    )
    prompt = body.get("prompt")
    several = isinstance(prompt, list) and any(not isinstance(item, int) for item in prompt)
    return each * len(prompt) if isinstance(prompt, list) and several else each


def fallbacks(body: dict[str, Any]) -> tuple[str, ...]:
    """Further models that may answer."""
    models = body.get("models")
    if models is None:
        return ()
    if not isinstance(models, list) or len(models) > MAX_MODELS or not all(isinstance(slug, str) for slug in models):
        raise InvalidRequest(f"'models' must be a list of at most {MAX_MODELS} model names.", param="models")
    return tuple(models)


def wants_usage(body: dict[str, Any], *, streamed: bool) -> bool:
    """Whether the caller asked for usage on the stream, in OpenAI's way or in OpenRouter's."""
    return bool(stream_options(body, streamed=streamed).get("include_usage")) or wants_cost(body)


def stream_options(body: dict[str, Any], *, streamed: bool) -> dict[str, Any]:
    """The options of a stream; none if it is none."""
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    if options is not None and not streamed:
        raise InvalidRequest("'stream_options' is only allowed when 'stream' is true.", param="stream_options")
    return options or {}


def wants_cost(body: dict[str, Any]) -> bool:
    """Whether the caller asked, in OpenRouter's way, for what the call costs it."""
    usage = body.get("usage")
    return isinstance(usage, dict) and bool(usage.get("include"))


def _attachments(messages: Any) -> tuple[int, int]:
    """How many images, and how many other parts that are not text, the messages carry.

    A shape that we do not know cannot be bounded, so it is refused: an upstream might read media out of it.
    """
    if messages is None:
        return 0, 0
    images = others = 0
    for message in objects(messages, "messages"):
        others += any(value is not None for name, value in message.items() if name not in TEXT_KEYS)
        content = message.get("content")
        for part in () if content is None or isinstance(content, str) else objects(content, "messages"):
            kind = part.get("type")
            if kind == "image_url":
                images += 1
            elif kind not in TEXT_PARTS:
                others += 1
    return images, others


def end_user(user: Any) -> str | None:
    """The caller's own name for its user; kept with the event, so bounded and free of what PostgreSQL cannot store."""
    if not isinstance(user, str):
        return None
    return user.replace("\x00", "")[:END_USER_LENGTH] or None


def tags_of(metadata: Any) -> dict[str, str]:
    """What the caller files the call under: the first ten pairs of `metadata`, as far as they are as short as tags
    of usage that is pushed may be.

    The upstream takes longer and more of them, so what is no tag is no error.
    """
    if not isinstance(metadata, dict):
        return {}
    fitting = {
        name: text
        for name, text in metadata.items()
        if isinstance(text, str) and 0 < len(name) <= LONGEST_WORD and len(text) <= LONGEST_TEXT
        if (name + text).isprintable()
    }
    return dict(list(fitting.items())[:MAX_TAGS])
