"""Amounts in a currency's smallest unit: what may be charged, what it costs, how it is shown."""

from sandbox.payments.errors import ApiError
from sandbox.payments.forms import Params

# The won has no smaller unit: 500 is ₩500. Amounts below the minimum are refused.
MINIMUM = {"krw": 100, "usd": 50, "eur": 50, "jpy": 50}
WITHOUT_CENTS = ("krw", "jpy")
MAXIMUM = 99_999_999
SIGNS = {"krw": "₩", "usd": "$", "eur": "€", "jpy": "¥"}


def read_currency(params: Params, name: str = "currency") -> str:
    currency = params.required(name).lower()
    if currency not in MINIMUM:
        raise ApiError(f"Invalid currency: {currency}", param=name)
    return currency


def check_amount(amount: int | None, currency: str, *, param: str = "amount") -> int:
    if amount is None:
        raise ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)
    if amount < MINIMUM[currency]:
        least = show(MINIMUM[currency], currency)
        raise ApiError(f"Amount must be at least {least} {currency}", code="amount_too_small", param=param)
    if amount > MAXIMUM:
        most = show(MAXIMUM, currency)
        raise ApiError(f"Amount must be no more than {most} {currency}", code="amount_too_large", param=param)
    return amount


def fee(amount: int, currency: str) -> int:
    """What the processor keeps of a charge: 3.6 %, rounded down, and a fixed part."""
    return amount * 36 // 1000 + (400 if currency in WITHOUT_CENTS else 30)


def show(amount: int, currency: str) -> str:
    sign = SIGNS.get(currency, "")
    return f"{sign}{amount:,}" if currency in WITHOUT_CENTS else f"{sign}{amount / 100:,.2f}"
