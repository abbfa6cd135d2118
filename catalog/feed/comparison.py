"""Compare a snapshot with what is in force: what begins, what changes, and what an operator should look at first.

No I/O here: `known` holds everything that the tables say. What nobody may believe unseen is a doubt; the old price stays in force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Any

from catalog.feed.snapshot import FeedEntry, Snapshot, SnapshotRefused
from catalog.listing import page_slug_of
from catalog.models import LanguageModel, QuarantinedPrice
from catalog.price_sheets import sheet_from_json, sheet_to_json
from catalog.publishing import FROM_OPERATORS
from pricing.bands import PriceSheet
from pricing.cost_changes import CostChange, cost_changes
from pricing.tokens import PIECE_CLASSES, TokenClass

Doubt = QuarantinedPrice.Doubt
FREE = ":free"
Usual = Mapping[TokenClass, Decimal]
DEAREST, CHEAPEST = Decimal(1_000) / 1_000_000, Decimal("0.0001") / 1_000_000
"""USD a token. A first price beyond them was meant per million tokens and entered for one, or the other way round."""
MOST_MEDIANS, FEWEST_FOR_MEDIAN = 1_000, 5
"""A first price of so many times what the table's models usually cost is doubted, once there are so many of them."""
FEWEST_MISSING = 3
"""So many models may be missing from any list, however short."""
MEDIA_CLASSES = {"image": TokenClass.IMAGE_OUTPUT, "audio": TokenClass.AUDIO_OUTPUT}
"""Answers that must have a price of their own: priced as text they would be sold far below cost."""


@dataclass(frozen=True, slots=True)
class PriceInForce:
    """A row of CostPrice that holds; without a sheet a tombstone."""

    id: int
    sheet: Mapping[str, Any] | None
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the tables say of a cost table at the moment from which the list is to hold. Models are all there are, by id."""

    cost_table_id: int
    models: Mapping[str, LanguageModel]
    prices: Mapping[int, PriceInForce]
    """By id of the model's row."""
    standing: Mapping[str, QuarantinedPrice]
    """Doubts that the list may repeat: waiting ones and refused ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A price that may be put in force: a model's first one here (no changes to tell), or the successor of another."""

    entry: FeedEntry
    model: LanguageModel | None
    changes: Sequence[CostChange] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """A price that must not be put in force unseen. Without an entry the model is missing from the list."""

    slug: str
    doubt: str
    entry: FeedEntry | None
    model: LanguageModel | None
    before: Mapping[str, Any] | None = None
    changes: Sequence[CostChange] = ()

    @property
    def raw(self) -> Any:
        return dict(self.entry.raw) if self.entry else None


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What a snapshot would do. `repeated` doubts stand already; `ended` ones the list no longer gives reason for."""

    first: list[Change] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: int = 0
    doubtful: list[Doubtful] = field(default_factory=list)
    repeated: list[QuarantinedPrice] = field(default_factory=list)
    ended: list[QuarantinedPrice] = field(default_factory=list)
    sold_elsewhere: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        doubts = [doubtful.slug for doubtful in self.doubtful if doubtful.doubt == Doubt.DELISTED]
        return doubts + [standing.slug for standing in self.repeated if standing.doubt == Doubt.DELISTED]

    @property
    def unreadable(self) -> list[str]:
        """Models whose price is no number, unless an operator refused that price: then it is passed over."""
        waiting = [one for one in self.repeated if one.status == QuarantinedPrice.Status.OPEN]
        doubts = [(one.slug, one.doubt) for one in self.doubtful] + [(one.slug, one.doubt) for one in waiting]
        return [slug for slug, doubt in doubts if doubt == Doubt.UNREADABLE]


def compare(snapshot: Snapshot, known: Known, *, jump_limit: Fraction, most_missing: Fraction) -> Comparison:
    """Judge every model of the list, and every one that it lacks. Raises SnapshotRefused if it lacks too many."""
    found = Comparison(left_out=dict(snapshot.left_out))
    pages = {model.page_slug for model in known.models.values()}
    usual = _usual(known)
    for entry in snapshot.entries.values():
        model = known.models.get(entry.slug)
        if model is None and page_slug_of(entry.slug) in pages:
            found.left_out[entry.slug] = "another model has the same page address"
            continue
        pages.add(page_slug_of(entry.slug))
        _judge(found, entry, model, known, jump_limit, usual)
    _look_for_missing(found, snapshot, known, most_missing)
    repeated = {standing.slug for standing in found.repeated}
    found.ended = [standing for slug, standing in known.standing.items() if slug not in repeated]
    return found


def _judge(
    found: Comparison,
    entry: FeedEntry,
    model: LanguageModel | None,
    known: Known,
    jump_limit: Fraction,
    usual: Usual,
) -> None:
    price = known.prices.get(model.pk) if model else None
    before = price.sheet if price else None
    if price is not None and before is None and model and model.cost_table_id != known.cost_table_id:
        found.sold_elsewhere += 1
        return
    if _says_the_same(entry, model, price):
        found.unchanged += 1
        return
    changes = cost_changes(sheet_from_json(before), entry.sheet) if before and entry.sheet else []
    doubt = _doubt(entry, model, price, changes, jump_limit, usual)
    if doubt is None and not changes and price and price.origin in FROM_OPERATORS:
        found.unchanged += 1
    elif doubt is None:
        (found.changed if price else found.first).append(Change(entry=entry, model=model, changes=changes))
    else:
        doubtful = Doubtful(slug=entry.slug, doubt=doubt, entry=entry, model=model, before=before, changes=changes)
        _note(found, doubtful, known)


def _says_the_same(entry: FeedEntry, model: LanguageModel | None, price: PriceInForce | None) -> bool:
    if entry.is_router and model is not None:
        return model.is_router if price is None else price.sheet is None
    return price is not None and entry.sheet is not None and price.sheet == sheet_to_json(entry.sheet)


def _doubt(
    entry: FeedEntry,
    model: LanguageModel | None,
    price: PriceInForce | None,
    changes: Sequence[CostChange],
    jump_limit: Fraction,
    usual: Usual,
) -> str | None:
    """Why an operator should look at it first; None if nothing speaks against it."""
    if entry.fault:
        return Doubt.NEGATIVE if entry.is_negative else Doubt.UNREADABLE
    if entry.sheet is None or (model is not None and model.is_router):
        return Doubt.ROUTER
    if price is None:
        return _doubt_of_first(entry, entry.sheet, usual)
    if price.sheet is None:
        return Doubt.RELISTED
    if changes and price.origin in FROM_OPERATORS:
        return Doubt.BY_HAND
    if any(change.becomes_free for change in changes):
        return Doubt.ZERO
    if any(change.exceeds(jump_limit) for change in changes):
        return Doubt.JUMP
    return None


def _doubt_of_first(entry: FeedEntry, sheet: PriceSheet, usual: Usual) -> str | None:
    """A model's first price here has none before it to be compared with, so it must make sense by itself and in its table."""
    if entry.slug.endswith(FREE):
        return None
    if _is_implausible(sheet, usual):
        return Doubt.IMPLAUSIBLE
    answers = set(entry.facts.get("output_modalities") or ["text"])
    media = [token_class for modality, token_class in MEDIA_CLASSES.items() if modality in answers]
    must_cost = [TokenClass.INPUT, *([TokenClass.OUTPUT] if "text" in answers else []), *media]
    if any(token_class in sheet.base and not sheet.base[token_class] for token_class in must_cost):
        return Doubt.ZERO
    if any(token_class not in sheet.base for token_class in media):
        return Doubt.UNPRICED_MEDIA
    return None


