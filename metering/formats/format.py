"""What a format is: how its bodies are read, and what its totals contain."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from metering.pushed_events import InvalidEvent, PushedEvent


class Convention(Enum):
    """Whether cached, audio and reasoning tokens are part of the totals that a source reports."""

    DISJOINT = "counts are disjoint; only reasoning is inside output"
    INCLUDED = "the prompt contains cached and audio tokens, the completion contains reasoning and audio"


class Decode(Protocol):
    """Events of a body; of an element that is none, the reason. Raises MalformedBatch, TooManyEvents."""

    def __call__(self, body: bytes, *, at_most: int) -> Sequence[PushedEvent | InvalidEvent]: ...


@dataclass(frozen=True, slots=True)
class Format:
    """`name` as the documentation calls it, and the media types under which it may be sent.

    Where a body does not mean to name our organizations, an organization's own key reports for itself.
    """

    name: str
    media_types: tuple[str, ...]
    convention: Convention
    decode: Decode
    names_organizations: bool = True
