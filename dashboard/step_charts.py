"""The geometry of step charts: what held since when, on an axis of time. Drawn like the other charts (`charts.py`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from dashboard.charts import HEIGHT, height_of

WIDTH = 2400
LABELS = 4
_MICROSECOND = timedelta(microseconds=1)


class Step(NamedTuple):
    """One amount per series (None: nothing held) from `since` until the next step begins; `name` is the time in words."""

    since: datetime
    values: Sequence[Decimal | None]
    name: str


@dataclass(frozen=True)
class Strip:
    """The time of one step, and what is said about it."""

    tip: str
    x: str
    width: str


class Axis:
    """Time from the first step until `end`, over the width of the plot."""

    def __init__(self, steps: Sequence[Step], end: datetime) -> None:
        self.start = steps[0].since
        self.length = max((end - self.start) // _MICROSECOND, 1)
        self.edges = [*(step.since for step in steps), end]

    def x(self, moment: datetime) -> int:
        return (moment - self.start) // _MICROSECOND * WIDTH // self.length

    def labels(self, write: Callable[[datetime], str]) -> list[str]:
        """Moments at equal distances, the first and the last among them; none twice."""
        moments = [self.start + self.length * part * _MICROSECOND / (LABELS - 1) for part in range(LABELS)]
        return list(dict.fromkeys(map(write, moments)))


def largest_of(steps: Sequence[Step]) -> Decimal:
    return max((value for step in steps for value in step.values if value is not None), default=Decimal())


def step_path(steps: Sequence[Step], number: int, *, axis: Axis, top: Decimal) -> str:
    """`M0 500H800V250H2400`: series `number`; where nothing held, the line breaks off."""
    parts: list[str] = []
    joined = False
    for at, step in enumerate(steps):
        value = step.values[number]
        if value is not None:
            y = HEIGHT - height_of(value, top)
            parts.append(f"{f'V{y}' if joined else f'M{axis.x(step.since)} {y}'}H{axis.x(axis.edges[at + 1])}")
        joined = value is not None
    return "".join(parts)


def strips(
    steps: Sequence[Step], *, axis: Axis, series: Sequence[str], write: Callable[[Decimal | None], str]
) -> list[Strip]:
    """What answers to the pointer."""
    found = []
    for at, step in enumerate(steps):
        x = axis.x(step.since)
        told = [f"{name} {write(value)}" for name, value in zip(series, step.values, strict=True)]
        width = max(axis.x(axis.edges[at + 1]) - x, 1)
        found.append(Strip(tip="\n".join([step.name, *told]), x=str(x), width=str(width)))
    return found
