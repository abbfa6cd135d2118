"""What becomes dearer or cheaper when one price sheet follows another, whatever the call: prompt length, hour, weekday.

Both sheets are constant between the limits that their overrides name, so comparing them once in each of these intervals
compares them everywhere. `catalog` asks before it believes an upstream's new price.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from pricing.bands import MINUTES_A_DAY, PriceSheet
from pricing.exact import ZERO
from pricing.tokens import TokenClass

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAYS_A_WEEK = 7


@dataclass(frozen=True, slots=True)
class CostChange:
    """The unit costs (USD) of one token class before and after; None where it has none, so that its usage waits."""

    token_class: TokenClass
    before: Decimal | None
    after: Decimal | None

    @property
    def share(self) -> Fraction | None:
        """The change as a share of the cost before: 1/2 is half as much again; None if there was nothing to compare with."""
        if not self.before or self.after is None:
            return None
        return Fraction(self.after) / Fraction(self.before) - 1

    @property
    def begins_to_cost(self) -> bool:
        """Whether something that was free is charged from now on."""
        return self.before == ZERO and bool(self.after)

    @property
    def becomes_free(self) -> bool:
        """Whether something that was charged reads 0 from now on."""
        return bool(self.before) and self.after == ZERO

    @property
    def loses_its_cost(self) -> bool:
        """Whether usage that was charged would have to wait for a price."""
        return self.before is not None and self.after is None

    def exceeds(self, limit: Fraction) -> bool:
        """Whether the change is more than `limit` either way. What had no cost at all before exceeds nothing."""
        share = self.share
        if share is None:
            return self.begins_to_cost or self.loses_its_cost
        return abs(share) > limit


def cost_changes(before: PriceSheet, after: PriceSheet) -> list[CostChange]:
    """Of each token class that changes, in the order of `TokenClass`, the greatest change that any call can meet.

    A class that neither sheet names is left out where it only follows the one that it falls back on.
    """
    greatest: dict[TokenClass, CostChange] = {}
    seen = set()
    for prompt_tokens, at in _situations(before, after):
        old, new = before.band(prompt_tokens, at), after.band(prompt_tokens, at)
        if (old.name, new.name) in seen:
            continue
        seen.add((old.name, new.name))
        for token_class in TokenClass:
            change = CostChange(token_class, old.unit_costs.get(token_class), new.unit_costs.get(token_class))
            if change.before != change.after:
                known = greatest.get(token_class)
                greatest[token_class] = change if known is None else max(known, change, key=_weight)
    named = _named(before) | _named(after)
    told = {(change.before, change.after) for token_class, change in greatest.items() if token_class in named}
    return [
        greatest[token_class]
        for token_class in TokenClass
        if token_class in greatest
        and (token_class in named or (greatest[token_class].before, greatest[token_class].after) not in told)
    ]


def _named(sheet: PriceSheet) -> set[TokenClass]:
    return set(sheet.base).union(*(override.unit_costs for override in sheet.overrides))


def _weight(change: CostChange) -> tuple[bool, Fraction]:
    share = change.share
    return (share is None, abs(share) if share is not None else Fraction(0))


def _situations(*sheets: PriceSheet) -> Iterator[tuple[int, datetime]]:
    """One call in each interval of prompt length, hour and weekday between the limits of these sheets."""
    overrides = [override for sheet in sheets for override in sheet.overrides]
    prompts = {0} | {o.min_prompt_tokens + 1 for o in overrides if o.min_prompt_tokens is not None}
    limits = {minute for o in overrides for minute in (o.utc_start, o.utc_end) if minute is not None}
    minutes = sorted({0} | {minute % MINUTES_A_DAY for minute in limits})
    days = range(DAYS_A_WEEK if any(o.utc_days is not None for o in overrides) else 1)
    for prompt in sorted(prompts):
        for day in days:
            for minute in minutes:
                yield prompt, MONDAY + timedelta(days=day, minutes=minute)
