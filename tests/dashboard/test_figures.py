"""How figures are written: rounding only for the eye, in both languages, unknown is never zero."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from dashboard.templatetags import figures


def test_what_is_known_to_the_hour_is_written_so() -> None:
    with timezone.override("Asia/Seoul"):
        moment = datetime(2026, 11, 22, 14, tzinfo=UTC)
        with translation.override("ko"):
            assert figures.table_hour(moment) == "2026.11.22 23시경"
        with translation.override("en"):
            assert figures.table_hour(moment) == "2026-11-22, about 23:00"


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (Decimal("12345"), "KRW", "₩12,345"),
        (Decimal("12345.5"), "KRW", "₩12,346"),
        (Decimal("12344.4999"), "KRW", "₩12,344"),
        (Decimal("-1234"), "KRW", "−₩1,234"),
        (Decimal("0"), "KRW", "₩0"),
        (Decimal("0.033"), "KRW", "₩0.033"),
        (Decimal("0.4999"), "KRW", "₩0.5"),
        (Decimal("12.345"), "USD", "$12.35"),
        (Decimal("0.0004"), "USD", "$0.0004"),
        (Decimal("1234.5"), "USD", "$1,234.50"),
        (Decimal("7"), "CHF", "CHF 7.00"),
        ("66.00000000000000000000", "KRW", "₩66"),
        (None, "KRW", "–"),
        ("", "KRW", "–"),
    ],
)
def test_money(value: Decimal | str | None, currency: str, text: str) -> None:
    assert figures.money(value, currency) == text


@given(st.decimals(min_value=Decimal("1e-20"), max_value=Decimal("1e17"), places=20))
def test_a_positive_amount_is_never_shown_as_zero(amount: Decimal) -> None:
    digits = figures.money(amount).lstrip("₩").replace(",", "")
    assert Decimal(digits) > 0
    assert abs(Decimal(digits) - amount) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (Decimal("33.00000"), "KRW", "₩33"),
        (Decimal("90112.44710000"), "KRW", "₩90,112.4471"),
        (Decimal("1393.5000"), "KRW", "₩1,393.5"),
        (Decimal("0.04"), "USD", "$0.04"),
        (Decimal("1"), "USD", "$1.00"),
        (Decimal("0.00000000000000000001"), "KRW", "₩0.00000000000000000001"),
        (Decimal("-0.5"), "KRW", "−₩0.5"),
    ],
)
def test_money_exact(value: Decimal, currency: str, text: str) -> None:
    assert figures.money_exact(value, currency) == text


@given(st.decimals(min_value=0, max_value=Decimal("1e17"), places=20))
def test_exact_money_loses_nothing(amount: Decimal) -> None:
    assert Decimal(figures.money_exact(amount).lstrip("₩").replace(",", "")) == amount


def test_money_titled_carries_the_exact_amount() -> None:
    assert figures.money_titled(Decimal("90112.4471")) == (
        '<data class="number" value="90112.4471" title="₩90,112.4471">₩90,112</data>'
    )
    assert figures.money_titled(None) == '<span class="number">–</span>'


@pytest.mark.parametrize(
    ("price", "currency", "text"),
    [
        (Decimal("0.00000004"), "USD", "$0.040"),
        ("0.000000100000", "USD", "$0.100"),
        (Decimal("0.000015"), "USD", "$15.000"),
        (Decimal("0.000000012345"), "USD", "$0.012345"),
        (Decimal("0"), "USD", "$0.000"),
        (Decimal("0.000066"), "KRW", "₩66"),
        (Decimal("0.0001655"), "KRW", "₩165.5"),
        (None, "USD", "–"),
    ],
)
def test_cost_per_million(price: Decimal | str | None, currency: str, text: str) -> None:
    assert figures.cost_per_million(price, currency) == text


def test_price_text_is_for_prices_of_their_own_unit() -> None:
    assert figures.price_text("0.0045") == "$0.0045"
    assert figures.price_text(None) == "–"


@pytest.mark.parametrize(("count", "text"), [(512340, "512,340"), (0, "0"), (None, "–"), (-3, "−3")])
def test_tokens(count: int | None, text: str) -> None:
    assert figures.tokens(count) == text


@pytest.mark.parametrize(
    ("count", "korean", "english"),
    [
        (9_999, "9,999", "9,999"),
        (12_345, "1.2만", "12.3K"),
        (512_340, "51.2만", "512.3K"),
        (1_234_567, "123만", "1.2M"),
        (123_411_336, "1억 2,341만", "123.4M"),
        (200_000_000, "2억", "200M"),
        (1_500_000_000_000, "1조 5,000억", "1,500B"),
        (None, "–", "–"),
    ],
)
def test_tokens_compact(count: int | None, korean: str, english: str) -> None:
    with translation.override("ko"):
        assert figures.tokens_compact(count) == korean
    with translation.override("en"):
        assert figures.tokens_compact(count) == english


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (131_072, "131K"),
        (2_000_000, "2.0M"),
        (1_048_576, "1.0M"),
        (200_000, "200K"),
        (8_192, "8K"),
        (512, "512"),
        (None, "–"),
    ],
)
def test_short_context(length: int | None, text: str) -> None:
    assert figures.short_context(length) == text


@pytest.mark.parametrize(
    ("ratio", "digits", "text"),
    [("0.1", 1, "10%"), ("0.1234", 1, "12.3%"), ("0.0833", 2, "8.33%"), ("-0.05", 1, "−5%"), (None, 1, "–")],
)
def test_percent(ratio: str | None, digits: int, text: str) -> None:
    assert figures.percent(ratio, digits) == text


def test_dates_in_tables_and_prose() -> None:
    day = date(2026, 11, 2)
    with translation.override("ko"):
        assert figures.table_date(day) == "2026.11.02"
        assert figures.prose_date(day) == "2026년 11월 2일"
        assert figures.prose_month(day) == "2026년 11월"
    with translation.override("en"):
        assert figures.table_date(day) == "2026-11-02"
        assert figures.prose_date(day) == "November 2, 2026"
        assert figures.prose_month(day) == "November 2026"
    assert figures.table_date(None) == figures.prose_date(None) == "–"


def test_a_moment_is_shown_in_the_zone_of_the_reader() -> None:
    moment = datetime(2026, 10, 31, 15, 30, tzinfo=UTC)
    with translation.override("ko"), timezone.override("Asia/Seoul"):
        assert figures.table_time(moment) == "2026.11.01 00:30"
        assert figures.prose_month(moment) == "2026년 11월"
        assert figures.iso(moment) == "2026-11-01T00:30:00+09:00"
    with translation.override("ko"), timezone.override("UTC"):
        assert figures.table_time(moment) == "2026.10.31 15:30"
