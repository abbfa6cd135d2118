"""Counts of OpenAI's family made disjoint: they add up to the totals, count nothing twice, and invent nothing."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.choices import CHAT_COMPLETIONS
from gateway.dialects.shown import for_caller
from gateway.upstreams.openai_answers import Observed, Unreadable
from gateway.upstreams.openai_usage import read_usage
from pricing.tokens import TokenUsage


def counts(**reported: Any) -> TokenUsage:
    usage = read_usage(reported)
    assert usage is not None
    return usage.counts


def test_subsets_are_taken_out_of_their_totals() -> None:
    assert counts(
        prompt_tokens=1000,
        completion_tokens=300,
        total_tokens=1300,
        prompt_tokens_details={"cached_tokens": 600, "cache_write_tokens": 100, "audio_tokens": 50},
        completion_tokens_details={"reasoning_tokens": 120, "audio_tokens": 30, "image_tokens": 20},
        server_tool_use={"web_search_requests": 2},
    ) == TokenUsage(
        input_tokens=250,
        cache_read_tokens=600,
        cache_write_tokens=100,
        audio_input_tokens=50,
        output_tokens=250,
        reasoning_tokens=120,
        audio_output_tokens=30,
        image_output_tokens=20,
        searches=2,
    )


def test_unknown_is_not_zero() -> None:
    usage = counts(prompt_tokens=5, completion_tokens=0)
    assert (usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens, usage.searches) == (
        0,
        None,
        None,
        None,
    )


def test_other_servers_ways() -> None:
    assert counts(prompt_tokens=100, completion_tokens=5, prompt_cache_hit_tokens=60).cache_read_tokens == 60
    assert counts(prompt_tokens=Decimal("12.0"), completion_tokens=5).input_tokens == 12
    assert counts(prompt_tokens=10, total_tokens=15).output_tokens == 5
    assert counts(completion_tokens=10, total_tokens=15).input_tokens == 5
    assert (
        counts(prompt_tokens=1, completion_tokens=1, server_tool_use_details={"web_search_requests": 3}).searches == 3
    )


def test_reasoning_beside_the_completion() -> None:
    """Some servers leave reasoning out of completion_tokens; the total tells."""
    details = {"reasoning_tokens": 50}
    beside = counts(prompt_tokens=10, completion_tokens=20, total_tokens=80, completion_tokens_details=details)
    assert (beside.output_tokens, beside.reasoning_tokens) == (70, 50)
    within = counts(prompt_tokens=10, completion_tokens=60, total_tokens=70, completion_tokens_details=details)
    assert (within.output_tokens, within.reasoning_tokens) == (60, 50)


@given(st.tuples(*[st.none() | st.integers(-5, 2000)] * 8))
def test_whatever_is_reported_nothing_counts_twice(numbers: tuple[int | None, ...]) -> None:
    prompt, completion, cached, written, heard, thought, spoken, painted = numbers
    usage = read_usage({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": heard},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": spoken, "image_tokens": painted},
    })  # fmt: skip
    if prompt is None or completion is None or prompt < 0 or completion < 0:
        assert usage is None
    else:
        assert usage is not None
        assert (usage.counts.prompt_tokens, usage.counts.completion_tokens) == (prompt, completion)


@pytest.mark.parametrize(
    "reported",
    [
        None,
        5,
        [],
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": None, "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": 5},
        {"prompt_tokens": Decimal("1.5"), "completion_tokens": 5},
        {"prompt_tokens": Decimal("1E+999"), "completion_tokens": 5},
        {"prompt_tokens": 2**40, "completion_tokens": 5},
    ],
)
def test_what_cannot_be_true_is_unknown(reported: Any) -> None:
    assert read_usage(reported) is None


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        (Decimal("0.00012"), Decimal("0.00012")),
        (0, Decimal(0)),
        (Decimal("1E-30"), Decimal(0)),
        (-1, None),
        (Decimal("1E+999"), None),
        ("0.1", None),
        (True, None),
        (None, None),
    ],
)
def test_reported_cost(cost: Any, kept: Decimal | None) -> None:
    usage = read_usage({"prompt_tokens": 1, "completion_tokens": 1, "cost": cost})
    assert usage is not None
    assert usage.cost == kept


def test_the_last_usage_wins_and_null_is_none() -> None:
    observed = Observed()
    for frame in (
        {"id": "gen-1", "model": "a/b", "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
        {"id": "gen-2", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": None},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9, "cost": 1e-7}},
    ):
        CHAT_COMPLETIONS.take(observed, msgspec.json.encode(frame))
    assert observed.usage is not None
    assert (observed.usage.counts.output_tokens, observed.usage.cost) == (9, Decimal("1e-7"))
    assert (observed.generation_id, observed.model, observed.finish_reason) == ("gen-1", "a/b", "stop")


@pytest.mark.parametrize("data", [b"42", b'{"choices": 5}', b'{"choices": [{"delta": ', b"\xff", b"", b"[" * 100_000])
def test_nonsense_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        CHAT_COMPLETIONS.take(Observed(), data)


@pytest.mark.parametrize(
    ("reason", "completion", "free"), [(None, 0, True), ("error", 0, True), ("stop", 0, False), ("error", 1, False)]
)
def test_zero_completion_rule(reason: str | None, completion: int, free: bool) -> None:
    observed = Observed()
    frame = {
        "choices": [{"finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": completion},
    }
    CHAT_COMPLETIONS.take(observed, msgspec.json.encode(frame))
    assert observed.costs_nothing is free


def test_the_caller_sees_no_cost_of_ours() -> None:
    frame = b'{"id":"x","usage":{"prompt_tokens":1,"cost":0.5,"cost_details":{},"is_byok":false},"n":0.1}'
    assert for_caller(frame) == b'{"id":"x","usage":{"prompt_tokens":1},"n":0.1}'
    assert for_caller(frame, with_usage=False) == b'{"id":"x","n":0.1}'
    untouched = b'{"id": "x"}'
    assert for_caller(untouched) is untouched
