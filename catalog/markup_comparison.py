"""The rules of markup without and with one that is proposed, sale by sale. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from catalog.price_snapshot import Dated, ModelEntry, PriceSnapshot, Target, in_force, targets_of

NOT_STORED = 0
"""The id of a rule that is only proposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A rule that may be set: `markup` (a fraction of cost; None ends the rule) for a target from a moment on."""

    organization_id: int | None = None
    model_id: int | None = None
    provider_slug: str = ""
    markup: Decimal | None
    effective_from: datetime

    @property
    def target(self) -> Target:
        return self.organization_id, self.model_id, self.provider_slug


@dataclass(frozen=True, slots=True)
class Change:
    """A sale's markup before and after; None where no rule covers it."""

    before: Decimal | None
    after: Decimal | None
    is_touched: bool
    is_shadowed: bool


class Comparison:
    """The rules without and with the proposal. Customers without rules of their own are all alike, and looked up once."""

    def __init__(self, snapshot: PriceSnapshot, proposal: Proposal) -> None:
        self.before, self.after, self.proposal = snapshot, with_proposal(snapshot, proposal), proposal
        self._particular = {target[0] for target in self.after.markups} - {None}
        self._known: dict[tuple[int | None, int], Change] = {}

    def of(self, organization_id: int | None, model: ModelEntry) -> Change:
        key = (organization_id if self.has_own(organization_id) else None, model.id)
        if key not in self._known:
            self._known[key] = self._compare(key[0], model)
        return self._known[key]

    def has_own(self, organization_id: int | None) -> bool:
        """Whether there are rules for this customer, the proposal included."""
        return organization_id in self._particular

    def is_about(self, model: ModelEntry) -> bool:
        """Whether the rule is meant for the model at all."""
        return self.proposal.target in targets_of(self.proposal.organization_id, model)

    def _compare(self, organization_id: int | None, model: ModelEntry) -> Change:
        moment = self.proposal.effective_from
        before = self.before.markup(organization_id, model, moment) or (None, None)
        after = self.after.markup(organization_id, model, moment) or (None, None)
        return Change(before[1], after[1], before[0] != after[0], self._is_shadowed(organization_id, model))

    def _is_shadowed(self, organization_id: int | None, model: ModelEntry) -> bool:
        targets = targets_of(organization_id, model)
        if self.proposal.target not in targets:
            return False
        above = targets[: targets.index(self.proposal.target)]
        rules = (in_force(self.after.markups.get(target, ()), self.proposal.effective_from) for target in above)
        return any(rule is not None and rule.value is not None for rule in rules)


def with_proposal(snapshot: PriceSnapshot, proposal: Proposal) -> PriceSnapshot:
    """The snapshot as it would be if the rule were stored."""
    history = snapshot.markups.get(proposal.target, ())
    rule: Dated[Decimal | None] = Dated(NOT_STORED, proposal.effective_from, proposal.markup)
    earlier = [entry for entry in history if entry.since <= proposal.effective_from]
    later = [entry for entry in history if entry.since > proposal.effective_from]
    return replace(snapshot, markups={**snapshot.markups, proposal.target: [*earlier, rule, *later]})
