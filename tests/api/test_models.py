"""The price list, as everybody may read it."""

from datetime import timedelta

import pytest
from django.test import Client

from catalog.models import CostPrice, LanguageModel
from catalog.publishing import delist
from gateway.sold import models_on_sale
from tests import stories

ROUTER = {"prompt": "-1", "completion": "-1"}


@pytest.fixture
def sold(cast: stories.Cast) -> stories.Cast:
    """Devstral, a dear model, a free one, one with a price by the piece, a router, one without a price, one no longer sold."""
    now = stories.NOON
    stories.make_model("acme-labs/dear", now=now, pricing={"prompt": "0.000001", "completion": "0.000003"})
    stories.make_model("acme-labs/free", now=now, pricing={"prompt": "0", "completion": "0"}, context_length=None)
    stories.make_model(
        "picture/pro",
        now=now,
        name="그림 프로",
        pricing={"prompt": "0.000002", "completion": "0.000002", "image": "0.001", "input_cache_read": "0.0000001"},
    )
    stories.make_model("openrouter/auto", now=now, pricing=ROUTER)
    stories.make_model("later/model", now=now, since=now + timedelta(days=1))
    gone = stories.make_model("gone/model", now=now)
    delist(cost_table=gone.cost_table, language_model=gone, effective_from=now, origin="test", now=now)
    stories.price_book.forget()
    return cast


def ids(**query: str) -> list[str]:
    return [model["id"] for model in Client().get("/api/v1/models", query).json()["data"]]


def test_what_is_sold_is_listed_for_everybody(sold: stories.Cast) -> None:
    assert ids(sort="name") == ["openrouter/auto", "acme-labs/dear", stories.DEVSTRAL, "acme-labs/free", "picture/pro"]


def test_sorted_by_price_with_the_unknown_last(sold: stories.Cast) -> None:
    assert ids(sort="price") == ["acme-labs/free", stories.DEVSTRAL, "acme-labs/dear", "picture/pro", "openrouter/auto"]
    assert ids(sort="output_price")[-2:] == ["acme-labs/dear", "openrouter/auto"]
    assert ids(sort="-context_length")[-1] == "acme-labs/free"


def test_searched(sold: stories.Cast) -> None:
    assert ids(q="그림") == ["picture/pro"]
    assert ids(q="ACME free") == ["acme-labs/free"]
    assert ids(provider="acme-labs", sort="price") == ["acme-labs/free", "acme-labs/dear"]
    assert ids(q="%") == []


def test_page_by_page(sold: stories.Cast) -> None:
    first = Client().get("/api/v1/models?limit=3&sort=price").json()
    rest = Client().get("/api/v1/models", {"limit": 3, "sort": "price", "cursor": first["next_cursor"]}).json()
    assert [model["id"] for model in first["data"] + rest["data"]] == ids(sort="price")
    assert rest["next_cursor"] is None


def test_a_model_with_its_price(sold: stories.Cast) -> None:
    model = Client().get(f"/api/v1/models/{stories.DEVSTRAL}").json()
    assert model["pricing"]["per_million_tokens"] == {
        "input": {"cost_usd": "0.04", "price": "66"},
        "output": {"cost_usd": "0.04", "price": "66"},
    }
    assert (model["page"], model["context_length"]) == ("/models/mistralai-devstral-small", 131_072)
    picture = Client().get("/api/v1/models/picture/pro").json()["pricing"]
    assert picture["per_piece"] == {"images": {"cost_usd": "0.001", "price": "1.65"}}
    assert picture["per_million_tokens"]["cache_read"]["cost_usd"] == "0.1"


def test_what_is_unknown_is_null(sold: stories.Cast) -> None:
    free = Client().get("/api/v1/models/acme-labs/free").json()
    assert (free["context_length"], free["released_on"], free["description_ko"]) == (None, None, None)
    assert free["pricing"]["per_million_tokens"]["input"]["price"] == "0"
    router = Client().get("/api/v1/models/openrouter/auto").json()
    assert (router["pricing"], router["is_sold"], router["is_router"]) == (None, True, True)


def test_history_outlives_the_listing(sold: stories.Cast) -> None:
    gone = Client().get("/api/v1/models/gone/model").json()
    assert (gone["is_sold"], gone["pricing"]) == (False, None)


def test_a_tombstone_takes_a_router_off_the_list_too(sold: stories.Cast) -> None:
    router = LanguageModel.objects.get(slug="openrouter/auto")
    CostPrice.objects.using("system").create(
        cost_table=router.cost_table,
        language_model=router,
        sheet=None,
        effective_from=stories.NOON,
        origin="test",
        created_at=stories.NOON,
    )
    stories.price_book.forget()
    assert Client().get("/api/v1/models/openrouter/auto").json()["is_sold"] is False
    assert "openrouter/auto" not in ids()
    assert "openrouter/auto" not in {model.slug for model in models_on_sale(now=stories.NOON)}
