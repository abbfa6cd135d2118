"""Decimals as text."""

from decimal import Decimal

import pytest

from pricing.plain_text import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [("66.00000", "66"), ("4E-8", "0.00000004"), ("1E+3", "1000"), ("-0", "0"), ("0E-20", "0"), ("-1.50", "-1.5")],
)
def test_plain(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
