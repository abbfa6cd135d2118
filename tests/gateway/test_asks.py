"""What a body asks for bounds what is reserved, and nothing that passes through can cost more."""

from dataclasses import replace
from typing import Any

import pytest

from catalog import price_book
from catalog.price_snapshot import ModelEntry, PriceSnapshot
from gateway.asks import read_ask
from gateway.dialects.response_asks import read_response_ask, response_body
from gateway.errors import InvalidRequest
from gateway.reserving import output_cap
from gateway.searching import always_searches
from gateway.settlement import answering_model
from gateway.upstreams.forwarded_bodies import STRIPPED, forwarded_body

MODEL = ModelEntry(
    id=1,
    slug="mistralai/devstral-small",
    provider_slug="mistralai",
    cost_table_id=1,
    is_router=False,
    max_completion_tokens=None,
    context_length=131_072,
)


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


def cap(model: ModelEntry = MODEL, *, prompt_bytes: int = 100, **fields: Any) -> int:
    return output_cap(read_ask(body(**fields)), [model], prompt_bytes=prompt_bytes)


def test_the_larger_cap_counts() -> None:
    assert read_ask(body(max_tokens=5, max_completion_tokens=9)).max_output == 9
    assert read_ask(body(max_tokens=None)).max_output is None


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": []}, 1),
    ],
)
def test_how_many_answers_are_generated(fields: dict[str, Any], answers: int) -> None:
    assert read_ask(body(**fields)).answers == answers


@pytest.mark.parametrize(
    ("fields", "media", "images", "searches"),
    [
        ({"messages": [{"content": [{"type": "text", "text": "x"}]}]}, False, 0, 0),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}, True, 1, 0),
        ({"messages": [{"content": [{"type": "input_audio"}, {"type": "image_url"}]}]}, True, 1, 0),
        ({"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]}, True, 0, 0),
        ({"plugins": [{"id": "web"}]}, True, 0, 10),
        ({"web_search_options": {}}, True, 0, 10),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, False, 0, 0),
        ({"tools": [{"type": "web_search"}]}, True, 0, 10),
    ],
)
def test_media_and_searches(fields: dict[str, Any], media: bool, images: int, searches: int) -> None:
    ask = read_ask(body(**fields))
    assert (ask.has_media, ask.images, ask.searches) == (media, images, searches)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": "odd"},
        {"messages": [{"content": ["odd"]}]},
        {"messages": [{"content": {"type": "image_url"}}]},
        {"tools": {"type": "web_search"}},
    ],
)
def test_a_shape_that_cannot_be_bounded_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        read_ask(body(**fields))


def test_end_user_is_bounded_and_can_be_stored() -> None:
    assert read_ask(body(user="a\x00" + "b" * 200)).end_user == "a" + "b" * 127
    assert read_ask(body(user=5)).end_user is None


def test_output_caps(settings: Any) -> None:
    settings.GATEWAY_DEFAULT_MAX_OUTPUT = 16_384
    assert cap() == 16_384
    assert cap(replace(MODEL, max_completion_tokens=8192)) == 8192
    assert cap(max_tokens=100_000) == 100_000
    assert cap(max_tokens=10**9) == 131_072, "no more can be written than the window holds"
    assert cap(replace(MODEL, context_length=None), max_tokens=10**9) == 10**9
    assert cap(replace(MODEL, context_length=8192), prompt_bytes=5000) == 3192, "the prompt keeps its room"
    assert cap(replace(MODEL, context_length=8192), prompt_bytes=50_000) == 1024


def test_the_cap_that_was_reserved_is_the_cap_that_is_told() -> None:
    given = body(max_tokens=50)
    assert forwarded_body(given, read_ask(given), cap=20)["max_tokens"] == 20
    given = body(max_completion_tokens=50, max_tokens=10)
    told = forwarded_body(given, read_ask(given), cap=20)
    assert (told["max_completion_tokens"], told["max_tokens"]) == (20, 10)
    given = body(max_tokens=None)
    assert forwarded_body(given, read_ask(given), cap=20)["max_tokens"] == 20


def test_what_is_dangerous_is_stripped_and_the_rest_passes() -> None:
    given = body(**dict.fromkeys(STRIPPED, "x"), seed=7, made_up={"deep": [1.5, None]})
    told = forwarded_body(given, read_ask(given), cap=20)
    assert not STRIPPED & told.keys()
    assert (told["seed"], told["made_up"]) == (7, {"deep": [1.5, None]})


@pytest.mark.parametrize("wish", [5000, 5000.0, "5000", None], ids=["many", "a fraction", "a text", "nothing"])
def test_no_more_is_fetched_than_was_reserved(wish: object) -> None:
    given = body(plugins=[{"id": "web", "max_results": wish}], tools=[{"type": "web_search", "max_uses": wish}])
    told = forwarded_body(given, read_ask(given), cap=20)
    assert (told["plugins"][0]["max_results"], told["tools"][0]["max_uses"]) == (10, 10)


def test_no_depth_of_a_body_ends_the_reading_of_it() -> None:
    """Newer Pythons decode JSON deeper than they call functions."""
    deep: dict[str, Any] = {}
    for _level in range(3000):
        deep = {"parameters": deep, "content": [deep], "function": deep, "type": "web_search"}
    given = body(tools=[deep], messages=[deep], plugins=[{**deep, "id": "web"}])
    assert forwarded_body(given, read_ask(given), cap=20).keys() >= given.keys()


