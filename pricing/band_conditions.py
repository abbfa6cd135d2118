"""When a band holds, for people who ask why one model has two prices: how long the prompt is, which hours, which days."""

from dataclasses import dataclass

from pricing.bands import BASE, Override, PriceSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Minutes since midnight UTC, half-open, on ISO weekdays (UTC). `None` is no limit of that kind."""

    utc_start: int | None
    utc_end: int | None
    utc_days: tuple[int, ...] | None

    @property
    def hours(self) -> tuple[str, str] | None:
        """`("16:30", "00:30")`; None where the whole day is meant."""
        if self.utc_start is None or self.utc_end is None:
            return None
        return _clock(self.utc_start), _clock(self.utc_end)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandConditions:
    """A call is priced by the band when its prompt, caches included, has more than `above` and at most `up_to` tokens and its
    moment lies in every one of `windows`. `None` is no bound; all of them empty is the price at all other times.
    """

    above: int | None = None
    up_to: int | None = None
    windows: tuple[Window, ...] = ()


def conditions_of(sheet: PriceSheet, band: str) -> BandConditions:
    """What `Band.name` stands for in words of `sheet`. Raises `ValueError` for a name that the sheet cannot have given."""
    sheet.named_band(band)
    applied = set() if band == BASE else {int(index) for index in band.split("+")}
    met = [override for index, override in enumerate(sheet.overrides) if index in applied]
    unmet = [override for index, override in enumerate(sheet.overrides) if index not in applied]
    lower = [override.min_prompt_tokens for override in met if override.min_prompt_tokens is not None]
    upper = [
        override.min_prompt_tokens
        for override in unmet
        if override.min_prompt_tokens is not None and not _is_timed(override)
    ]
    return BandConditions(
        above=max(lower, default=None),
        up_to=min(upper, default=None),
        windows=tuple(_window(override) for override in met if _is_timed(override)),
    )


def conditions_of_override(override: Override) -> BandConditions:
    """When an override holds, whatever else its sheet has."""
    return BandConditions(above=override.min_prompt_tokens, windows=(_window(override),) if _is_timed(override) else ())


def _window(override: Override) -> Window:
    return Window(
        utc_start=override.utc_start,
        utc_end=override.utc_end,
        utc_days=None if override.utc_days is None else tuple(sorted(override.utc_days)),
    )


def _is_timed(override: Override) -> bool:
    return override.utc_start is not None or override.utc_days is not None


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
