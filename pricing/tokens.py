"""What one call consumed: disjoint counts by token class, the left factor of every amount.

Adapters build a `TokenUsage` at the door, `bands` looks at its prompt, `rating` multiplies its quantities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

MAX_COUNT = 2_147_483_647  # the width of the database's integer columns


class TokenClass(StrEnum):
    """What has a unit price of its own. The last three are counted in pieces, the others in tokens."""

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    AUDIO_INPUT = "audio_input"
    AUDIO_CACHE_READ = "audio_cache_read"
    AUDIO_OUTPUT = "audio_output"
    IMAGE_INPUT = "image_input"
    IMAGE_OUTPUT = "image_output"
    IMAGES = "images"
    SEARCHES = "searches"
    REQUESTS = "requests"


PIECE_CLASSES = frozenset({TokenClass.IMAGES, TokenClass.SEARCHES, TokenClass.REQUESTS})
PROMPT_CLASSES = (
    TokenClass.INPUT,
    TokenClass.CACHE_READ,
    TokenClass.CACHE_WRITE,
    TokenClass.CACHE_WRITE_1H,
    TokenClass.AUDIO_INPUT,
    TokenClass.AUDIO_CACHE_READ,
    TokenClass.IMAGE_INPUT,
)
COMPLETION_CLASSES = (
    TokenClass.OUTPUT,
    TokenClass.REASONING,
    TokenClass.AUDIO_OUTPUT,
    TokenClass.IMAGE_OUTPUT,
)

FIELD_OF: Mapping[TokenClass, str] = MappingProxyType(
    {
        token_class: token_class.value if token_class in PIECE_CLASSES else f"{token_class.value}_tokens"
        for token_class in TokenClass
    }
)


class InvalidUsage(ValueError):
    """A count that cannot be true. `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Disjoint counts of one call; only `reasoning_tokens` is contained in another (`output_tokens`).

    `None` means that the source did not say, which is not the same as 0. A reversal carries the counts of what it
    reverses with the sign turned, so all counts of one usage are >= 0 or all are <= 0. Raises `InvalidUsage`.
    """

    input_tokens: int | None = None  # uncached text
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None  # kept for five minutes
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None  # text, reasoning included
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_cache_read_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    images: int | None = None
    searches: int | None = None
    requests: int = 1

    def __post_init__(self) -> None:
        lowest = highest = 0
        for count in (
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.cache_write_1h_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.audio_input_tokens,
            self.audio_cache_read_tokens,
            self.audio_output_tokens,
            self.image_input_tokens,
            self.image_output_tokens,
            self.images,
            self.searches,
            self.requests,
        ):
            if count is None:
                continue
            if type(count) is not int:
                break
            if count > highest:
                highest = count
            elif count < lowest:
                lowest = count
        else:
            if (
                highest <= MAX_COUNT
                and lowest >= -MAX_COUNT
                and (lowest == 0 or highest == 0)
                and self.requests is not None
                and (self.reasoning_tokens is None or abs(self.reasoning_tokens) <= abs(self.output_tokens or 0))
            ):
                return
        raise self._fault()

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt, caches included: what a conditional band is chosen by. Unknown counts as 0."""
        return (
            (self.input_tokens or 0)
            + (self.cache_read_tokens or 0)
            + (self.cache_write_tokens or 0)
            + (self.cache_write_1h_tokens or 0)
            + (self.audio_input_tokens or 0)
            + (self.audio_cache_read_tokens or 0)
            + (self.image_input_tokens or 0)
        )

    @property
    def completion_tokens(self) -> int:
        """The whole answer, reasoning included once. Unknown counts as 0."""
        return (self.output_tokens or 0) + (self.audio_output_tokens or 0) + (self.image_output_tokens or 0)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def billable_quantities(self) -> tuple[tuple[TokenClass, int], ...]:
        """Disjoint quantities in the order of `TokenClass`, zeros and unknowns left out; OUTPUT excludes REASONING."""
        reasoning = self.reasoning_tokens or 0
        visible = (self.output_tokens or 0) - reasoning
        quantities = []
        if self.input_tokens:
            quantities.append((_INPUT, self.input_tokens))
        if self.cache_read_tokens:
            quantities.append((_CACHE_READ, self.cache_read_tokens))
        if self.cache_write_tokens:
            quantities.append((_CACHE_WRITE, self.cache_write_tokens))
        if self.cache_write_1h_tokens:
            quantities.append((_CACHE_WRITE_1H, self.cache_write_1h_tokens))
        if visible:
            quantities.append((_OUTPUT, visible))
        if reasoning:
            quantities.append((_REASONING, reasoning))
        if self.audio_input_tokens:
            quantities.append((_AUDIO_INPUT, self.audio_input_tokens))
        if self.audio_cache_read_tokens:
            quantities.append((_AUDIO_CACHE_READ, self.audio_cache_read_tokens))
        if self.audio_output_tokens:
            quantities.append((_AUDIO_OUTPUT, self.audio_output_tokens))
        if self.image_input_tokens:
            quantities.append((_IMAGE_INPUT, self.image_input_tokens))
        if self.image_output_tokens:
            quantities.append((_IMAGE_OUTPUT, self.image_output_tokens))
        if self.images:
            quantities.append((_IMAGES, self.images))
        if self.searches:
            quantities.append((_SEARCHES, self.searches))
        if self.requests:
            quantities.append((_REQUESTS, self.requests))
        return tuple(quantities)

    def negated(self) -> Self:
        """The usage that reverses this one; unknown stays unknown."""
        counts: dict[str, int | None] = {field: getattr(self, field) for field in FIELD_OF.values()}
        del counts["requests"]
        return type(self)(
            requests=-self.requests, **{field: None if count is None else -count for field, count in counts.items()}
        )

    def _fault(self) -> InvalidUsage:
        """Say what `__post_init__` refused. Apart from it, because only a refusal should pay for the wording."""
        counts = {field: getattr(self, field) for field in FIELD_OF.values()}
        if counts["requests"] is None:
            return InvalidUsage("requests", "must be given")
        known = {field: count for field, count in counts.items() if count is not None}
        for field, count in known.items():
            if type(count) is not int:
                return InvalidUsage(field, f"must be a whole number, not {type(count).__name__}")
            if abs(count) > MAX_COUNT:
                return InvalidUsage(field, f"{count} is beyond ±{MAX_COUNT}")
        first, *others = ((field, count) for field, count in known.items() if count)
        for field, count in others:
            if (count > 0) != (first[1] > 0):
                return InvalidUsage(field, f"{count} has not the sign of {first[0]} ({first[1]})")
        return InvalidUsage(
            "reasoning_tokens",
            f"{self.reasoning_tokens} is more than output_tokens ({self.output_tokens}), which contains it",
        )


# `billable_quantities` is on the hot path, and looking a member up on its enum costs more than multiplying does.
_INPUT = TokenClass.INPUT
_CACHE_READ = TokenClass.CACHE_READ
_CACHE_WRITE = TokenClass.CACHE_WRITE
_CACHE_WRITE_1H = TokenClass.CACHE_WRITE_1H
_OUTPUT = TokenClass.OUTPUT
_REASONING = TokenClass.REASONING
_AUDIO_INPUT = TokenClass.AUDIO_INPUT
_AUDIO_CACHE_READ = TokenClass.AUDIO_CACHE_READ
_AUDIO_OUTPUT = TokenClass.AUDIO_OUTPUT
_IMAGE_INPUT = TokenClass.IMAGE_INPUT
_IMAGE_OUTPUT = TokenClass.IMAGE_OUTPUT
_IMAGES = TokenClass.IMAGES
_SEARCHES = TokenClass.SEARCHES
_REQUESTS = TokenClass.REQUESTS