def test_a_cache_lives_as_long_as_its_price_says() -> None:
    hour, usual = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}

    def marked(mark: dict[str, str]) -> dict[str, Any]:
        part = {"type": "text", "text": "x", "cache_control": mark}
        tool = {"type": "function", "function": {"name": "f", "cache_control": mark}, "cache_control": mark}
        schema = {"type": "function", "function": {"name": "g", "parameters": {"cache_control": hour}}}
        messages = [{"role": "system", "content": [part]}, {"role": "user", "content": "hi", "cache_control": mark}]
        return body(messages=messages, tools=[tool, schema], cache_control=mark)

    given = marked(hour)
    told = forwarded_body(given, read_ask(given), cap=20)
    assert {name: told[name] for name in marked(usual)} == marked(usual)
    assert given == marked(hour)
    given = {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "cache_control": hour}]}]}
    told = response_body(given, read_response_ask(given), cap=20)
    assert told["input"] == [{"role": "user", "content": [{"type": "input_text", "cache_control": usual}]}]


def test_usage_is_always_asked_for_on_streams() -> None:
    given = body(stream=True, stream_options={"include_usage": False, "other": 1})
    ask = read_ask(given)
    assert not ask.wants_usage
    assert forwarded_body(given, ask, cap=20)["stream_options"] == {"include_usage": True, "other": 1}
    assert "stream_options" not in forwarded_body(body(), read_ask(body()), cap=20)
    assert read_ask(body(usage={"include": True})).wants_usage


@pytest.mark.parametrize(
    ("answered", "trusted", "router", "priced"),
    [
        ("", True, False, "mistralai/devstral-small"),
        ("/models/devstral.gguf", False, False, "mistralai/devstral-small"),
        ("mistralai/devstral-small-2507", True, False, "mistralai/devstral-small"),
        ("mistralai/devstral-small-2025-07-10", True, False, "mistralai/devstral-small"),
        ("mistralai/devstral-small-pro", True, False, "mistralai/devstral-small-pro"),
        ("openai/gpt-4o-mini", True, False, "openai/gpt-4o-mini"),
        ("openai/gpt-4o-mini", False, False, "mistralai/devstral-small"),
        ("openai/gpt-4o-mini", False, True, "openai/gpt-4o-mini"),
    ],
)
def test_which_model_is_priced(
    monkeypatch: pytest.MonkeyPatch, answered: str, trusted: bool, router: bool, priced: str
) -> None:
    snapshot = PriceSnapshot(models={MODEL.slug: MODEL}, prices={}, markups={}, rates=[])
    monkeypatch.setattr(price_book, "current", lambda: snapshot)
    assert answering_model(replace(MODEL, is_router=router), answered, trusted=trusted) == priced


def test_what_the_upstream_may_fetch_is_capped_at_what_was_reserved() -> None:
    given = body(
        plugins=[{"id": "web", "max_results": 50}, {"id": "response-healing"}],
        tools=[
            {"type": "openrouter:web_search", "parameters": {"max_results": 99, "max_total_results": 3}},
            {"type": "function", "function": {"name": "f", "parameters": {"max_results": 77}}},
        ],
        web_search_options={"search_context_size": "high", "user_location": {"type": "approximate"}},
    )
    told = forwarded_body(given, read_ask(given), cap=20)
    assert told["plugins"] == [{"id": "web", "max_results": 10}, {"id": "response-healing"}]
    assert told["tools"][0]["parameters"] == {"max_results": 10, "max_total_results": 3}
    assert told["tools"][1] == given["tools"][1]
    assert told["web_search_options"] == {
        "search_context_size": "medium",
        "user_location": {"type": "approximate"},
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plugins", [{"id": "file-parser"}]),
        ("plugins", "web"),
        ("tools", [{"type": "image_generation"}]),
        ("tools", [{}]),
    ],
)
def test_what_the_upstream_runs_at_an_unknown_price_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_ask(body(**{field: value}))
    assert refusal.value.param == field


@pytest.mark.parametrize(
    ("slug", "always"),
    [
        ("perplexity/sonar", True),
        ("a/model:online", True),
        ("openai/gpt-4o-search-preview", True),
        ("a/research", False),
    ],
)
def test_models_that_search_unasked(slug: str, always: bool) -> None:
    assert always_searches(replace(MODEL, slug=slug)) is always


def test_what_costs_nothing_more_passes_through_unchanged() -> None:
    known: dict[str, Any] = {
        "temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["\n"], "logprobs": True, "top_logprobs": 5,
        "logit_bias": {"50256": -100},
        "n": 2, "frequency_penalty": 0.1, "presence_penalty": 0.1, "response_format": {"type": "json_object"}, "safe_prompt": True,
        "tools": [{"type": "function", "function": {"name": "f", "strict": True}}], "tool_choice": "any",
        "parallel_tool_calls": False,
        "reasoning_effort": "low", "metadata": {"team": "a"}, "random_seed": 3, "min_p": 0.1,
        "something_new": {"x": [1, 2.5, None]},
    }  # fmt: skip
    given = body(**known)
    told = forwarded_body(given, read_ask(given), cap=20)
    assert {name: told[name] for name in known} == known


def test_what_a_call_is_filed_under_are_its_first_ten_short_pairs_of_metadata() -> None:
    long = {"x" * 65: "name too long", "text": "t" * 257, "line": "a\nb", "nothing": ""}
    many = {f"tag-{number}": "값" for number in range(12)}
    assert read_ask(body(metadata=long | many)).tags == {"nothing": ""} | dict(list(many.items())[:9])
    for other in (None, "team", ["team"], {"count": 3}):
        assert read_ask(body(metadata=other)).tags == {}
