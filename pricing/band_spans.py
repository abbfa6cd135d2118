"""Which band calls would be in under another price sheet, as far as it can be told from what sums keep of them.

A sum keeps the hour of its calls and the band they were in, and the band tells how long their prompts were: of a sheet with a
threshold at 200,000 tokens, calls in `base` have no longer prompts. Where that does not decide, the calls must be looked at.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pricing.bands import BASE, Band, Override, PriceSheet

_MINUTE = timedelta(minutes=1)
_LONGEST = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls in [start, end), both on full minutes, whose prompts have more than `above` and at most `up_to` tokens."""

    start: datetime
    end: datetime
    above: int = -1
    up_to: int = _LONGEST


def calls_in_band(sheet: PriceSheet, name: str, *, start: datetime, end: datetime) -> Calls:
    """What is known of calls of that time which `sheet` put into the band `name`."""
    met = _indices(name)
    above, up_to = -1, _LONGEST
    for index, override in enumerate(sheet.overrides):
        threshold = override.min_prompt_tokens
        if threshold is None:
            continue
        if index in met:
            above = max(above, threshold)
        elif _holds_in_time(override, start, end):
            up_to = min(up_to, threshold)
    return Calls(start=start, end=end, above=above, up_to=up_to)


def common_band(sheet: PriceSheet, calls: Calls) -> Band | None:
    """The band of `sheet` that every such call is in; None if they may be in different ones."""
    met = []
    for index, override in enumerate(sheet.overrides):
        long_enough = _is_long_enough(override, calls)
        in_time = _holds_in_time(override, calls.start, calls.end)
        if long_enough is False or in_time is False:
            continue
        if long_enough is None or in_time is None:
            return None
        met.append(index)
    return sheet.named_band("+".join(map(str, met)) or BASE)


def _indices(name: str) -> frozenset[int]:
    return frozenset() if name == BASE else frozenset(int(index) for index in name.split("+"))


def _is_long_enough(override: Override, calls: Calls) -> bool | None:
    threshold = override.min_prompt_tokens
    if threshold is None or calls.above >= threshold:
        return True
    return False if calls.up_to <= threshold else None


def _holds_in_time(override: Override, start: datetime, end: datetime) -> bool | None:
    """Whether the hours and days of an override hold from start to end; None if only at times. They change on full minutes."""
    if override.utc_start is None and override.utc_days is None:
        return True
    minutes = range((end - start) // _MINUTE)
    held = {override.applies(_LONGEST, start + number * _MINUTE) for number in minutes}
    return held.pop() if len(held) == 1 else None
