"""A source that answers from a file: what somebody fetched before, or on another machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from catalog.rate_sources.interface import Publication, RateSource


@dataclass(frozen=True, slots=True)
class Recorded:
    """`answer` is read as `source` would have read it."""

    source: RateSource
    answer: bytes = field(repr=False)

    @property
    def name(self) -> str:
        return self.source.name

    def fetch(self, first: date, last: date) -> Sequence[Publication]:
        return self.read(self.answer, first, last)

    def read(self, answer: bytes, first: date, last: date) -> Sequence[Publication]:
        return self.source.read(answer, first, last)
