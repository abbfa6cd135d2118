"""An operator supposes other prices and watches the month being replayed; a proposal of a credit note is there to read."""

import html
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from billing.models import CreditNoteProposal, Invoice
from billing.replay import rerating
from billing.terms import set_terms
from catalog import price_book
from catalog.markups import set_markup
from catalog.publishing import LEAD
from console.months import ZONE, month_of
from metering.models import UsageEvent
from tests import stories
from tests.stories import DEVSTRAL, Cast, use


@pytest.fixture
def month(cast: Cast, now: datetime) -> str:
    """Acme and globex used the same this month."""
    for company in (cast.acme, cast.globex):
        use(company.organization, at=now, usage=stories.TokenUsage(input_tokens=500_000_000))
    return month_of(now).name


def watch(client: Client, query: dict[str, Any]) -> list[str]:
    """The page and then its parts, each asked for by the one before, in English."""
    client.cookies["invoicedream_language"] = "en"
    page = client.get("/simulation/", query)
    assert page.status_code == 200, page.context["form"].errors
    texts = [page.content.decode()]
    while found := re.search(r'hx-get="(/simulation/part/[^"]+)"', texts[-1]):
        part = client.get(html.unescape(found[1]))
        assert part.status_code == 200
        texts.append(part.content.decode())
    return texts


def test_customer_by_customer_with_progress_and_sums(operator: Client, month: str) -> None:
    page, first, last = watch(operator, {"month": month, "percent": "25"})
    assert "0 of 2 customers replayed" in page
    assert "Acme" in first and "₩36,300" in first and "₩41,250" in first and "1 of 2 customers replayed" in first
    assert "Globex" in last and "₩72,600" in last and "₩82,500" in last and "₩9,900" in last
    assert UsageEvent.objects.count() == 2


def test_what_was_agreed_is_replayed_too(operator: Client, cast: Cast, month: str, now: datetime) -> None:
    set_terms(
        organization=cast.acme.organization,
        month=now.astimezone(ZONE).date(),
        minimum_fee=Decimal(10_000_000),
        discount=Decimal("0.1"),
        zero_invoices="with_usage",
        reviewed=False,
        reason="Contract 7",
        actor=None,
        now=now,
    )
    _page, part = watch(operator, {"month": month, "organization": "acme", "percent": "25"})
    assert "Minimum fee" in part and "Discount" in part and "−₩3,300" in part and "−₩3,750" in part


def test_a_price_and_a_rate_for_one_customer(operator: Client, month: str) -> None:
    query = {"month": month, "organization": "acme", "price": f"{DEVSTRAL}=0.08:0.08", "exchange_rate": "750"}
    _page, part = watch(operator, query)
    assert "Globex" not in part and "$20.00" in part and "$40.00" in part and DEVSTRAL in part


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "Suppose something"),
        ({"percent": "5", "model": "no/such"}, "No model has this ID"),
        ({"price": "nonsense"}, "write a price as"),
        ({"model": DEVSTRAL}, "Say which markup"),
    ],
    ids=["nothing", "model", "price", "markup"],
)
def test_what_cannot_be_supposed_is_said(operator: Client, month: str, query: dict[str, str], message: str) -> None:
    operator.cookies["invoicedream_language"] = "en"
    page = operator.get("/simulation/", {"month": month} | query)
    assert page.status_code == 422
    assert message in page.content.decode()
    assert operator.get("/simulation/part/", {"month": month, "percent": "5", "at": "forged"}).status_code == 400


def test_figures_that_would_end_other_prices_are_asked_about(operator: Client, month: str, now: datetime) -> None:
    rich = {
        "prompt": "0.000001",
        "completion": "0.000002",
        "web_search": "0.01",
        "overrides": [{"prompt": "0.000002", "completion": "0.000004", "min_prompt_tokens": 200_000}],
    }
    slug = stories.make_model("acme-labs/rich", now=now, pricing=rich).slug
    query = {"month": month, "price": f"{slug}=1:2"}
    for language, words in {
        "en": ("also has: Web searches; prompts over 200,000 tokens", "tick the box"),
        "ko": ("웹 검색; 프롬프트 200,000 토큰 초과", "아래 상자를 선택해 주십시오"),
    }.items():
        operator.cookies["invoicedream_language"] = language
        page = operator.get("/simulation/", query)
        assert page.status_code == 422
        assert all(word in page.content.decode() for word in words), language
    assert len(watch(operator, query | {"drop_the_rest": "on"})) == 3


def test_a_month_without_usage_says_so(operator: Client, now: datetime) -> None:
    month = month_of(month_of(now).start - timedelta(days=1)).name
    [page] = watch(operator, {"month": month, "percent": "5"})
    assert "Nothing was used in this month" in page


def test_a_proposal_shows_old_and_new(operator: Client, cast: Cast, invoice: Invoice, now: datetime) -> None:
    before = now.astimezone(ZONE).replace(day=1) - timedelta(days=5)
    set_markup(
        markup=Decimal("0.05"), effective_from=before, now=now, organization=cast.acme.organization, actor=cast.operator
    )
    price_book.forget()
    rerating.rerate(
        organization=cast.acme.organization,
        period_id=invoice.period_id,
        reason="The discount was agreed on earlier.",
        actor=cast.operator,
        now=now + LEAD,
    )
    proposal = CreditNoteProposal.objects.get()
    operator.cookies["invoicedream_language"] = "en"
    listed = operator.get("/billing/creditnoteproposal/").content.decode()
    assert invoice.number in listed and "The discount was agreed on earlier." in listed and "−₩363" in listed
    detail = operator.get(f"/billing/creditnoteproposal/{proposal.pk}/change/").content.decode()
    assert DEVSTRAL in detail and "100,000,000" in detail and "₩6,600" in detail and "₩6,300" in detail
    call_command("audit")
