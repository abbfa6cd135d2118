"""The geometry of charts: values in, strings for SVG attributes out. Drawn on the server, so they need no script and print well.

Plots are stretched to their frame (`preserveAspectRatio="none"`); labels and ticks stand beside them as text, so they keep their
size on a phone. Coordinates are whole numbers on a grid of `HEIGHT`; amounts stay Decimal until they become one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import NamedTuple

HEIGHT = 1000
SLOT = 100
INTERVALS = 4
LABELS_SHOWN = 7
STEPS = tuple(map(Decimal, ("1", "1.5", "2", "2.5", "3", "4", "5", "6", "8", "10")))


class Point(NamedTuple):
    """One place on the axis. `values` has one amount per series; `name` is its label in full; `expected` marks a forecast."""

    label: str
    values: Sequence[Decimal | int]
    name: str = ""
    expected: bool = False


@dataclass(frozen=True)
class Slot:
    """What is drawn for one point, and what is said about it."""

    label: str
    tip: str
    x: str
    width: str
    bars: Sequence[tuple[str, str, str, str, str]]
    cells: Sequence[str]
    name: str
    expected: bool


def points_of(rows: Sequence[Point | tuple[str, Decimal | int]]) -> list[Point]:
    """Accepts `(label, value)` as a short form."""
    return [row if isinstance(row, Point) else Point(row[0], (row[1],)) for row in rows]


def top_of(largest: Decimal) -> Decimal:
    """The smallest pleasant number that `INTERVALS` equal steps reach at or above `largest`."""
    if largest <= 0:
        return Decimal(INTERVALS)
    step = largest / INTERVALS
    scale = Decimal(1).scaleb(step.adjusted())
    factor = next(factor for factor in STEPS if factor * scale >= step)
    return factor * scale * INTERVALS


def height_of(value: Decimal | int, top: Decimal) -> int:
    """Units of the grid; whatever is not nothing shows."""
    height = int((Decimal(value) * HEIGHT / top).to_integral_value(ROUND_HALF_UP))
    return max(height, 4) if value > 0 else 0


def ticks(top: Decimal, write: Callable[[Decimal], str]) -> list[str]:
    """From the top down to zero."""
    return [write(top * part / INTERVALS) for part in range(INTERVALS, -1, -1)]


def shown_labels(points: Sequence[Point]) -> list[str]:
    """Every n-th label, so that the last one is always among them; "" elsewhere."""
    step = int((Decimal(len(points)) / LABELS_SHOWN).to_integral_value(ROUND_CEILING)) or 1
    return [point.label if (len(points) - 1 - at) % step == 0 else "" for at, point in enumerate(points)]


def tip_of(point: Point, series: Sequence[str], write: Callable[[Decimal], str]) -> str:
    name = point.name or point.label
    if len(point.values) == 1:
        return f"{name}\n{write(Decimal(point.values[0]))}"
    parts = [f"{title} {write(Decimal(value))}" for title, value in zip(series, point.values, strict=True) if value]
    return "\n".join([f"{name}  {write(sum(map(Decimal, point.values), Decimal()))}", *parts])


def bar_slots(
    points: Sequence[Point], *, series: Sequence[str], top: Decimal, write: Callable[[Decimal], str]
) -> list[Slot]:
    """Stacked bars, the first series at the bottom. A bar is (class, x, y, width, height)."""
    gap = 12 if len(points) > 8 else 28
    slots = []
    for at, (point, label) in enumerate(zip(points, shown_labels(points), strict=True)):
        bars, floor = [], HEIGHT
        for number, value in enumerate(point.values, start=1):
            height = height_of(value, top)
            floor -= height
            if height:
                bar = (f"series-{min(number, 5)}", at * SLOT + gap, floor, SLOT - 2 * gap, height)
                bars.append((bar[0], *map(str, bar[1:])))
        slots.append(
            Slot(
                label=label,
                tip=tip_of(point, series, write),
                x=str(at * SLOT),
                width=str(SLOT),
                bars=bars,
                cells=[write(Decimal(value)) for value in point.values],
                name=point.name or point.label,
                expected=point.expected,
            )
        )
    return slots


def line_slots(points: Sequence[Point], *, write: Callable[[Decimal], str]) -> list[Slot]:
    """For a line: the strip that answers to the pointer around each point."""
    return [
        Slot(
            label=label,
            tip=tip_of(point, ("",), write),
            x=str(at * SLOT),
            width=str(SLOT),
            bars=(),
            cells=[write(Decimal(point.values[0]))],
            name=point.name or point.label,
            expected=point.expected,
        )
        for at, (point, label) in enumerate(zip(points, shown_labels(points), strict=True))
    ]


def line_path(points: Sequence[Point], top: Decimal, *, first: int = 0) -> str:
    """`M50 900L150 700…` through the middle of each slot, from the point at `first` on."""
    places = [
        f"{(first + at) * SLOT + SLOT // 2} {HEIGHT - height_of(point.values[0], top)}"
        for at, point in enumerate(points)
    ]
    return "M" + "L".join(places) if places else ""


def area_path(points: Sequence[Point], top: Decimal) -> str:
    """The line, closed along the base."""
    if not points:
        return ""
    last = (len(points) - 1) * SLOT + SLOT // 2
    return f"{line_path(points, top)}L{last} {HEIGHT}L{SLOT // 2} {HEIGHT}Z"
