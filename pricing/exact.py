"""The decimal context in which all money is computed: enough digits, and a trap wherever a digit could be lost.

Nothing here depends on the thread's own decimal context, so a library that changes that one cannot change an amount.
"""

import re
from collections.abc import Iterable
from decimal import (
    ROUND_HALF_EVEN,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
    Underflow,
)

# A token count has 10 digits, a unit price 38: there is room for their product and for sums of any length.
EXACT = Context(
    prec=80,
    rounding=ROUND_HALF_EVEN,
    Emin=-999,
    Emax=999,
    traps=[Clamped, DivisionByZero, FloatOperation, Inexact, InvalidOperation, Overflow, Subnormal, Underflow],
)

ZERO = Decimal(0)
ONE = Decimal(1)

MAX_TEXT_LENGTH = 60
_MAX_EXPONENT_DIGITS = 2
_NUMBER = re.compile(rf"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,{_MAX_EXPONENT_DIGITS}}})?")


def exact_product(*factors: Decimal | int) -> Decimal:
    """Multiply without losing a digit; `decimal.Inexact` is raised instead. No factors make 1."""
    product = ONE
    for factor in factors:
        product = EXACT.multiply(product, factor)
    return product


def exact_sum(terms: Iterable[Decimal | int]) -> Decimal:
    """Add without losing a digit, so that the order of the terms never matters; `decimal.Inexact` is raised instead."""
    total = ZERO
    for term in terms:
        total = EXACT.add(total, term)
    return total


def parse_decimal(text: str) -> Decimal:
    """Read a decimal number from a string, strictly.

    Accepts ASCII digits with an optional sign, point and exponent of at most two digits. Refuses what is not a string
    (a float above all), NaN, Infinity, blanks, underscores, digits of other scripts, and texts of more than 60
    characters. Raises `ValueError`.
    """
    if not isinstance(text, str):
        raise ValueError(f"a decimal number must be given as a string, not as {type(text).__name__}")
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"a decimal number has at most {MAX_TEXT_LENGTH} characters; this one has {len(text)}")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a decimal number: {text!r}")
    return Decimal(text)


def decimal_or_none(text: str) -> Decimal | None:
    """What a JSON decoder makes of a fraction or exponent: None for a number that `parse_decimal` refuses, such as 1e200000000.

    A number that nobody can mean is unknown, and its neighbours in the same document can still be read.
    """
    try:
        return parse_decimal(text)
    except ValueError:
        return None


def decimal_places(value: Decimal) -> int:
    """How many places after the point `value` needs; trailing zeros do not count. `ValueError` if not finite."""
    if not value.is_finite():
        raise ValueError(f"{value} is not finite")
    return max(-int(value.normalize(EXACT).as_tuple().exponent), 0)
