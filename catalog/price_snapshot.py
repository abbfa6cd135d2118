"""The price book's memory: every model, price, markup and exchange rate at one moment, immutable, looked up without I/O."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from catalog.models import CostPrice, LanguageModel, MarkupRule
from catalog.price_sheets import sheet_from_json
from catalog.rate_history import RateHistory, load_rate_history
from pricing.bands import PriceSheet

Value = TypeVar("Value")
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Dated(Generic[Value]):
    """A row's id and value, in force from a moment until the next one."""

    id: int
    since: datetime
    value: Value


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What pricing needs of a language model."""

    id: int
    slug: str
    provider_slug: str
    cost_table_id: int
    is_router: bool
    max_completion_tokens: int | None
    context_length: int | None


Target = tuple[int | None, int | None, str]
"""Of a markup rule: organization, model, provider."""


def in_force(history: Sequence[Dated[Value]], at: datetime) -> Dated[Value] | None:
    """The entry that holds at `at`: the last that began no later."""
    position = bisect_right(history, at, key=lambda entry: entry.since)
    return history[position - 1] if position else None


@dataclass(frozen=True, slots=True)
class PriceSnapshot:
    """All that a rate is made of."""

    models: Mapping[str, ModelEntry]
    prices: Mapping[tuple[int, int], Sequence[Dated[PriceSheet | None]]]
    markups: Mapping[Target, Sequence[Dated[Decimal | None]]]
    rates: RateHistory

    def price(self, model: ModelEntry, at: datetime) -> Dated[PriceSheet | None] | None:
        """The cost price in force, a tombstone (value None) included; None before the first."""
        return in_force(self.prices.get((model.cost_table_id, model.id), ()), at)

    def markup(self, organization_id: int | None, model: ModelEntry, at: datetime) -> tuple[int, Decimal] | None:
        """Id and markup of the most specific rule in force: organization × model, organization, model, provider, all."""
        for target in targets_of(organization_id, model):
            rule = in_force(self.markups.get(target, ()), at)
            if rule is not None and rule.value is not None:
                return rule.id, rule.value
        return None

    def next_change(self, organization_id: int | None, model: ModelEntry, at: datetime) -> datetime:
        """The moment after `at` at which the model's price or a markup that may cover it changes; far away if none does."""
        histories: list[Sequence[Dated[Any]]] = [self.prices.get((model.cost_table_id, model.id), ())]
        histories += [self.markups.get(target, ()) for target in targets_of(organization_id, model)]
        later = (bisect_right(history, at, key=lambda entry: entry.since) for history in histories)
        return min(
            (
                history[position].since
                for history, position in zip(histories, later, strict=True)
                if position < len(history)
            ),
            default=NEVER,
        )


def targets_of(organization_id: int | None, model: ModelEntry) -> list[Target]:
    """The targets of markup rules that may cover a sale, the most specific first."""
    general: list[Target] = [(None, model.id, ""), (None, None, model.provider_slug), (None, None, "")]
    if organization_id is None:
        return general
    return [(organization_id, model.id, ""), (organization_id, None, ""), *general]


def load_snapshot() -> PriceSnapshot:
    """Read everything, as the `system` role, because markups may name organizations."""
    prices: dict[tuple[int, int], list[Dated[PriceSheet | None]]] = defaultdict(list)
    for price in CostPrice.objects.using("system").order_by("effective_from", "revision"):
        sheet = None if price.sheet is None else sheet_from_json(price.sheet)
        prices[price.cost_table_id, price.language_model_id].append(Dated(price.pk, price.effective_from, sheet))
    markups: dict[Target, list[Dated[Decimal | None]]] = defaultdict(list)
    for rule in MarkupRule.objects.using("system").order_by("effective_from", "revision"):
        target = (rule.organization_id, rule.language_model_id, rule.provider_slug)
        markups[target].append(Dated(rule.pk, rule.effective_from, rule.markup))
    return PriceSnapshot(
        models={
            model.slug: ModelEntry(
                id=model.pk,
                slug=model.slug,
                provider_slug=model.provider_slug,
                cost_table_id=model.cost_table_id,
                is_router=model.is_router,
                max_completion_tokens=model.max_completion_tokens,
                context_length=model.context_length,
            )
            for model in LanguageModel.objects.using("system").all()
        },
        prices=dict(prices),
        markups=dict(markups),
        rates=load_rate_history(),
    )
