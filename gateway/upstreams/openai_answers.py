"""What we need to know of an answer or a chunk, read without looking at its content."""

from dataclasses import dataclass
from typing import Any

from gateway.upstreams.base import ReportedUsage

ID_LENGTH, MODEL_LENGTH, REASON_LENGTH = 200, 200, 40


class Unreadable(ValueError):
    """What the upstream sent is not an answer."""


@dataclass(slots=True)
class Observed:
    """What has been seen of an answer so far. Usage may stand on any chunk; the last one wins."""

    generation_id: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: ReportedUsage | None = None
    error: "ReportedError | None" = None

    def name(self, generation_id: Any, model: Any) -> None:
        """Take the ids that an answer carries: the first of the generation, the last of the model."""
        if not self.generation_id:
            self.generation_id = _text(generation_id, ID_LENGTH)
        if model != self.model:
            self.model = _text(model, MODEL_LENGTH) or self.model

    def finish(self, reason: Any) -> None:
        """Take why the answer ended; an error stays one."""
        if self.finish_reason != "error":
            self.finish_reason = _text(reason, REASON_LENGTH) or self.finish_reason

    def fail(self, error: "ReportedError") -> None:
        """Take an error that came under status 200."""
        self.error = error
        self.finish_reason = "error"

    @property
    def costs_nothing(self) -> bool:
        """The zero-completion rule: no completion token, and an empty or error finish reason, is free."""
        if self.usage is None or self.usage.counts.completion_tokens:
            return False
        return self.finish_reason in ("", "error")


@dataclass(frozen=True, slots=True)
class ReportedError:
    """An error that came under status 200. `code` may be a number or a word."""

    message: str
    code: str

    @classmethod
    def read(cls, value: Any) -> "ReportedError":
        if not isinstance(value, dict):
            return cls(_text(value, 500), "")
        code = value.get("code")
        return cls(_text(value.get("message"), 500), str(code)[:40] if isinstance(code, int | str) else "")

    @property
    def status(self) -> int:
        """The HTTP status that the error would have come with."""
        return int(self.code) if self.code in ("400", "408", "413", "422", "429") else 502


def printable(text: str) -> str:
    """`text` without what no log and no column can hold: an upstream's ids are ASCII, whatever else it sends along."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character for character in text if " " <= character <= "~")


def _text(value: Any, length: int) -> str:
    return printable(value)[:length] if isinstance(value, str) else ""
