"""All models side by side over REST: for a volume, on the terms of whoever asks, with what is missing said."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Scope
from catalog.markups import set_markup
from tests import stories

PATH = "/api/v1/estimates/what-if"
LONG = {
    "prompt": "0.000001",
    "completion": "0.000001",
    "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000002"}],
}


@pytest.fixture
def sold(cast: stories.Cast) -> stories.Cast:
    stories.make_model("long/model", now=stories.NOON, pricing=LONG, context_length=1_000_000)
    stories.make_model("a/free", now=stories.NOON, pricing={"prompt": "0", "completion": "0"})
    stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})
    return cast


def ask(client: Client | None = None, **query: Any) -> list[dict[str, Any]]:
    answer = (client or Client()).get(PATH, query)
    assert answer.status_code == 200, answer.json()
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def test_half_a_million_each_way_unless_told(sold: stories.Cast) -> None:
    rows = ask()
    assert [(row["model"], row["supply_value"], row["tax"], row["total"]) for row in rows] == [
        ("a/free", "0", "0", "0"),
        (stories.DEVSTRAL, "66", "6", "72"),
        ("long/model", "1650", "165", "1815"),
        ("openrouter/auto", None, None, None),
    ]
    assert rows[-1]["missing"]["code"] == "price_varies" and rows[-1]["parts"] == []
    [part] = rows[1]["parts"]
    assert (part["requests"], part["applied_rate"]["cost_price_id"], rows[1]["cost_usd"]) == (None, 1, "0.04")
    assert part["lines"][0] == {
        "token_class": "input",
        "quantity": 500_000,
        "unit_price": "0.000066",
        "amount": "33",
    }


def test_requests_choose_the_band(sold: stories.Cast) -> None:
    [row] = ask(model="long/model", input_tokens=400_001, output_tokens=0, requests=2)
    assert [
        (part["requests"], part["applied_rate"]["band"], part["lines"][0]["quantity"]) for part in row["parts"]
    ] == [
        (1, "0", 200_001),
        (1, "base", 200_000),
    ]
    assert row["cost_usd"] == "0.600002"


def test_cache_and_images(sold: stories.Cast) -> None:
    stories.make_model(
        "see/all",
        now=stories.NOON,
        pricing=stories.DEVSTRAL_PRICE | {"image": "0.001", "input_cache_read": "0.00000001"},
        input_modalities=["text", "image"],
    )
    query = {"input_tokens": 1000, "output_tokens": 0, "cached_share": "0.25", "images": 3}
    rows = {row["model"]: row for row in ask(**query)}
    assert {line["token_class"]: line["quantity"] for line in rows["see/all"]["parts"][0]["lines"]} == {
        "input": 750,
        "cache_read": 250,
        "images": 3,
    }
    assert (rows[stories.DEVSTRAL]["total"], rows[stories.DEVSTRAL]["missing"]["code"]) == (None, "takes_no_images")


def test_the_models_that_are_named(sold: stories.Cast) -> None:
    both = Client().get(f"{PATH}?model=long/model&model={stories.DEVSTRAL}&model=long/model").json()["data"]
    assert [row["model"] for row in both] == [stories.DEVSTRAL, "long/model"]
    assert len(ask(model="all")) == 4
    assert [row["model"] for row in ask(q="MODEL long")] == ["long/model"]
    assert [row["model"] for row in ask(sort="name", provider="mistralai")] == [stories.DEVSTRAL]
    unknown = Client().get(PATH, {"model": "nobody/nothing"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


def test_page_by_page(sold: stories.Cast) -> None:
    first = Client().get(PATH, {"limit": 3}).json()
    second = Client().get(PATH, {"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [row["model"] for row in first["data"] + second["data"]] == [row["model"] for row in ask()]
    assert second["next_cursor"] is None


def test_ones_own_terms(sold: stories.Cast, as_acme: Client) -> None:
    set_markup(markup=Decimal(0), effective_from=stories.NOON, now=stories.NOON, organization=sold.acme.organization)
    hooli = stories.make_company("hooli", now=stories.NOON, currency="USD")
    stories.price_book.forget()
    assert ask(as_acme, model=stories.DEVSTRAL)[0]["total"] == "66"
    assert ask(Client(headers=sold.globex.headers), model=stories.DEVSTRAL)[0]["total"] == "72"
    [in_dollars] = ask(Client(headers=hooli.headers), model=stories.DEVSTRAL)
    assert (in_dollars["currency"], in_dollars["total"]) == ("USD", "0.04")
    _key, powerless = stories.make_key(sold.acme.organization, now=stories.NOON, scopes=[Scope.INFERENCE])
    assert Client(headers=stories.bearer(powerless)).get(PATH).status_code == 403


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("input_tokens", "-1"),
        ("input_tokens", str(10**12 + 1)),
        ("output_tokens", "0.5M"),
        ("cached_share", "1.01"),
        ("cached_share", "-0.1"),
        ("cached_share", "NaN"),
        ("requests", "x"),
        ("images", "1.5"),
        ("sort", "colour"),
        ("limit", "0"),
    ],
)
def test_bad_volumes(cast: stories.Cast, name: str, wrong: str) -> None:
    answer = Client().get(PATH, {name: wrong})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, name)


def test_more_models_take_no_more_queries(sold: stories.Cast) -> None:
    def queries() -> int:
        ask()
        with CaptureQueriesContext(connections["default"]) as asked:
            ask()
        return len(asked)

    few = queries()
    for number in range(8):
        stories.make_model(f"qwen/qwen{number}", now=stories.NOON)
    assert queries() == few


def test_a_parameter_that_is_not_known_is_refused_by_name(db: None) -> None:
    answer = Client().get(PATH, {"models": "all"})
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (400, "models")
    assert "unknown parameter; known are " in error["message"] and "input_tokens" in error["message"]
