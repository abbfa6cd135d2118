"""One way of writing money, for pages and for paper."""

from decimal import Decimal

import pytest

from billing.papers import document_texts
from dashboard.templatetags import figures
from pricing.money_text import grouped, money_in_full


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("12345", "KRW", "₩12,345"),
        ("12345.67800", "KRW", "₩12,345.678"),
        ("-12.3", "USD", "−$12.30"),
        ("0.033", "KRW", "₩0.033"),
        ("0.00", "USD", "$0.00"),
        ("1E+3", "KRW", "₩1,000"),
    ],
)
def test_pages_and_documents_write_the_same(amount: str, currency: str, text: str) -> None:
    exact = Decimal(amount)
    assert text == money_in_full(exact, currency) == document_texts.money(exact, currency)
    assert text == figures.money_exact(exact, currency)


def test_grouped_keeps_at_least_so_many_decimals() -> None:
    assert (grouped(Decimal("1234.50")), grouped(Decimal(66), decimals=3)) == ("1,234.5", "66.000")
