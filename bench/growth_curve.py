"""The growth curve as an SVG: events a second over events stored, each round a dot, the medians a line."""

import math
import statistics
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 40, 48
INK, QUIET, LINE, DOT = "#1f2933", "#6b7785", "#2563eb", "#93b4f5"


def drawn(rates: Mapping[int, Sequence[float]], *, goal: float) -> str:
    """`rates` are those of the rounds by stored events; `goal` is the part of the smallest's median that all should keep."""
    medians = {stored: statistics.median(found) for stored, found in rates.items()}
    smallest, largest = min(rates), max(rates)
    step = _step(max(max(found) for found in rates.values()))
    top = step * math.ceil(max(max(found) for found in rates.values()) / step)

    def x(stored: float) -> float:
        share = math.log(stored / smallest) / math.log(largest / smallest)
        return LEFT + 24 + share * (WIDTH - LEFT - RIGHT - 48)

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - rate / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, "Pushed events a second, batches of 1,000, by events stored", fill=INK, anchor="start"),
    ]
    for rate in range(0, top + 1, step):
        parts.append(f'<path d="M{LEFT} {y(rate):.1f}H{WIDTH - RIGHT}" stroke="#e3e8ee"/>')
        parts.append(_text(LEFT - 8, y(rate) + 4, f"{rate:,}", fill=QUIET, anchor="end"))
    floor = y(goal * medians[smallest])
    parts.append(f'<path d="M{LEFT} {floor:.1f}H{WIDTH - RIGHT}" stroke="{QUIET}" stroke-dasharray="4 4"/>')
    parts.append(_text(WIDTH - RIGHT, floor + 14, f"{goal:g} × the smallest", fill=QUIET, anchor="end"))
    for stored, found in rates.items():
        parts.append(_text(x(stored), HEIGHT - BOTTOM + 20, f"{stored:,}", fill=QUIET, anchor="middle"))
        parts += [f'<circle cx="{x(stored):.1f}" cy="{y(rate):.1f}" r="3" fill="{DOT}"/>' for rate in found]
    points = " ".join(f"{x(stored):.1f},{y(median):.1f}" for stored, median in medians.items())
    parts.append(f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for stored, median in medians.items():
        parts.append(f'<circle cx="{x(stored):.1f}" cy="{y(median):.1f}" r="4" fill="{LINE}"/>')
        parts.append(_text(x(stored), y(median) - 12, f"{median:,.0f}", fill=INK, anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])


def _step(highest: float) -> int:
    """A round number that divides the axis into three to eight parts."""
    power = 10 ** int(math.log10(highest))
    return next(int(power * part) for part in (0.2, 0.5, 1, 2) if highest / (power * part) <= 8)


def _text(x: float, y: float, words: str, *, fill: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}">{words}</text>'
