"""From the `pricing` object of OpenRouter's model list to a `PriceSheet`: where price text becomes a number.

`catalog` calls this when it takes in the feed, and keeps the raw text beside the result. A price that cannot be read
is an error, never 0: what to do with it (quarantine) and whether to believe a plausible one is decided there.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal

from pricing.bands import InvalidCondition, Override, PriceSheet
from pricing.exact import EXACT, ONE, ZERO, exact_product, parse_decimal
from pricing.rating import COST_DECIMALS
from pricing.tokens import TokenClass

# USD per token, except: `image` per input image, `web_search` per search, `request` per request.
CLASS_OF_KEY: Mapping[str, TokenClass] = {
    "prompt": TokenClass.INPUT,
    "completion": TokenClass.OUTPUT,
    "input_cache_read": TokenClass.CACHE_READ,
    "input_cache_write": TokenClass.CACHE_WRITE,
    "input_cache_write_1h": TokenClass.CACHE_WRITE_1H,
    "internal_reasoning": TokenClass.REASONING,
    "audio": TokenClass.AUDIO_INPUT,
    "input_audio_cache": TokenClass.AUDIO_CACHE_READ,
    "audio_output": TokenClass.AUDIO_OUTPUT,
    "image_token": TokenClass.IMAGE_INPUT,
    "image_output": TokenClass.IMAGE_OUTPUT,
    "image": TokenClass.IMAGES,
    "web_search": TokenClass.SEARCHES,
    "request": TokenClass.REQUESTS,
}
CONDITION_KEYS = frozenset({"min_prompt_tokens", "utc_start", "utc_end", "utc_days"})
WEEKDAY_OF_NAME: Mapping[str, int] = {
    "monday": 1,
    "tuesday": 2,
    "wednesday": 3,
    "thursday": 4,
    "friday": 5,
    "saturday": 6,
    "sunday": 7,
}
MAX_UNIT_COST = Decimal(1_000_000)  # USD; a feed that says more is broken, and NUMERIC(38,20) must hold the amounts

_ROUTER = Decimal(-1)
_COST_STEP = Decimal(1).scaleb(-COST_DECIMALS)
_ROUNDING = Context(prec=80, rounding=ROUND_HALF_EVEN)


class InvalidPrice(ValueError):
    """A price, discount or condition that cannot be read or believed. `key` names it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key


class NegativePrice(InvalidPrice):
    """A number, but one below 0 that does not mean a router."""


def parse_openrouter_pricing(pricing: Mapping[str, object]) -> PriceSheet | None:
    """Read a `pricing` object; `None` for a router or alias, whose prompt or completion price reads -1.

    Costs are net of `discount` (a fraction that applies to every key) and rounded half-even to 12 decimals. Keys that
    we do not know are left out; an override with a condition that we do not know is skipped; `null` is the same as
    absent. Raises `InvalidPrice`, and `IncompletePrice` when prompt or completion is absent.
    """
    if any(_is_router_price(key, pricing.get(key)) for key in ("prompt", "completion")):
        return None
    net_share = EXACT.subtract(ONE, _discount(pricing.get("discount")))
    entries = pricing.get("overrides")
    if entries is None:
        entries = ()
    if not isinstance(entries, list | tuple):
        raise InvalidPrice("overrides", "is not a list")
    return PriceSheet(
        base=_unit_costs(pricing, net_share),
        overrides=tuple(
            _override(conditions, net_share) for conditions in map(_entry, entries) if _is_known(conditions)
        ),
    )


def _is_router_price(key: str, price: object) -> bool:
    return isinstance(price, str) and _number(key, price) == _ROUTER


def _unit_costs(prices: Mapping[str, object], net_share: Decimal) -> dict[TokenClass, Decimal]:
    costs = {
        token_class: _unit_cost(key, prices[key], net_share)
        for key, token_class in CLASS_OF_KEY.items()
        if prices.get(key) is not None
    }
    # The feed writes 0 here for models whose reasoning is charged as output, which is nearly all of them. Left out, the
    # class falls back on output.
    if costs.get(TokenClass.REASONING) == ZERO:
        del costs[TokenClass.REASONING]
    return costs


def _unit_cost(key: str, price: object, net_share: Decimal) -> Decimal:
    if not isinstance(price, str):
        raise InvalidPrice(key, f"a price is a string, not {type(price).__name__}")
    gross = _number(key, price)
    if gross.is_signed():
        raise NegativePrice(key, f"{price} is negative")
    if gross > MAX_UNIT_COST:
        raise InvalidPrice(key, f"{price} is more than {MAX_UNIT_COST} USD a unit")
    net = exact_product(gross, net_share)
    cost = net.quantize(_COST_STEP, context=_ROUNDING)
    if net and not cost:
        raise InvalidPrice(key, f"{price} would be rounded to nothing")
    return cost


def _discount(discount: object) -> Decimal:
    """The feed sends a JSON number. Parsed as a float, its text still has the digits that were sent."""
    if discount is None:
        return ZERO
    if isinstance(discount, bool) or not isinstance(discount, int | float | Decimal | str):
        raise InvalidPrice("discount", "is not a number")
    fraction = _number("discount", str(discount))
    if not ZERO <= fraction <= ONE:
        raise InvalidPrice("discount", f"{discount} is not a fraction between 0 and 1")
    return fraction


def _entry(entry: object) -> dict[str, object]:
    if not isinstance(entry, Mapping):
        raise InvalidPrice("overrides", "an entry is not an object")
    return {key: value for key, value in entry.items() if value is not None}


def _is_known(entry: Mapping[str, object]) -> bool:
    """Whether every condition can be evaluated. A key that is no price is taken for one; a strange weekday is one."""
    days = entry.get("utc_days", [])
    if not isinstance(days, list | tuple):
        raise InvalidPrice("utc_days", "is not a list")
    return entry.keys() <= CLASS_OF_KEY.keys() | CONDITION_KEYS and all(day in WEEKDAY_OF_NAME for day in days)


def _override(entry: Mapping[str, object], net_share: Decimal) -> Override:
    days = entry.get("utc_days")
    try:
        return Override(
            min_prompt_tokens=_whole("min_prompt_tokens", entry.get("min_prompt_tokens")),
            utc_start=_minute_of_day("utc_start", entry.get("utc_start")),
            utc_end=_minute_of_day("utc_end", entry.get("utc_end")),
            utc_days=frozenset(WEEKDAY_OF_NAME[day] for day in days) if isinstance(days, list | tuple) else None,
            unit_costs=_unit_costs(entry, net_share),
        )
    except InvalidCondition as fault:
        raise InvalidPrice("overrides", str(fault)) from fault


def _minute_of_day(key: str, clock: object) -> int | None:
    """Minutes since midnight of an HHMM number: 30 is 00:30, 1030 is 10:30, 2400 is the day's end."""
    number = _whole(key, clock)
    if number is None:
        return None
    hour, minute = divmod(number, 100)
    if minute > 59 or not 0 <= number <= 2400:
        raise InvalidPrice(key, f"{number} is not a time of day (HHMM)")
    return hour * 60 + minute


def _whole(key: str, number: object) -> int | None:
    """A condition's number. JSON does not tell 200000 from 200000.0, and OpenRouter declares these as floats."""
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal | str):
        raise InvalidPrice(key, "is not a number")
    value = _number(key, str(number))
    if value != value.to_integral_value():
        raise InvalidPrice(key, f"{number} is not a whole number")
    return int(value)


def _number(key: str, text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except ValueError as fault:
        raise InvalidPrice(key, str(fault)) from fault
