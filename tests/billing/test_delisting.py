"""A model that leaves its upstream's list is sold no longer; its page, its history and what was used of it remain."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from accounts.tenancy import tenant_scope
from billing.invoicing import close_period
from billing.sellers import set_seller
from catalog import price_book
from catalog.models import LanguageModel
from catalog.publishing import delist
from gateway.sold import models_on_sale
from ledger.models import BillingPeriod
from metering.reports import Status
from pricing.tokens import TokenUsage
from tests import stories

NOW = stories.NOON
GONE_SINCE = NOW - timedelta(hours=1)
MILLIONS = TokenUsage(input_tokens=10_000_000, output_tokens=0)
MODEL_API = f"/api/v1/models/{stories.DEVSTRAL}"


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    """Acme used devstral before it was delisted an hour ago. The clock stands still."""
    cast = stories.meet_the_cast(now=NOW)
    stories.use(cast.acme.organization, at=NOW - timedelta(days=1), usage=MILLIONS)
    model = LanguageModel.objects.get(slug=stories.DEVSTRAL)
    assert delist(cost_table=model.cost_table, language_model=model, effective_from=GONE_SINCE, origin="test", now=NOW)
    price_book.forget()
    with time_machine.travel(NOW, tick=False):
        yield cast


def test_it_is_on_no_list_and_priced_for_nobody(cast: stories.Cast) -> None:
    assert [model.slug for model in models_on_sale(now=NOW)] == []
    assert Client().get("/api/v1/models").json()["data"] == []
    assert Client().get("/api/v1/estimates/what-if").json()["data"] == []
    [named] = Client().get("/api/v1/estimates/what-if", {"model": stories.DEVSTRAL}).json()["data"]
    assert (named["total"], named["missing"]["code"]) == (None, "not_sold")
    estimate = Client().post("/api/v1/estimates", {"model": stories.DEVSTRAL, "input_tokens": 1}, "application/json")
    assert (estimate.status_code, estimate.json()["error"]["code"]) == (422, "no_price")


def test_page_and_history_stay(cast: stories.Cast) -> None:
    page = Client(headers={"Accept-Language": "en"}).get("/models/mistralai-devstral-small").content.decode()
    assert "This model is no longer sold" in page and 'id="history"' in page
    model = Client().get(MODEL_API).json()
    assert (model["is_sold"], model["pricing"]) == (False, None)
    newest, before, *_earlier = Client().get(f"{MODEL_API}/prices").json()["data"]
    assert (newest["changes"], before["per_million_tokens"]["input"]["price"]) == (["delisted"], "66")


def test_what_was_used_is_billed_and_what_comes_late_finds_its_price(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    late = stories.use(acme, at=GONE_SINCE - timedelta(seconds=1), now=NOW, usage=MILLIONS)
    after = stories.use(acme, at=GONE_SINCE, now=NOW, usage=MILLIONS)
    assert (late.status, late.amount) == (Status.ACCEPTED, 660)
    assert after.amount is None and "no price" in after.reason, "it waits, and is not taken for free"
    with tenant_scope([acme.pk]):
        period = BillingPeriod.objects.for_organization(acme).get()
    set_seller(now=NOW, **stories.SELLER)
    invoice = close_period(organization_id=acme.pk, period_id=period.pk, now=period.ends_at + timedelta(days=2))
    assert invoice is not None
    with tenant_scope([acme.pk]):
        [line] = invoice.lines.all()
    assert (line.model, line.quantity, invoice.subtotal) == (stories.DEVSTRAL, 20_000_000, 1320)
