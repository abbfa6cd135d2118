"""Readers see why a model has two lines of the same kind: on paper, on the page and over REST, in both languages."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import Client

from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.documents import open_document
from billing.line_notes import conditions_text, notes_of
from billing.models import Invoice
from billing.sellers import set_seller
from catalog.rate_details import ExchangeDetails, RateDetails
from ledger.models import BillingPeriod
from pricing.band_conditions import BandConditions, Window
from pricing.tokens import TokenClass, TokenUsage
from tests import stories
from tests.billing.papers import pages, rate, squeezed
from tests.stories import NOON, SELLER, use

SEOUL = ZoneInfo("Asia/Seoul")
LONG = "acme-labs/long-context"
LONG_PRICE = {
    "prompt": "0.000001",
    "completion": "0.000004",
    "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000002", "completion": "0.000006"}],
}
OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
DEARER = datetime(2026, 11, 15, tzinfo=UTC)


def notes(rates: dict[int, RateDetails], language: str = "ko") -> list[str]:
    found = notes_of([(None, number) for number in rates], rates, language=language, zone=SEOUL)
    return [found[None, number] for number in rates]


def test_an_ordinary_price_needs_no_note() -> None:
    assert notes({1: rate("a/a"), 2: rate("b/b")}) == ["", ""]


def test_long_prompts_are_named_and_so_are_short_ones_beside_them() -> None:
    short, long = BandConditions(up_to=200_000), BandConditions(above=200_000)
    both = {1: rate(conditions=short), 2: rate(band="0", conditions=long)}
    assert notes(both) == ["프롬프트 200,000 토큰 이하", "프롬프트 200,000 토큰 초과"]
    assert notes(both, "en") == ["prompts up to 200,000 tokens", "prompts over 200,000 tokens"]
    assert notes({2: both[2]}) == ["프롬프트 200,000 토큰 초과"], "alone as well: its price is not the listed one"


@pytest.mark.parametrize(
    ("conditions", "korean", "english"),
    [
        (BandConditions(), "기본 단가", "standard price"),
        (
            BandConditions(above=128_000, up_to=256_000),
            "프롬프트 128,000 토큰 초과 256,000 토큰 이하",
            "prompts over 128,000 and up to 256,000 tokens",
        ),
        (
            BandConditions(windows=(Window(utc_start=990, utc_end=30, utc_days=None),)),
            "16:30–00:30 (UTC)",
            "16:30–00:30 UTC",
        ),
        (
            BandConditions(windows=(Window(utc_start=0, utc_end=1440, utc_days=(1, 5)),)),
            "월·금요일 00:00–24:00 (UTC)",
            "Mon, Fri 00:00–24:00 UTC",
        ),
        (
            BandConditions(above=10, windows=(Window(utc_start=None, utc_end=None, utc_days=(7,)),)),
            "프롬프트 10 토큰 초과 · 일요일 (UTC)",
            "prompts over 10 tokens · Sun (UTC)",
        ),
    ],
    ids=["none", "between", "hours", "hours on days", "prompt and days"],
)
def test_conditions_in_both_languages(conditions: BandConditions, korean: str, english: str) -> None:
    assert (conditions_text(conditions, "ko"), conditions_text(conditions, "en")) == (korean, english)


def test_a_price_change_names_the_days() -> None:
    later = rate(
        cost_price_id=2,
        price_since=datetime(2026, 10, 14, 15, tzinfo=UTC),
        unit_prices={TokenClass.INPUT: Decimal("0.000066")},
    )
    assert notes({1: rate(), 2: later}) == ["단가 적용일 2026.01.01 09:00", "단가 적용일 2026.10.15"]
    assert notes({1: rate(), 2: later}, "en")[1] == "price effective 2026-10-15"


def test_a_price_that_was_published_anew_unchanged_says_so() -> None:
    anew = rate(cost_price_id=2, price_since=datetime(2026, 10, 18, 15, tzinfo=UTC))
    both = {1: rate(), 2: anew}
    assert notes(both) == ["단가 적용일 2026.01.01 09:00", "단가 변동 없음, 2026.10.19부터 새 가격표"]
    assert notes(both, "en") == ["price effective 2026-01-01 09:00", "same price, newly published 2026-10-19"]
    prices = {TokenClass.INPUT: Decimal("0.000072")}
    dearer = rate(cost_price_id=2, markup_rule_id=2, price_since=anew.price_since, unit_prices=prices)
    assert notes({1: rate(), 2: dearer})[1].startswith("단가 적용일 2026.10.19"), "a markup made it another price"


def test_a_markup_and_an_exchange_rate_name_themselves() -> None:
    dearer = rate(markup_rule_id=2, markup=Decimal("0.125"), markup_since=datetime(2026, 10, 9, 15, tzinfo=UTC))
    assert notes({1: rate(), 2: dearer})[1] == "마진 12.5% (적용일 2026.10.10)"
    tomorrow = ExchangeDetails(rate=Decimal("1401.2"), source="koreaexim", published_on=date(2026, 10, 31))
    assert notes({1: rate(), 2: rate(exchange=tomorrow)}, "en") == [
        "at ₩1,393.5 (published 2026-10-30)",
        "at ₩1,401.2 (published 2026-10-31)",
    ]


def test_lines_of_other_months_and_models_are_not_compared() -> None:
    two = {1: rate(), 2: rate(cost_price_id=2), 3: rate("other/model", cost_price_id=3)}
    found = notes_of([(None, 1), (date(2026, 9, 1), 2), (None, 3)], two, language="ko", zone=SEOUL)
    assert set(found.values()) == {""}


def test_what_no_words_tell_apart_is_numbered() -> None:
    twins = {7: rate(band="0"), 8: rate(band="1")}
    assert notes(twins) == ["기본 단가 · 단가 번호 7", "기본 단가 · 단가 번호 8"]
    assert notes(twins, "en")[0] == "standard price · rate no. 7"


# -- on a real invoice ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        cast = stories.meet_the_cast(now=NOON)
        set_seller(now=NOON - timedelta(days=90), **SELLER)
        stories.make_model(LONG, now=NOON, pricing=LONG_PRICE)
        yield cast


@pytest.fixture
def invoice(cast: stories.Cast) -> Invoice:
    organization = cast.acme.organization
    for prompt in (200_000, 200_001):
        use(organization, at=OCTOBER, model=LONG, usage=TokenUsage(input_tokens=prompt, output_tokens=1000))
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.for_organization(organization).get()
    invoice = invoicing.close_period(
        organization_id=organization.pk, period_id=period.pk, now=datetime(2026, 11, 2, tzinfo=UTC)
    )
    assert invoice is not None
    return invoice


def test_the_pdf_names_the_band_on_the_line(invoice: Invoice) -> None:
    with tenant_scope([invoice.organization_id]):
        fresh = Invoice.objects.select_related("period").get(pk=invoice.pk)
    page, *_appendix = pages(open_document(fresh, now=NOON))
    for said in ("입력 토큰 프롬프트 200,000 토큰 이하 200,000", "입력 토큰 프롬프트 200,000 토큰 초과 200,001"):
        assert squeezed(said) in page


def test_rest_names_it_for_people_and_for_programs(invoice: Invoice, cast: stories.Cast) -> None:
    answer = Client(headers=cast.acme.headers).get(f"/api/v1/invoices/{invoice.pk}").json()
    said = {line["note"]: answer["applied_rates"][str(line["applied_rate_id"])] for line in answer["lines"]}
    assert list(said) == ["프롬프트 200,000 토큰 이하", "프롬프트 200,000 토큰 초과"]
    assert [rate["conditions"] for rate in said.values()] == [
        {"prompt_tokens_above": None, "prompt_tokens_up_to": 200_000, "windows": []},
        {"prompt_tokens_above": 200_000, "prompt_tokens_up_to": None, "windows": []},
    ]


def test_the_running_month_names_it_too(cast: stories.Cast) -> None:
    use(cast.acme.organization, at=NOON, model=LONG, usage=TokenUsage(input_tokens=300_000, output_tokens=1))
    answer = Client(headers=cast.acme.headers).get("/api/v1/estimates/current").json()
    assert {line["note"] for line in answer["current"]["lines"]} == {"프롬프트 200,000 토큰 초과"}