def _usual(known: Known) -> Usual:
    """The medians of what a token costs in the table, where it has enough models to tell."""
    sheets = [sheet_from_json(price.sheet).base for price in known.prices.values() if price.sheet is not None]
    costs = {kind: [base[kind] for base in sheets if base.get(kind)] for kind in (TokenClass.INPUT, TokenClass.OUTPUT)}
    return {kind: median(found) for kind, found in costs.items() if len(found) >= FEWEST_FOR_MEDIAN}


def _is_implausible(sheet: PriceSheet, usual: Usual) -> bool:
    """Whether a token costs so much, or so little, that the price was surely meant for another number of tokens."""
    bases = (sheet.base, *(override.unit_costs for override in sheet.overrides))
    costs = [(kind, cost) for base in bases for kind, cost in base.items() if cost and kind not in PIECE_CLASSES]
    return any(
        cost > DEAREST
        or (kind in (TokenClass.INPUT, TokenClass.OUTPUT) and cost < CHEAPEST)
        or (kind in usual and cost > MOST_MEDIANS * usual[kind])
        for kind, cost in costs
    )


def _look_for_missing(found: Comparison, snapshot: Snapshot, known: Known, most_missing: Fraction) -> None:
    """Models with a price in force here that the list does not name: none is delisted by that alone."""
    listed = snapshot.entries.keys() | snapshot.left_out.keys()
    by_id = {model.pk: model for model in known.models.values()}
    sold = [by_id[model_id] for model_id, price in known.prices.items() if price.sheet is not None]
    missing = [model for model in sold if model.slug not in listed]
    new = [model for model in missing if model.slug not in known.standing]
    if len(new) > FEWEST_MISSING and len(new) > most_missing * len(sold):
        raise SnapshotRefused(
            f"It lacks {len(missing)} of the {len(sold)} models in force, more than {float(most_missing):.0%}: is it whole?"
        )
    for model in missing:
        before = known.prices[model.pk].sheet
        _note(found, Doubtful(slug=model.slug, doubt=Doubt.DELISTED, entry=None, model=model, before=before), known)


def _note(found: Comparison, doubtful: Doubtful, known: Known) -> None:
    standing = known.standing.get(doubtful.slug)
    if standing is not None and standing.doubt == doubtful.doubt and standing.raw == doubtful.raw:
        found.repeated.append(standing)
    else:
        found.doubtful.append(doubtful)
