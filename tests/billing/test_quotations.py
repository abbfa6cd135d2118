"""Quotations: the prices of a day on paper, with the figures of invoices; made by people who pay, never changed."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError
from django.test import Client

from accounts.models import AuditEntry, Organization
from billing import documents
from billing.models import Document, Quotation
from billing.papers.document_audit import documents_that_differ
from billing.papers.quotations import InvalidValidity, Item, NothingToQuote, NotPriced, make_quotation
from billing.papers.typesetting import keywords_of
from billing.sellers import set_seller
from billing.terms import set_terms
from billing.what_if import Volume
from catalog.models import LanguageModel
from tests import stories
from tests.billing.papers import pages, squeezed
from tests.stories import NOON, SELLER

LAST_DAY = date(2026, 12, 22)
VOLUME = Volume(input_tokens=100_000_000, output_tokens=50_000_000, requests=1000)
"""₩9,900 and VAT of ₩990."""


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        cast = stories.meet_the_cast(now=NOON)
        set_seller(now=NOON - timedelta(days=90), **SELLER)
        yield cast


def quote(cast: stories.Cast, **changes: Any) -> Quotation:
    devstral = LanguageModel.objects.get(slug=stories.DEVSTRAL)
    given: dict[str, Any] = {
        "organization": cast.acme.organization,
        "items": [Item(model=devstral, volume=VOLUME)],
        "valid_until": LAST_DAY,
        "subject": "2027 budget",
        "actor": cast.acme.owner,
        "now": NOON,
    }
    return make_quotation(**(given | changes))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ko", ["견적서", "견적번호", "2026.11.22", "유효기한", "2026.12.22", "mistralai/devstral-small",
                "요청1,000건·입력100,000,000토큰·출력50,000,000토큰", "입력토큰100,000,000₩66/1M₩6,600",
                "출력토큰50,000,000₩66/1M₩3,300", "공급가액₩9,900", "부가세(10%)₩990", "₩10,890",
                "일금일만팔백구십원정", "1USD=1,500.00", "2027budget"]),
        ("en", ["Quotation", "Validuntil", "2026-12-22", "1,000requests", "Inputtokens100,000,000₩66/1M₩6,600",
                "Supplyvalue₩9,900", "TotalincludingVAT₩10,890"]),
    ],
)  # fmt: skip
def test_it_says_what_a_month_would_cost(cast: stories.Cast, language: str, words: list[str]) -> None:
    Organization.objects.using("system").filter(pk=cast.acme.organization.pk).update(language=language)
    quotation = quote(cast, organization=Organization.objects.using("system").get(pk=cast.acme.organization.pk))
    content = documents.open_document(quotation, now=NOON)
    [said] = pages(content)
    for word in (*words, quotation.number):
        assert squeezed(word) in said, word
    assert keywords_of(content) == [quotation.number, "KRW 10890"]
    [row] = Document.objects.using("system").all()
    assert (row.kind, row.quotation_id) == ("quotation", quotation.pk)
    assert documents.open_document(quotation, now=NOON + timedelta(days=9)) == content
    assert documents_that_differ() == []


def test_what_was_agreed_is_quoted_too(cast: stories.Cast) -> None:
    set_terms(
        organization=cast.acme.organization,
        minimum_fee=Decimal(20_000),
        discount=Decimal("0.1"),
        month=date(2026, 11, 1),
        zero_invoices="with_usage",
        reviewed=False,
        reason="Signed",
        actor=cast.operator,
        now=NOON,
    )
    quotation = quote(cast)
    assert [(line["kind"], line["amount"]) for line in quotation.lines] == [
        ("usage", "6600"), ("usage", "3300"), ("discount", "-990"), ("minimum_fee", "11090"),
    ]  # fmt: skip
    assert (quotation.subtotal, quotation.tax, quotation.total) == (20_000, 2_000, 22_000)
    said = "".join(pages(documents.open_document(quotation, now=NOON)))
    assert "사용량할인−₩990" in said and "최소요금₩11,090" in said


def test_lines_add_up_to_the_won(cast: stories.Cast) -> None:
    devstral = LanguageModel.objects.get(slug=stories.DEVSTRAL)
    items = [Item(model=devstral, volume=Volume(input_tokens=7_777 * n, output_tokens=3_333 * n)) for n in range(1, 9)]
    quotation = quote(cast, items=items)
    assert sum(Decimal(line["amount"]) for line in quotation.lines) == quotation.subtotal
    for line in quotation.lines:
        assert Decimal(line["quantity"]) * Decimal(line["unit_price"]) == Decimal(line["exact_amount"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"items": []}, NothingToQuote),
        ({"valid_until": date(2026, 11, 21)}, InvalidValidity),
        ({"valid_until": date(2027, 12, 1)}, InvalidValidity),
    ],
    ids=["nothing", "over", "for ever"],
)
def test_what_cannot_be_quoted_leaves_nothing(
    cast: stories.Cast, changes: dict[str, Any], problem: type[Exception]
) -> None:
    with pytest.raises(problem):
        quote(cast, **changes)
    unpriced = stories.make_model("vendor/router", now=NOON, pricing={"prompt": "-1", "completion": "-1"})
    with pytest.raises(NotPriced):
        quote(cast, items=[Item(model=unpriced, volume=VOLUME)])
    assert not Quotation.objects.using("system").exists()


def test_it_is_history_and_its_owners(cast: stories.Cast) -> None:
    quotation = quote(cast)
    with pytest.raises(DatabaseError, match="history"):
        Quotation.objects.using("system").update(subject="another")
    assert AuditEntry.objects.using("system").get(action="quotation.made").target == quotation.number
    for path in ("", "/pdf"):
        address = f"/api/v1/quotations/{quotation.pk}{path}"
        assert Client(headers=cast.acme.headers).get(address).status_code == 200
        assert Client(headers=cast.globex.headers).get(address).status_code == 404


def test_people_who_pay_make_one_over_rest(cast: stories.Cast) -> None:
    client = Client()
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    wish = {
        "items": [{"model": stories.DEVSTRAL, "input_tokens": 100_000_000, "output_tokens": 50_000_000}],
        "valid_until": "2026-12-22",
    }
    made = client.post("/api/v1/quotations", wish, content_type="application/json")
    assert made.status_code == 201, made.content
    assert (made.json()["total"], len(made.json()["lines"])) == ("10890", 2)
    [listed] = client.get("/api/v1/quotations").json()["data"]
    assert listed["number"] == made.json()["number"]
    for wrong in ({"items": [{"model": "nobody/knows-it", "input_tokens": 1}]}, {"valid_until": "2020-01-01"}):
        refused = client.post("/api/v1/quotations", wish | wrong, content_type="application/json")
        assert refused.status_code == 400
    key = Client(headers=cast.acme.headers)
    assert key.post("/api/v1/quotations", wish, content_type="application/json").status_code == 403


def test_the_pages_make_one(cast: stories.Cast) -> None:
    client = Client()
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    form = client.get(f"/o/acme/quotations/new?model={stories.DEVSTRAL}&input_tokens=100,000,000")
    assert "100,000,000" in form.content.decode()
    posted = {"model_1": stories.DEVSTRAL, "input_1": "1억", "output_1": "50M", "requests_1": "1,000"}
    missing = client.post("/o/acme/quotations/new", {"valid_until": "2026-12-22"})
    assert missing.status_code == 422
    answer = client.post(
        "/o/acme/quotations/new", posted | {"valid_until": "2026-12-22", "subject": "<b>"}, follow=True
    )
    assert "₩10,890" in answer.content.decode() and "&lt;b&gt;" in answer.content.decode()
    quotation = Quotation.objects.using("system").get()
    pdf = client.get(f"/o/acme/quotations/{quotation.pk}/pdf")
    assert pdf["Content-Disposition"] == f'attachment; filename="{quotation.number}.pdf"'
