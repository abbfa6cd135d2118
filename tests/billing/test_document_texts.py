"""Figures and words of documents, in both languages."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from billing.papers import document_texts as texts
from pricing.tokens import TokenClass


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("1358023", "KRW", "₩1,358,023"),
        ("1358023.00", "KRW", "₩1,358,023"),
        ("0", "KRW", "₩0"),
        ("-5000.00", "KRW", "−₩5,000"),
        ("0.033", "KRW", "₩0.033"),
        ("12.3", "USD", "$12.30"),
        ("1234567.00", "USD", "$1,234,567.00"),
        ("-0.0385", "USD", "−$0.0385"),
    ],
)
def test_money(amount: str, currency: str, written: str) -> None:
    assert texts.money(Decimal(amount), currency) == written


@pytest.mark.parametrize(
    ("price", "token_class", "currency", "language", "written"),
    [
        ("0.00006600000000000000", "input", "KRW", "ko", "₩66 / 1M"),
        ("0.0001072995", "output", "KRW", "en", "₩107.2995 / 1M"),
        ("0.00000004455", "input", "USD", "en", "$0.04455 / 1M"),
        ("55", "searches", "KRW", "ko", "₩55 / 1건"),
        ("0.0385", "images", "USD", "en", "$0.0385 / 1 piece"),
    ],
)
def test_unit_prices_can_be_multiplied_again(
    price: str, token_class: str, currency: str, language: str, written: str
) -> None:
    assert texts.unit_price(Decimal(price), token_class, currency, language) == written


def test_the_exchange_rate_is_written_as_custom_has_it() -> None:
    rate = {"base": "USD", "quote": "KRW", "rate": "1393.5000", "source": "koreaexim", "published_on": "2026-10-30"}
    assert texts.exchange_rate(rate, "ko") == "1 USD = 1,393.50원 (서울외국환중개 매매기준율, 2026-10-30 고시)"
    assert texts.exchange_rate(rate, "en") == (
        "1 USD = 1,393.50 KRW (Seoul Money Brokerage basic rate, published 2026-10-30)"
    )
    unknown = rate | {"source": "house rate", "rate": "1393.5125"}
    assert texts.exchange_rate(unknown, "ko") == "1 USD = 1,393.5125원 (house rate, 2026-10-30 고시)"


def test_dates_and_numbers_in_both_languages() -> None:
    moment = date(2026, 11, 2)
    assert [texts.day(moment, language) for language in ("ko", "en")] == ["2026.11.02", "2026-11-02"]
    assert [texts.prose_day(moment, language) for language in ("ko", "en")] == ["2026년 11월 2일", "November 2, 2026"]
    assert [texts.month(moment, language) for language in ("ko", "en")] == ["2026년 11월", "November 2026"]
    assert texts.quantity(Decimal(512_340), "input", "ko") == "512,340"
    assert texts.quantity(Decimal(-12), "searches", "ko") == "−12건"
    assert (texts.percent(Decimal("0.1000")), texts.percent(Decimal("0.0750"))) == ("10%", "7.5%")
    assert texts.registration_number("2208162517") == texts.registration_number("220-81-62517") == "220-81-62517"


@pytest.mark.parametrize(
    ("zone", "korean", "english"),
    [
        ("Asia/Seoul", "2026년 12월 1일 00:05", "December 1, 2026, 00:05 KST"),
        ("UTC", "2026년 11월 30일 15:05(UTC)", "November 30, 2026, 15:05 UTC"),
        ("America/Sao_Paulo", "2026년 11월 30일 12:05(UTC-03:00)", "November 30, 2026, 12:05 UTC-03:00"),
    ],
)
def test_moments_in_both_languages_name_their_zone(zone: str, korean: str, english: str) -> None:
    moment = datetime(2026, 11, 30, 15, 5, tzinfo=UTC).astimezone(ZoneInfo(zone))
    assert [texts.prose_moment(moment, language) for language in ("ko", "en")] == [korean, english]


def test_every_word_has_both_languages_with_the_same_places_to_fill() -> None:
    places = re.compile(r"\{\w+\}")
    for name, (korean, english) in texts.WORDS.items():
        assert set(places.findall(korean)) == set(places.findall(english)) - {"{unit}"} | (
            set(places.findall(korean)) & {"{unit}"}
        ), name
        assert korean and english
    assert set(texts.TOKEN_CLASSES) == set(TokenClass)
