"""Before a markup rule is set: whom it touches, for whom a more specific rule goes on, and what that does to margin and prices.

Pure: the caller gives the snapshot of the price book and what was used lately. Revenue before and after is what that usage would
bring under the rules in force at the proposal's moment, without it and with it: nothing but the proposal makes a difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from catalog.markup_comparison import Comparison, Proposal
from catalog.price_snapshot import ModelEntry, PriceSnapshot
from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum
from pricing.margins import margin, markup
from pricing.rating import unit_prices
from pricing.tokens import TokenClass

MOST_EXAMPLES = 5

Usage = Mapping[tuple[int, int], Decimal]
"""Cost by (organization, model), in the organization's billing currency, exact."""


@dataclass(slots=True)
class Effect:
    """What the rule does to one customer. Sums are of the usage given, in the billing currency, before VAT."""

    organization_id: int
    touched: int
    """Models whose rule becomes another one."""
    shadowed: int
    """Models that the rule is about and that a more specific one goes on selling."""
    cost: Decimal = ZERO
    before: Decimal = ZERO
    after: Decimal = ZERO

    @property
    def markup_before(self) -> Decimal | None:
        return markup(self.before, self.cost)

    @property
    def markup_after(self) -> Decimal | None:
        return markup(self.after, self.cost)

    @property
    def margin_before(self) -> Decimal | None:
        return margin(self.before, self.cost)

    @property
    def margin_after(self) -> Decimal | None:
        return margin(self.after, self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A model's prices for one unit before and after, in the currency of the exchange rate given; None while nothing sells it."""

    model: str
    before: Mapping[TokenClass, Decimal] | None
    after: Mapping[TokenClass, Decimal] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkupPreview:
    """`models` is how many the rule is about, `effects` one a customer, the biggest first.

    `unsold` are the models that would have no markup, so that their usage waits; `until` is when a later rule for the same
    target takes over.
    """

    proposal: Proposal
    models: int
    effects: Sequence[Effect]
    unsold: Sequence[str]
    until: datetime | None
    examples: Sequence[Example]

    @property
    def touched(self) -> Sequence[Effect]:
        return [effect for effect in self.effects if effect.touched]

    @property
    def shadowed(self) -> Sequence[Effect]:
        return [effect for effect in self.effects if effect.shadowed]


def preview_markup(
    *,
    snapshot: PriceSnapshot,
    proposal: Proposal,
    organization_ids: Iterable[int],
    usage: Usage,
    exchange_rate: Decimal = ONE,
) -> MarkupPreview:
    """What `proposal` would do to these customers. `exchange_rate` turns dollars into the currency of the examples."""
    comparison = Comparison(snapshot, proposal)
    about = [model for model in snapshot.models.values() if comparison.is_about(model) and _is_sold(comparison, model)]
    customers = sorted(set(organization_ids)) if proposal.organization_id is None else [proposal.organization_id]
    effects = _effects(comparison, customers, about)
    _add_usage(comparison, effects, usage)
    later = [entry.since for entry in snapshot.markups.get(proposal.target, ())]
    return MarkupPreview(
        proposal=proposal,
        models=len(about),
        effects=sorted(effects.values(), key=lambda effect: (-effect.cost, effect.organization_id)),
        unsold=_unsold(comparison, customers, about),
        until=min((since for since in later if since > proposal.effective_from), default=None),
        examples=_examples(comparison, about, usage, exchange_rate),
    )


def _is_sold(comparison: Comparison, model: ModelEntry) -> bool:
    price = comparison.before.price(model, comparison.proposal.effective_from)
    return price is not None and price.value is not None


def _effects(comparison: Comparison, customers: Sequence[int], about: Sequence[ModelEntry]) -> dict[int, Effect]:
    alike = _counts(comparison, None, about)
    return {
        customer: Effect(customer, *(_counts(comparison, customer, about) if comparison.has_own(customer) else alike))
        for customer in customers
    }


def _counts(comparison: Comparison, customer: int | None, about: Sequence[ModelEntry]) -> tuple[int, int]:
    changes = [comparison.of(customer, model) for model in about]
    return sum(change.is_touched for change in changes), sum(change.is_shadowed for change in changes)


def _add_usage(comparison: Comparison, effects: Mapping[int, Effect], usage: Usage) -> None:
    """What is sold before and after counts; what would wait for a markup is told by `unsold`."""
    models = {model.id: model for model in comparison.before.models.values()}
    for (customer, model_id), cost in usage.items():
        effect, model = effects.get(customer), models.get(model_id)
        if effect is None or model is None:
            continue
        change = comparison.of(customer, model)
        if change.before is not None and change.after is not None:
            effect.cost = exact_sum((effect.cost, cost))
            effect.before = exact_sum((effect.before, exact_product(cost, EXACT.add(ONE, change.before))))
            effect.after = exact_sum((effect.after, exact_product(cost, EXACT.add(ONE, change.after))))


def _unsold(comparison: Comparison, customers: Sequence[int], about: Sequence[ModelEntry]) -> list[str]:
    whom: set[int | None] = {customer for customer in customers if comparison.has_own(customer)}
    if comparison.proposal.organization_id is None:
        whom.add(None)
    return sorted({model.slug for model in about for one in whom if comparison.of(one, model).after is None})


def _examples(
    comparison: Comparison, about: Sequence[ModelEntry], usage: Usage, exchange_rate: Decimal
) -> list[Example]:
    """The models of the rule that were used most: for the customer it names, or for those without rules of their own."""
    customer = comparison.proposal.organization_id
    costs: dict[int, Decimal] = {}
    for (organization_id, model_id), cost in usage.items():
        if customer in (None, organization_id):
            costs[model_id] = exact_sum((costs.get(model_id, ZERO), cost))
    biggest = sorted(about, key=lambda model: (-costs.get(model.id, ZERO), model.slug))[:MOST_EXAMPLES]
    return [_example(comparison, customer, model, exchange_rate) for model in biggest]


def _example(comparison: Comparison, customer: int | None, model: ModelEntry, exchange_rate: Decimal) -> Example:
    change, moment = comparison.of(customer, model), comparison.proposal.effective_from
    price = comparison.before.price(model, moment)
    assert price is not None and price.value is not None
    unit_costs = price.value.band(0, moment).unit_costs

    def prices(markup: Decimal | None) -> Mapping[TokenClass, Decimal] | None:
        return None if markup is None else unit_prices(unit_costs, markup=markup, exchange_rate=exchange_rate)

    return Example(model=model.slug, before=prices(change.before), after=prices(change.after))
