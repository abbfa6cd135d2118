"""What figures written by hand would end silently: conditional prices, fees and classes that they do not name."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from catalog.hypothetical_prices import Implausible
from catalog.price_snapshot import PriceSnapshot
from pricing.bands import Override, PriceSheet, complete
from pricing.tokens import TokenClass

A_MOMENT = timedelta(microseconds=1)


class DropsTheRest(Implausible):
    """The figures leave something out that the price in force has: prices of `classes`, or other prices under `overrides`.

    The message says so to whoever types commands.
    """

    def __init__(self, slug: str, classes: Sequence[TokenClass], overrides: Sequence[Override]) -> None:
        self.slug, self.classes, self.overrides = slug, classes, overrides
        parts = [f"a price for {kind.value}" for kind in classes]
        parts += dict.fromkeys(f"other prices {_condition(override)}" for override in overrides)
        super().__init__(
            f"{slug}: the price in force also has {', '.join(parts)}, which these figures would end. Write the whole price "
            "in a list, or say --drop-the-rest if that is meant"
        )


def check_nothing_is_dropped(
    slug: str, written: PriceSheet, *, book: PriceSnapshot, since: datetime, until: datetime
) -> None:
    """That `written` says all that the model's prices say which held in [since, until), or at `since`. Raises DropsTheRest."""
    for sheet in _held(slug, book, since, max(until, since + A_MOMENT)):
        dropped = list(_dropped(sheet, written))
        if dropped or sheet.overrides:
            raise DropsTheRest(slug, dropped, sheet.overrides)


def _held(slug: str, book: PriceSnapshot, since: datetime, until: datetime) -> Iterator[PriceSheet]:
    model = book.models.get(slug)
    if model is None:
        return
    first = book.price(model, since)
    for price in book.prices.get((model.cost_table_id, model.id), ()):
        if price.value is not None and (price == first or since < price.since < until):
            yield price.value


def _dropped(held: PriceSheet, written: PriceSheet) -> Iterator[TokenClass]:
    """The classes without a price any more. A class that costs what it would cost unlisted is no loss."""
    unlisted = complete({kind: cost for kind, cost in held.base.items() if kind in written.base})
    for kind in TokenClass:
        if kind in held.base and kind not in written.base and unlisted.get(kind) != held.base[kind]:
            yield kind


def _condition(override: Override) -> str:
    parts = []
    if override.min_prompt_tokens is not None:
        parts.append(f"above {override.min_prompt_tokens:,} prompt tokens")
    if override.utc_start is not None and override.utc_end is not None:
        parts.append(f"from {_clock(override.utc_start)} to {_clock(override.utc_end)} UTC")
    if override.utc_days is not None:
        parts.append("on some weekdays")
    return " ".join(parts)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
