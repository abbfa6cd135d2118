"""A decimal as the API and exports write it: fixed point, no exponent, no zeros that say nothing."""

from decimal import Decimal

from pricing.exact import EXACT, ZERO


def plain(value: Decimal) -> str:
    """`value` exactly: 66 for 66.00000, 0.00000004 for 4E-8, 0 for -0. Raises `decimal.Inexact` beyond 80 digits."""
    return format(value.normalize(EXACT), "f") if value else format(ZERO, "f")
