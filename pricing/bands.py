"""Which unit costs a call gets: a base list, overrides (long context, hours, weekdays), fallbacks for the rest.

`catalog` keeps one `PriceSheet` per cost price; the band's name goes into the applied rate, so that a charge can tell
which conditions it met.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

from pricing.exact import ZERO
from pricing.tokens import TokenClass

BASE = "base"
MINUTES_A_DAY = 24 * 60

# Each class falls back on one that stands before it in this order, so a single pass completes a list.
# AUDIO_CACHE_READ is the exception that `complete` decides.
_FALLBACKS = (
    (TokenClass.CACHE_READ, TokenClass.INPUT),
    (TokenClass.CACHE_WRITE, TokenClass.INPUT),
    (TokenClass.CACHE_WRITE_1H, TokenClass.CACHE_WRITE),
    (TokenClass.REASONING, TokenClass.OUTPUT),
    (TokenClass.AUDIO_INPUT, TokenClass.INPUT),
    (TokenClass.AUDIO_OUTPUT, TokenClass.OUTPUT),
    (TokenClass.IMAGE_INPUT, TokenClass.INPUT),
    (TokenClass.IMAGE_OUTPUT, TokenClass.OUTPUT),
)
# The tokens of an attached image are in the prompt, and a call costs what its tokens cost. A search has nothing that stands
# for it: unlisted, it has no price.
_FREE_UNLESS_LISTED = (TokenClass.IMAGES, TokenClass.REQUESTS)


class IncompletePrice(ValueError):
    """A price list without the two prices that every model must have: input and output."""


class InvalidCondition(ValueError):
    """An override whose condition cannot be evaluated: half a window, an hour after midnight, an eighth weekday."""


def complete(unit_costs: Mapping[TokenClass, Decimal]) -> dict[TokenClass, Decimal]:
    """Give every kind of token a unit cost, so that no count is ever priced at nothing by omission.

    Cached and modal tokens fall back on their plain kind, cached audio on audio if that is listed, else on cache reads.
    Images and requests cost nothing unless listed; searches are left out unless listed, so that a usage with searches
    waits, unrated. The order of the result is that of `TokenClass`.
    Raises `IncompletePrice`.
    """
    for required in (TokenClass.INPUT, TokenClass.OUTPUT):
        if required not in unit_costs:
            raise IncompletePrice(f"no unit cost for {required.value}")
    costs = dict(unit_costs)
    for token_class, substitute in _FALLBACKS:
        costs.setdefault(token_class, costs[substitute])
    for token_class in _FREE_UNLESS_LISTED:
        costs.setdefault(token_class, ZERO)
    cached_audio = TokenClass.AUDIO_INPUT if TokenClass.AUDIO_INPUT in unit_costs else TokenClass.CACHE_READ
    costs.setdefault(TokenClass.AUDIO_CACHE_READ, costs[cached_audio])
    return {token_class: costs[token_class] for token_class in TokenClass if token_class in costs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Unit costs that replace the base ones, key by key, while every condition given holds. `None` is no condition.

    `utc_start` and `utc_end` are minutes since midnight UTC, both or neither, and mean the half-open window [start,
    end). A start after the end wraps past midnight; a start equal to the end is the whole day. `utc_days` (ISO, Monday
    is 1) are looked up with the instant's own UTC date, as OpenRouter does: of a window from 22:00 to 02:00 on
    Fridays, the two parts are 00:00-02:00 and 22:00-24:00 of Friday; what follows midnight on Saturday is not in it.
    """

    min_prompt_tokens: int | None = None
    utc_start: int | None = None
    utc_end: int | None = None
    utc_days: frozenset[int] | None = None
    unit_costs: Mapping[TokenClass, Decimal]

    def __post_init__(self) -> None:
        if (self.utc_start is None) != (self.utc_end is None):
            raise InvalidCondition("a window needs both its start and its end")
        for name, minute in (("utc_start", self.utc_start), ("utc_end", self.utc_end)):
            if minute is not None and not 0 <= minute <= MINUTES_A_DAY:
                raise InvalidCondition(f"{name} {minute} is not a minute of the day")
        if self.utc_days is not None and not self.utc_days <= _WEEKDAYS:
            raise InvalidCondition(f"utc_days {sorted(self.utc_days)} are not ISO weekdays")
        object.__setattr__(self, "unit_costs", MappingProxyType(dict(self.unit_costs)))

    def applies(self, prompt_tokens: int, at: datetime) -> bool:
        """Whether a call with this prompt, caches included, at this aware instant meets every condition."""
        if self.min_prompt_tokens is not None and prompt_tokens <= self.min_prompt_tokens:
            return False
        moment = _utc(at)
        if self.utc_days is not None and moment.isoweekday() not in self.utc_days:
            return False
        if self.utc_start is None or self.utc_end is None:
            return True
        minute = moment.hour * 60 + moment.minute
        if self.utc_start < self.utc_end:
            return self.utc_start <= minute < self.utc_end
        return minute >= self.utc_start or minute < self.utc_end


@dataclass(frozen=True, slots=True)
class Band:
    """The completed unit costs of one combination of overrides; `name` is "base", or their indices: "0", "0+2"."""

    name: str
    unit_costs: Mapping[TokenClass, Decimal]


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """The unit costs of one model at one time, in the upstream's currency per token (or image, search, request).

    Raises `IncompletePrice` when made without an input or output cost.
    """

    base: Mapping[TokenClass, Decimal]
    overrides: tuple[Override, ...] = ()
    # Bands that calls have met so far. A sheet is shared between threads: two that add one at once add equal ones.
    _bands: dict[tuple[int, ...], Band] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", MappingProxyType(dict(self.base)))
        object.__setattr__(self, "overrides", tuple(self.overrides))
        self._combined(())

    def band(self, prompt_tokens: int, at: datetime) -> Band:
        """The band of a call: of the overrides that apply, later ones win key by key; then the fallbacks fill in.

        `prompt_tokens` is the whole prompt, caches included; the band prices the whole call. `at` is aware.
        """
        if not self.overrides:
            return self._bands[()]
        applied = tuple(index for index, override in enumerate(self.overrides) if override.applies(prompt_tokens, at))
        return self._bands.get(applied) or self._combined(applied)

    def named_band(self, name: str) -> Band:
        """The band that `Band.name` calls so. Raises `ValueError` for a name that this sheet cannot have given."""
        applied = () if name == BASE else tuple(int(index) for index in name.split("+"))
        if any(not 0 <= index < len(self.overrides) for index in applied):
            raise ValueError(f"{name!r} is not a band of this price sheet")
        return self._combined(applied)

    def highest_unit_costs(self) -> dict[TokenClass, Decimal]:
        """The most each class can cost under any combination of overrides: the prices of a worst case.

        A class without a price in any of them has none here.

        Looking at each override alone is enough. What a combination charges for a class comes from one list: the last
        that names the class, or the substitute it falls back on; and that list, alone, charges the same.
        """
        bands = [self._combined(applied).unit_costs for applied in [(), *((i,) for i in range(len(self.overrides)))]]
        return {
            token_class: max(costs[token_class] for costs in bands if token_class in costs)
            for token_class in TokenClass
            if any(token_class in costs for costs in bands)
        }

    def _combined(self, applied: tuple[int, ...]) -> Band:
        costs = dict(self.base)
        for index in applied:
            costs.update(self.overrides[index].unit_costs)
        name = "+".join(map(str, applied)) or BASE
        return self._bands.setdefault(applied, Band(name, MappingProxyType(complete(costs))))


_WEEKDAYS = frozenset(range(1, 8))


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return at.astimezone(UTC)
