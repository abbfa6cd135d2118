"""Money as people read it, on pages and on paper: `₩12,345`, `−$12.34`, grouped by three. Nothing is rounded here.

A currency that we do not bill in is written by its code, with two decimals.
"""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from pricing.totals import MINOR_UNITS

MINUS = "−"
SYMBOLS: Mapping[str, str] = MappingProxyType({"KRW": "₩", "USD": "$"})


def minor_digits(currency: str) -> int:
    return MINOR_UNITS.get(currency, 2)


def grouped(size: Decimal, *, decimals: int = 0) -> str:
    """All digits of `size`, at least so many decimals, without trailing zeros beyond them and without an exponent."""
    whole, _, fraction = f"{size:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole


def with_symbol(text: str, currency: str, *, negative: bool) -> str:
    """`−₩12,345` of the text `12,345`."""
    return f"{MINUS if negative else ''}{SYMBOLS.get(currency, f'{currency} ')}{text}"


def money_in_full(amount: Decimal, currency: str) -> str:
    """Every digit that the amount has, at least the minor unit's: `₩12,345`, `−$12.30`, `₩0.033`."""
    text = grouped(amount.copy_abs(), decimals=minor_digits(currency))
    return with_symbol(text, currency, negative=amount < 0)
