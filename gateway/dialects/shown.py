"""What of an answer its caller sees: all of it, except what the call costs us, and on request what it costs the caller.

Only the fields around `usage` are taken apart; everything else is passed on byte for byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from pricing.plain_text import plain

OUR_COST = ("cost", "cost_details", "is_byok")
"""What the call costs us upstream is not the caller's price."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call was charged, before tax: exactly the recorded amount, in the billing currency."""

    amount: Decimal
    currency: str


def for_caller(data: bytes, *, with_usage: bool = True, cost: Cost | None = None) -> bytes:
    """An answer or chunk without what the upstream charges us, or without usage altogether; `cost` is put into its usage."""
    try:
        frame = _fields(data)
        raw = frame.get("usage")
        if raw is None:
            return data
        if not with_usage:
            del frame["usage"]
            return _encode(frame)
        if bytes(raw) == b"null":
            return data
        usage = _fields(raw)
    except ValueError:
        return data  # not an object, or its usage is none
    if cost is None and not any(name in usage for name in OUR_COST):
        return data
    frame["usage"] = msgspec.Raw(_encode(_shown_usage(usage, cost)))
    return _encode(frame)


def _shown_usage(usage: Mapping[str, msgspec.Raw], cost: Cost | None) -> dict[str, object]:
    shown: dict[str, object] = {name: value for name, value in usage.items() if name not in OUR_COST}
    if cost is not None:
        shown |= {"cost": plain(cost.amount), "cost_currency": cost.currency}
    return shown
