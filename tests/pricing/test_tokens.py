from dataclasses import FrozenInstanceError, fields
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.tokens import FIELD_OF, MAX_COUNT, InvalidUsage, TokenClass, TokenUsage


def test_every_class_has_a_field_and_every_field_a_class() -> None:
    assert list(FIELD_OF) == list(TokenClass)
    assert set(FIELD_OF.values()) == {field.name for field in fields(TokenUsage)}


def test_a_usage_counts_one_request_and_knows_nothing_else() -> None:
    usage = TokenUsage()
    assert usage.input_tokens is None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 0, 0)
    assert usage.billable_quantities() == ((TokenClass.REQUESTS, 1),)


def test_the_prompt_counts_caches_and_the_completion_counts_reasoning_once() -> None:
    usage = TokenUsage(
        input_tokens=1,
        cache_read_tokens=20,
        cache_write_tokens=300,
        cache_write_1h_tokens=4_000,
        audio_input_tokens=50_000,
        audio_cache_read_tokens=600_000,
        image_input_tokens=7_000_000,
        output_tokens=10,
        reasoning_tokens=9,
        audio_output_tokens=200,
        image_output_tokens=3_000,
        images=2,
        searches=3,
    )
    assert usage.prompt_tokens == 7_654_321
    assert usage.completion_tokens == 3_210
    assert usage.total_tokens == 7_657_531
    assert usage.billable_quantities() == (
        (TokenClass.INPUT, 1),
        (TokenClass.CACHE_READ, 20),
        (TokenClass.CACHE_WRITE, 300),
        (TokenClass.CACHE_WRITE_1H, 4_000),
        (TokenClass.OUTPUT, 1),
        (TokenClass.REASONING, 9),
        (TokenClass.AUDIO_INPUT, 50_000),
        (TokenClass.AUDIO_CACHE_READ, 600_000),
        (TokenClass.AUDIO_OUTPUT, 200),
        (TokenClass.IMAGE_INPUT, 7_000_000),
        (TokenClass.IMAGE_OUTPUT, 3_000),
        (TokenClass.IMAGES, 2),
        (TokenClass.SEARCHES, 3),
        (TokenClass.REQUESTS, 1),
    )


def test_zero_and_unknown_are_kept_apart_but_neither_is_billed() -> None:
    assert TokenUsage(input_tokens=0) != TokenUsage()
    assert TokenUsage(input_tokens=0, requests=0).billable_quantities() == ()


def test_an_answer_that_is_all_reasoning_has_no_visible_output() -> None:
    usage = TokenUsage(output_tokens=5, reasoning_tokens=5, requests=0)
    assert usage.billable_quantities() == ((TokenClass.REASONING, 5),)


@pytest.mark.parametrize("field", FIELD_OF.values())
def test_a_count_has_the_width_of_the_column(field: str) -> None:
    beside = {"output_tokens": MAX_COUNT} if field == "reasoning_tokens" else {}
    assert TokenUsage(**{field: MAX_COUNT, **beside}).negated().negated() == TokenUsage(**{field: MAX_COUNT, **beside})
    for count in (MAX_COUNT + 1, -MAX_COUNT - 1):
        with pytest.raises(InvalidUsage, match=rf"^{field}: .* is beyond") as refused:
            TokenUsage(**{field: count})
        assert refused.value.field == field


@pytest.mark.parametrize("field", FIELD_OF.values())
@pytest.mark.parametrize("count", [True, 1.0, "1", Decimal(1)])
def test_a_count_is_an_integer(field: str, count: object) -> None:
    with pytest.raises(InvalidUsage, match=rf"^{field}: must be a whole number, not {type(count).__name__}"):
        TokenUsage(**{field: count})  # type: ignore[arg-type]


def test_requests_are_always_known() -> None:
    with pytest.raises(InvalidUsage, match=r"^requests: must be given"):
        TokenUsage(requests=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "field", [field for field in FIELD_OF.values() if field not in ("requests", "reasoning_tokens")]
)
def test_a_lone_negative_count_is_no_reversal(field: str) -> None:
    with pytest.raises(InvalidUsage, match="sign") as refused:
        TokenUsage(**{field: -1})
    assert refused.value.field == "requests"
    assert TokenUsage(**{field: -1, "requests": -1})
    assert TokenUsage(**{field: -1, "requests": 0})


@pytest.mark.parametrize(
    "counts",
    [
        {"output_tokens": 4, "reasoning_tokens": 5},
        {"reasoning_tokens": 5},
        {"output_tokens": -4, "reasoning_tokens": -5, "requests": -1},
    ],
)
def test_reasoning_is_contained_in_output(counts: dict[str, int]) -> None:
    with pytest.raises(InvalidUsage, match=r"^reasoning_tokens: -?5 is more than output_tokens \((-?4|None)\)"):
        TokenUsage(**counts)


def test_no_reasoning_goes_with_an_unknown_output() -> None:
    assert TokenUsage(reasoning_tokens=0).billable_quantities() == ((TokenClass.REQUESTS, 1),)


def test_a_usage_is_a_value() -> None:
    assert hash(TokenUsage(input_tokens=1)) == hash(TokenUsage(input_tokens=1))
    with pytest.raises(FrozenInstanceError):
        TokenUsage().requests = 2  # type: ignore[misc]


@given(st.from_type(TokenUsage))
def test_quantities_add_up_to_the_totals(usage: TokenUsage) -> None:
    quantities = dict(usage.billable_quantities())
    pieces = (usage.images or 0) + (usage.searches or 0) + usage.requests
    assert sum(quantities.values()) == usage.total_tokens + pieces
    assert len(quantities) == len(usage.billable_quantities())
    assert 0 not in quantities.values()
    assert list(quantities) == [token_class for token_class in TokenClass if token_class in quantities]


@given(st.from_type(TokenUsage))
def test_a_reversal_mirrors_and_reverses_back(usage: TokenUsage) -> None:
    reversal = usage.negated()
    assert reversal.negated() == usage
    assert reversal.total_tokens == -usage.total_tokens
    assert reversal.billable_quantities() == tuple((name, -count) for name, count in usage.billable_quantities())
    assert [getattr(reversal, field) is None for field in FIELD_OF.values()] == [
        getattr(usage, field) is None for field in FIELD_OF.values()
    ]
