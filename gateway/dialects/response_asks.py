"""What a request for a response asks for, and the body that goes upstream for it.

Nothing is kept here or upstream: what would be answered from, or leave, something that is stored there is refused.
"""

from collections.abc import Mapping
from typing import Any

from gateway.asks import Ask, count, end_user, fallbacks, flag, model_of, stream_options, tags_of, wants_cost
from gateway.errors import InvalidRequest
from gateway.searching import SEARCHES_AT_MOST, asks_for_search, bounded, fewest, objects
from gateway.upstreams.cache_lifetimes import usual_lifetimes
from gateway.upstreams.forwarded_bodies import STRIPPED

TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "reasoning_text", "summary_text"})
TEXT_ITEMS = frozenset({
    "message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "local_shell_call", "local_shell_call_output", "apply_patch_call", "apply_patch_call_output",
})  # fmt: skip
"""Items that are text of their own bytes, but for the parts that their content or output lists."""
STORED = {
    "previous_response_id": "Responses are not stored. Send the whole conversation in 'input'.",
    "conversation": "Conversations are not stored. Send the whole conversation in 'input'.",
    "prompt": "Prompt templates are not stored. Send the text in 'instructions' and 'input'.",
}
NOT_OURS = frozenset({
    # other endpoints' names for how much is written, which would outdo what was reserved
    "best_of", "max_completion_tokens", "max_tokens", "n",
    # extras of the upstream that have a price of their own or leave something there
    "access_programs", "background", "background_options", "context_management", "moderation", "prompt_cache_options", "usage",
})  # fmt: skip


def read_response_ask(body: dict[str, Any]) -> Ask:
    """Read a decoded body. Raises InvalidRequest where a field that decides about money is not what it must be."""
    _refuse_stored(body)
    _require_text(body)
    streamed = flag(body, "stream")
    stream_options(body, streamed=streamed)
    images, others = _attachments(body.get("input"))
    searching = asks_for_search(body)
    name = "max_output_tokens"
    return Ask(
        model=model_of(body),
        fallbacks=fallbacks(body),
        streamed=streamed,
        wants_usage=True,
        wants_cost=wants_cost(body),
        max_output=count(body, name) if body.get(name) is not None else None,
        answers=1,
        has_media=bool(images or others or searching),
        images=images,
        searches=SEARCHES_AT_MOST if searching else 0,
        predicted=False,
        end_user=end_user(body.get("safety_identifier") or body.get("user")),
        tags=tags_of(body.get("metadata")),
    )


def response_body(body: dict[str, Any], ask: Ask, *, cap: int) -> dict[str, Any]:
    """A new body for the upstream. What is not known passes through unchanged; nothing may be stored there."""
    forwarded = {name: value for name, value in body.items() if name not in STRIPPED and name not in NOT_OURS}
    forwarded |= {"max_output_tokens": cap, "store": False, **bounded(body)}
    if ask.searches:
        forwarded["max_tool_calls"] = fewest(body.get("max_tool_calls"))
    return forwarded | usual_lifetimes(forwarded)


def _refuse_stored(body: Mapping[str, Any]) -> None:
    for name, reason in STORED.items():
        if body.get(name) is not None:
            raise InvalidRequest(f"'{name}' is not offered: {reason}", param=name, code="unsupported_parameter")
    for name in ("store", "background"):
        if body.get(name) not in (None, False):
            raise InvalidRequest(
                f"'{name}' is not offered: an answer is handed over once and stored nowhere. Leave it out, or set it to false.",
                param=name,
                code="unsupported_parameter",
            )


def _require_text(body: Mapping[str, Any]) -> None:
    """Nothing but text is priced as output, and nothing but text is looked for in instructions."""
    if body.get("modalities") not in (None, ["text"]):
        raise InvalidRequest("Only text is sold as output: 'modalities' must be [\"text\"].", param="modalities")
    if not isinstance(body.get("instructions"), str | None):
        raise InvalidRequest("'instructions' must be a text; other items belong into 'input'.", param="instructions")


def _attachments(given: Any) -> tuple[int, int]:
    """How many images, and how many other things that are not text, the input carries. Raises InvalidRequest."""
    if given is None or isinstance(given, str):
        return 0, 0
    images = others = 0
    for item in objects(given, "input"):
        kind = item.get("type", "message")
        if kind == "item_reference":
            raise InvalidRequest(STORED["previous_response_id"], param="input", code="unsupported_parameter")
        others += kind not in TEXT_ITEMS
        for listed in (item.get("content"), item.get("output"), item.get("summary")):
            for part in () if listed is None or isinstance(listed, str) else _parts(listed):
                images += part.get("type") == "input_image"
                others += part.get("type") not in TEXT_PARTS and part.get("type") != "input_image"
    return images, others


def _parts(listed: Any) -> list[dict[str, Any]]:
    return [listed] if isinstance(listed, dict) else objects(listed, "input")
