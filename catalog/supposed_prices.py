"""Prices to suppose, as an operator writes them: `mistralai/devstral-small=0.04:0.06` or a price list in a file."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from catalog.feed.files import read_price_file
from catalog.feed.snapshot import SnapshotRefused
from catalog.hypothetical_prices import Implausible
from pricing.bands import PriceSheet
from pricing.exact import parse_decimal
from pricing.openrouter_pricing import parse_openrouter_pricing
from pricing.plain_text import plain

KEYS = ("prompt", "completion", "input_cache_read", "input_cache_write")
"""What the figures of a price are, in their order."""
LEAST = Decimal("0.001")
"""USD per 1M tokens. Nothing is sold for less, but a price per token that was mistaken for one per million looks like it."""


def read_prices(
    texts: Iterable[str],
    *,
    known: Mapping[str, object],
    check_figures: Callable[[str, PriceSheet], None] = lambda slug, sheet: None,
) -> dict[str, PriceSheet]:
    """The price sheets by model, the last of a model counts. Of a file, models that are not `known` are left out.

    `check_figures` is asked about each price that is written as figures, which cannot say all that a list can. Raises Implausible.
    """
    sheets: dict[str, PriceSheet] = {}
    for text in texts:
        if "=" in text and not Path(text).exists():
            slug, sheet = parse_price(text)
            check_figures(slug, sheet)
            sheets[slug] = sheet
        else:
            found = _read_file(Path(text))
            sheets |= {slug: sheet for slug, sheet in found.items() if slug in known}
    return sheets


def parse_price(text: str) -> tuple[str, PriceSheet]:
    """`model=prompt:completion[:cache read[:cache write]]` in USD per 1M tokens. Raises Implausible."""
    slug, _, figures = text.strip().rpartition("=")
    parts = figures.split(":")
    if not slug or not 2 <= len(parts) <= len(KEYS):
        raise Implausible(f"{text!r}: write a price as model=prompt:completion, in USD per 1M tokens")
    try:
        _check_not_per_token(text, parts)
        pricing = {key: plain(parse_decimal(part).scaleb(-6)) for key, part in zip(KEYS, parts, strict=False)}
        sheet = parse_openrouter_pricing(pricing)
    except Implausible:
        raise
    except ValueError as fault:
        raise Implausible(f"{text!r}: {fault}") from None
    if sheet is None:
        raise Implausible(f"{text!r}: a price is not negative")
    return slug, sheet


def _check_not_per_token(text: str, parts: Iterable[str]) -> None:
    if any(0 < parse_decimal(part) < LEAST for part in parts):
        raise Implausible(f"{text!r}: prices are in USD per 1M tokens, and this looks like the price of one")


def _read_file(path: Path) -> dict[str, PriceSheet]:
    try:
        snapshot = read_price_file(path.read_bytes(), name=path.name)
    except OSError as error:
        raise Implausible(f"{path}: {error.strerror}") from None
    except SnapshotRefused as refusal:
        raise Implausible(f"{path}: {refusal}") from None
    faulty = [entry for entry in snapshot.entries.values() if entry.fault]
    if faulty:
        raise Implausible(f"{path}: {faulty[0].slug}: {faulty[0].fault}")
    return {slug: entry.sheet for slug, entry in snapshot.entries.items() if entry.sheet is not None}
