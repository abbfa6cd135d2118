"""Invoices over REST: pages, lines that anybody can work out, the requests behind each of them, and the PDF."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.models import Invoice
from billing.papers.typesetting import TypesettingFailed
from billing.sellers import set_seller
from catalog.markups import set_markup
from ledger.models import BillingPeriod
from metering.models import UsageEvent
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, SELLER, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
AFTER = datetime(2026, 11, 2, tzinfo=UTC)
MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)
MIXED = TokenUsage(input_tokens=901, cache_read_tokens=333, output_tokens=77, reasoning_tokens=19)


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        cast = stories.meet_the_cast(now=NOON)
        set_seller(now=NOON - timedelta(days=90), **SELLER)
        yield cast


@pytest.fixture
def acme(cast: stories.Cast) -> Client:
    return Client(headers=cast.acme.headers)


def close(company: stories.Company, *, at: datetime = OCTOBER, now: datetime = AFTER) -> Invoice:
    organization = company.organization
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.for_organization(organization).get(starts_at__lte=at, ends_at__gt=at)
    invoice = invoicing.close_period(organization_id=organization.pk, period_id=period.pk, now=now)
    assert invoice is not None
    return invoice


def pages(client: Client, path: str, **query: str) -> Iterator[dict[str, Any]]:
    """The rows of all pages."""
    while True:
        answer = client.get(path, query)
        assert answer.status_code == 200, answer.content
        yield from answer.json()["data"]
        if (cursor := answer.json()["next_cursor"]) is None:
            return
        query["cursor"] = cursor


def test_a_list_by_pages_and_status(cast: stories.Cast, acme: Client) -> None:
    for month, size in ((8, 100_000_000), (9, 100_000_000), (10, 1)):
        usage = TokenUsage(input_tokens=size, output_tokens=0)
        use(cast.acme.organization, at=datetime(2026, month, 20, tzinfo=UTC), usage=usage)
        close(cast.acme, at=datetime(2026, month, 20, tzinfo=UTC), now=datetime(2026, month + 1, 2, tzinfo=UTC))
    found = list(pages(acme, "/api/v1/invoices", limit="1"))
    assert [row["number"] for row in found] == ["INV-000003", "INV-000002", "INV-000001"]
    newest = found[0]
    assert newest["period"] == {
        "start": "2026-10-01T00:00:00+09:00",
        "end": "2026-11-01T00:00:00+09:00",
        "zone": "Asia/Seoul",
    }
    oldest = found[2]
    assert [oldest[name] for name in ("supply_value", "tax", "total", "credit_applied", "amount_due")] == [
        "6600", "660", "7260", "5000", "2260",
    ]  # fmt: skip
    assert (oldest["status"], oldest["overdue"]) == ("open", True), "due on 16 September"
    assert [row["number"] for row in pages(acme, "/api/v1/invoices", status="open")] == ["INV-000002", "INV-000001"]
    for query in ({"status": "late"}, {"cursor": "x"}, {"limit": "0"}):
        assert acme.get("/api/v1/invoices", query).status_code == 400


def test_a_line_can_be_recomputed(cast: stories.Cast, acme: Client) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MIXED)
    invoice = close(cast.acme)
    answer = acme.get(f"/api/v1/invoices/{invoice.pk}").json()
    assert answer["buyer"]["legal_name"] == "Acme" and answer["seller"]["bank_name"] == SELLER["bank_name"]
    assert answer["exchange_rates"][0]["rate"] == "1500.0000"
    assert [(line["token_class"], line["quantity"]) for line in answer["lines"]] == [
        ("input", 901), ("cache_read", 333), ("output", 58), ("reasoning", 19),
    ]  # fmt: skip
    for line in answer["lines"]:
        rate = answer["applied_rates"][str(line["applied_rate_id"])]
        cost, markup = Decimal(rate["unit_costs"][line["token_class"]]), Decimal(rate["markup"])
        price = cost * (1 + markup) * Decimal(rate["exchange_rate"])
        assert price == Decimal(line["unit_price"]) == Decimal(line["unit_price_per_million"]) / 1_000_000
        assert line["quantity"] * price == Decimal(line["exact_amount"])
        assert line["formula"] == f"{line['quantity']} × {rate['unit_costs'][line['token_class']]} × (1 + 0.1) × 1500"
    exact = sum(Decimal(line["exact_amount"]) for line in answer["lines"])
    assert exact == Decimal(answer["exact_supply_value"])
    assert sum(int(line["amount"]) for line in answer["lines"]) == int(answer["supply_value"])


def test_the_requests_behind_a_line_add_up_to_it(cast: stories.Cast, acme: Client) -> None:
    """Through a price change, a late charge of an earlier month, hours apart, and pages that cut through all of it."""
    organization = cast.acme.organization
    dear = stories.make_model(
        "acme-labs/dear", now=NOON, pricing={"prompt": "0.0000025", "completion": "0.00001"}, since=None
    )
    use(organization, at=OCTOBER - timedelta(days=30), usage=MIXED)
    close(cast.acme, at=OCTOBER - timedelta(days=30), now=OCTOBER - timedelta(days=10))
    use(organization, at=OCTOBER - timedelta(days=31), now=OCTOBER, usage=MIXED)  # late: September in October's invoice
    set_markup(markup=Decimal("0.20"), effective_from=OCTOBER, now=OCTOBER)
    stories.forget_what_processes_remember()
    for number in range(12):
        at = OCTOBER - timedelta(hours=4) + timedelta(minutes=47) * number
        use(organization, at=at, usage=MIXED, api_key_id=cast.acme.key.pk if number % 2 else None)
        if number % 3 == 0:
            use(organization, at=at, usage=TokenUsage(input_tokens=11, output_tokens=5), model=dear.slug)
    use(organization, at=datetime(2026, 10, 1, tzinfo=UTC), usage=TokenUsage(input_tokens=7, output_tokens=0))
    invoice = close(cast.acme)
    lines = acme.get(f"/api/v1/invoices/{invoice.pk}").json()["lines"]
    assert len({(line["model"], line["applied_rate_id"], line["service_month"]) for line in lines}) == 5
    seen: dict[str, Decimal] = {}
    for line in lines:
        path = f"/api/v1/invoices/{invoice.pk}/lines/{line['position']}/events"
        for limit in ("1", "4", "200"):
            events = list(pages(acme, path, limit=limit))
            assert sum(Decimal(event["line_amount"]) for event in events) == Decimal(line["exact_amount"]), line
            assert sum(event["line_quantity"] for event in events) == line["quantity"]
            ids = [event["id"] for event in events]
            assert ids == sorted(set(ids), reverse=True)
        for event in events:
            assert event["model"] == line["model"]
            seen[event["id"]] = seen.get(event["id"], Decimal(0)) + Decimal(event["line_amount"])
    with tenant_scope([organization.pk]):
        charged = dict(UsageEvent.objects.filter(period_id=invoice.period_id).values_list("id", "amount"))
    assert seen == {str(event_id): amount for event_id, amount in charged.items()}, "every request, to its last digit"


def test_the_pdf_is_rendered_when_it_is_asked_for_first(cast: stories.Cast, acme: Client) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)
    first, second = (acme.get(f"/api/v1/invoices/{invoice.pk}/pdf") for _time in range(2))
    assert first.content == second.content and first.content.startswith(b"%PDF-")
    assert (first["Content-Type"], first["Content-Disposition"]) == (
        "application/pdf",
        'attachment; filename="INV-000001.pdf"',
    )


def test_a_pdf_that_cannot_be_rendered_is_said_so(
    cast: stories.Cast, acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)

    def fail(*_words: object, **_more: object) -> bytes:
        raise TypesettingFailed("no ink")

    monkeypatch.setattr("billing.documents.typeset", fail)
    answer = acme.get(f"/api/v1/invoices/{invoice.pk}/pdf")
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert answer.json()["error"]["code"] == "document_unavailable"


def test_what_is_not_ones_own_is_not_there(cast: stories.Cast, acme: Client) -> None:
    use(cast.acme.organization, at=OCTOBER, usage=MILLION)
    invoice = close(cast.acme)
    globex = Client(headers=cast.globex.headers)
    assert globex.get("/api/v1/invoices").json() == {"data": [], "next_cursor": None}
    for rest in ("", "/pdf", "/lines/1/events"):
        assert globex.get(f"/api/v1/invoices/{invoice.pk}{rest}").status_code == 404
        assert acme.get(f"/api/v1/invoices/{uuid4()}{rest}").status_code == 404
    assert acme.get(f"/api/v1/invoices/{invoice.pk}/lines/3/events").status_code == 404
    assert acme.get(f"/api/v1/invoices/{invoice.pk}/lines/1/events?cursor=x").status_code == 400
