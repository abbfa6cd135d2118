"""Plausible calls: who calls which model when, and with how many tokens. Pure, and the same for the same seed.

A `Workload` is what one API key is used for. Its calls follow the hours and weekdays of its rhythm and grow over the months;
each call is drawn from one of its `Shape`s.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from pricing.tokens import TokenUsage

HOURS: Mapping[str, tuple[float, ...]] = {
    "public": (3, 2, 1, 1, 1, 1, 2, 4, 7, 10, 11, 10, 9, 11, 11, 10, 10, 9, 8, 8, 9, 9, 7, 5),
    "office": (0, 0, 0, 0, 0, 0, 0, 1, 4, 10, 12, 10, 4, 10, 12, 12, 11, 9, 5, 3, 2, 1, 1, 0),
    "night": (10, 12, 12, 10, 8, 5, 2, 1, 1, 2, 2, 2, 1, 2, 2, 2, 2, 1, 1, 1, 1, 2, 4, 7),
}
"""How a day's calls spread over the hours, local time."""
SPREAD = 0.55
"""Of a logarithmic normal distribution: two thirds of the prompts have 0.6 to 1.7 times the usual length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A kind of call. Lengths are medians in tokens; shares are what is usual; chances are per call."""

    model: str
    weight: float
    prompt: int
    answer: int
    cached: float = 0.0
    """Share of the prompt read from the cache, when it hits (two calls in three)."""
    cache_writes: bool = False
    """Whether a prompt that misses the cache is charged for being written to it."""
    reasoning: float = 0.0
    """Share of the answer that is reasoning."""
    images: float = 0.0
    """Chance of an image in the prompt."""
    long: float = 0.0
    """Chance of a prompt of `long_prompt` tokens instead."""
    long_prompt: int = 0
    asked_for: str | None = None
    """What the caller asked for, where a router chose `model`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one API key is used for: `calls` on a weekday by now, `growth` ago that share less, `weekend` times as many then."""

    key: str
    calls: int
    rhythm: str
    growth: float
    weekend: float
    tools: float
    """Chance that an answer is a tool call."""
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as the gateway would have seen it."""

    at: datetime
    model: str
    asked_for: str | None
    usage: TokenUsage
    first_token_ms: int
    latency_ms: int
    streamed: bool
    finish_reason: str


def calls_of_day(
    workload: Workload,
    *,
    day: date,
    zone: ZoneInfo,
    elapsed: float,
    scale: float,
    sold: Mapping[str, int | None],
    seed: str,
) -> Iterator[Call]:
    """The calls of a local day in order of time.

    `elapsed` runs from 0 on the first day to 1 on the last, `scale` multiplies the number of calls, and `sold` gives the
    context length (if known) of every model that can be called that day.
    """
    dice = Random(f"{seed}/{workload.key}/{day.isoformat()}")
    shapes = [shape for shape in workload.shapes if shape.model in sold]
    if not shapes:
        return
    volume = workload.calls * (1 - workload.growth * (1 - elapsed)) * (workload.weekend if day.weekday() > 4 else 1.0)
    count = round(volume * scale * dice.lognormvariate(0, 0.12))
    midnight = datetime.combine(day, time(), tzinfo=zone)
    hours = dice.choices(range(24), HOURS[workload.rhythm], k=count)
    moments = sorted(midnight + timedelta(hours=hour, milliseconds=dice.randrange(3_600_000)) for hour in hours)
    for at, shape in zip(moments, _choose(shapes, count, dice), strict=True):
        yield _call(shape, workload, at=at, limit=sold[shape.model], dice=dice)


def _choose(shapes: Sequence[Shape], count: int, dice: Random) -> list[Shape]:
    return dice.choices(shapes, [shape.weight for shape in shapes], k=count)


def _call(shape: Shape, workload: Workload, *, at: datetime, limit: int | None, dice: Random) -> Call:
    usage = _usage(shape, limit=limit, dice=dice)
    streamed = dice.random() < 0.7
    first_token = round(dice.lognormvariate(math.log(420), 0.4) + usage.prompt_tokens / 60)
    chance = dice.random()
    return Call(
        at=at,
        model=shape.model,
        asked_for=shape.asked_for,
        usage=usage,
        first_token_ms=first_token,
        latency_ms=first_token + round((usage.output_tokens or 0) * dice.uniform(8, 18)),
        streamed=streamed,
        finish_reason="tool_calls" if chance < workload.tools else "length" if chance > 0.98 else "stop",
    )


def _usage(shape: Shape, *, limit: int | None, dice: Random) -> TokenUsage:
    """Counts as a source would report them: a class that the model does not have is unknown, not 0."""
    answer = _around(shape.answer, dice)
    is_long = dice.random() < shape.long
    prompt = round(shape.long_prompt * dice.uniform(0.9, 1.2)) if is_long else _around(shape.prompt, dice)
    if limit is not None:
        prompt = max(1, min(prompt, limit - answer))
    hit = shape.cached > 0 and dice.random() < 2 / 3
    # Caches work in blocks: what is read comes in multiples of 128 tokens.
    cached = int(prompt * min(0.97, shape.cached * dice.uniform(0.8, 1.15))) // 128 * 128 if hit else 0
    written = (prompt - cached) * 9 // 10 if shape.cache_writes and not hit else 0
    return TokenUsage(
        input_tokens=prompt - cached - written,
        cache_read_tokens=cached if shape.cached else None,
        cache_write_tokens=written if shape.cache_writes else None,
        output_tokens=answer,
        reasoning_tokens=round(answer * min(0.95, shape.reasoning * dice.uniform(0.6, 1.3)))
        if shape.reasoning
        else None,
        images=(1 if dice.random() < shape.images else 0) if shape.images else None,
    )


def _around(median: int, dice: Random) -> int:
    return max(1, round(dice.lognormvariate(math.log(median), SPREAD)))
