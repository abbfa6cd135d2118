"""Totals that contain their parts, as most vendors report them, taken apart into counts that add up.

An adapter calls this when its source declares that cached, audio and reasoning tokens are included in the totals. A part that
does not fit is capped at what is left of its total, so that no token counts twice. What was not said stays unknown.
"""

from collections.abc import Iterable
from typing import TypedDict


class DisjointCounts(TypedDict):
    """Fields of `TokenUsage` that add up."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    audio_input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    audio_output_tokens: int | None
    image_output_tokens: int | None


def disjoint_counts(
    *,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    cache_read_tokens: int | None = None,
    cache_write_tokens: int | None = None,
    cache_write_1h_tokens: int | None = None,
    audio_input_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    audio_output_tokens: int | None = None,
    image_output_tokens: int | None = None,
) -> DisjointCounts:
    """`prompt_tokens` and `completion_tokens` contain all others; no count is negative."""
    text_input, (read, written, written_1h, audio_input) = _take_apart(
        prompt_tokens, (cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens)
    )
    text_output, (audio_output, image_output) = _take_apart(
        completion_tokens, (audio_output_tokens, image_output_tokens)
    )
    return {
        "input_tokens": text_input,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": written_1h,
        "audio_input_tokens": audio_input,
        "output_tokens": text_output,
        "reasoning_tokens": None if reasoning_tokens is None else min(reasoning_tokens, text_output or 0),
        "audio_output_tokens": audio_output,
        "image_output_tokens": image_output,
    }


def _take_apart(total: int | None, parts: Iterable[int | None]) -> tuple[int | None, list[int | None]]:
    """What is left of a total, and its parts, each capped at what was left before it. Of an unknown total nothing is taken."""
    taken: list[int | None] = []
    for part in parts:
        if part is not None and total is not None:
            part = min(part, total)
            total -= part
        taken.append(part)
    return total, taken
