from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.disjoint import disjoint_counts
from pricing.tokens import TokenUsage

counts = st.none() | st.integers(0, 10_000)


def taken_apart(**reported: Any) -> dict[str, int]:
    """The counts that are known."""
    found = disjoint_counts(**{"prompt_tokens": None, "completion_tokens": None} | reported)
    return {name: count for name, count in found.items() if count is not None}


def test_parts_leave_their_total() -> None:
    assert taken_apart(
        prompt_tokens=1_000, cache_read_tokens=600, cache_write_tokens=100, completion_tokens=50, reasoning_tokens=20
    ) == {
        "input_tokens": 300,
        "cache_read_tokens": 600,
        "cache_write_tokens": 100,
        "output_tokens": 50,
        "reasoning_tokens": 20,
    }


@pytest.mark.parametrize(
    ("reported", "found"),
    [
        ({"prompt_tokens": 10, "cache_read_tokens": 99}, {"input_tokens": 0, "cache_read_tokens": 10}),
        (
            {"prompt_tokens": 10, "cache_read_tokens": 8, "audio_input_tokens": 5},
            {"input_tokens": 0, "cache_read_tokens": 8, "audio_input_tokens": 2},
        ),
        (
            {"completion_tokens": 10, "audio_output_tokens": 4, "reasoning_tokens": 9},
            {"output_tokens": 6, "audio_output_tokens": 4, "reasoning_tokens": 6},
        ),
    ],
)
def test_a_part_is_capped_at_what_is_left(reported: dict[str, int], found: dict[str, int]) -> None:
    assert taken_apart(**reported) == found


def test_what_was_not_said_stays_unknown() -> None:
    assert taken_apart() == {}
    assert taken_apart(cache_read_tokens=7) == {"cache_read_tokens": 7}


@given(
    prompt=st.integers(0, 10_000),
    completion=st.integers(0, 10_000),
    parts=st.tuples(*[counts] * 4),
    others=st.tuples(*[counts] * 3),
)
def test_the_parts_add_up_to_the_totals(
    prompt: int, completion: int, parts: tuple[int | None, ...], others: tuple[int | None, ...]
) -> None:
    read, written, written_1h, audio = parts
    reasoning, audio_output, image_output = others
    usage = TokenUsage(
        **disjoint_counts(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=written_1h,
            audio_input_tokens=audio,
            reasoning_tokens=reasoning,
            audio_output_tokens=audio_output,
            image_output_tokens=image_output,
        )
    )
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)
