"""What a model cost since when, over REST: page by page, at one moment, on the terms of whoever asks."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Scope
from catalog.markups import set_markup
from catalog.publishing import delist, publish_cost_price
from pricing.openrouter_pricing import parse_openrouter_pricing
from tests import stories

PATH = f"/api/v1/models/{stories.DEVSTRAL}/prices"
WEEK_AGO = stories.NOON - timedelta(days=7)
DEARER = {
    "prompt": "0.00000008",
    "completion": "0.00000016",
    "image": "0.001",
    "overrides": [
        {"min_prompt_tokens": 200_000, "prompt": "0.00000012"},
        {"utc_start": 1630, "utc_end": 30, "utc_days": ["friday", "monday"], "completion": "0.00000004"},
    ],
}


@pytest.fixture
def priced(cast: stories.Cast) -> stories.Cast:
    """Devstral became dearer a week ago."""
    model = stories.LanguageModel.objects.get(slug=stories.DEVSTRAL)
    sheet = parse_openrouter_pricing(DEARER)
    assert sheet
    publish_cost_price(
        cost_table=model.cost_table,
        language_model=model,
        sheet=sheet,
        effective_from=WEEK_AGO,
        raw=DEARER,
        origin="test",
        now=stories.NOON,
    )
    stories.price_book.forget()
    return cast


def test_every_change_newest_first(priced: stories.Cast) -> None:
    answer = Client().get(PATH).json()
    newest, before, *_months = answer["data"]
    assert (newest["since"], newest["until"], newest["changes"]) == ("2026-11-15T03:00:00Z", None, ["cost"])
    assert newest["per_million_tokens"] == {
        "input": {"cost_usd": "0.08", "price": "132"},
        "output": {"cost_usd": "0.16", "price": "264"},
    }
    assert newest["per_piece"] == {"images": {"cost_usd": "0.001", "price": "1.65"}}
    assert [newest[name] for name in ("currency", "markup", "exchange_rate", "exchange_rate_published_on")] == [
        "KRW",
        "0.1",
        "1500",
        "2026-10-31",
    ]
    long, at_night = newest["conditional"]
    assert (long["prompt_tokens_above"], long["per_million_tokens"]) == (
        200_000,
        {"input": {"cost_usd": "0.12", "price": "198"}},
    )
    assert [at_night[name] for name in ("utc_start", "utc_end", "utc_days")] == ["16:30", "00:30", [1, 5]]
    assert (before["until"], before["changes"]) == (newest["since"], ["exchange_rate"])
    first = answer["data"][-1]
    assert (first["changes"], first["exchange_rate"]) == (["listed"], None)
    assert first["per_million_tokens"]["input"] == {"cost_usd": "0.04", "price": None}, "no rate was known: no price"


def test_page_by_page(priced: stories.Cast) -> None:
    everything = Client().get(PATH).json()["data"]
    shown, query = [], {"limit": 1}
    while True:
        answer = Client().get(PATH, query).json()
        shown += answer["data"]
        if not answer["next_cursor"]:
            break
        query = {"limit": 1, "cursor": answer["next_cursor"]}
    assert len(everything) > 2 and shown == everything
    assert Client().get(PATH, {"cursor": "bm9wZQ"}).status_code == 400


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-15T03:00:00Z",
        "2026-11-15t03:00:00.000z",
        "2026-11-15T12:00:00+09:00",
        "2026-11-15T12:00:00 09:00",  # a plus sign that nobody escaped
        "2026-11-14T22:00:00-05:00",
    ],
)
def test_the_price_then(priced: stories.Cast, moment: str) -> None:
    answer = Client().get(PATH, {"at": moment}).json()
    assert (answer["model"], answer["per_million_tokens"]["input"]["price"]) == (stories.DEVSTRAL, "132")


def test_a_moment_earlier_it_was_cheaper(priced: stories.Cast) -> None:
    answer = Client().get(PATH, {"at": "2026-11-15T02:59:59.999999Z"}).json()
    assert answer["per_million_tokens"]["input"]["price"] == "66"


@pytest.mark.parametrize(
    "moment",
    [
        "",
        "yesterday",
        "2026-11-15",
        "2026-11-15T03:00:00",
        "2026-11-15T03:00Z",
        "2026-13-15T03:00:00Z",
        "2026-11-15T03:00:61Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "２０２６-11-15T03:00:00Z",
        "1763175600",
        "2026-11-22T03:00:01Z",
    ],
)
def test_a_moment_that_is_none_or_to_come(priced: stories.Cast, moment: str) -> None:
    answer = Client().get(PATH, {"at": moment})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "at")


def test_without_a_price_then_it_says_why(priced: stories.Cast) -> None:
    early = Client().get(PATH, {"at": "2020-01-01T00:00:00Z"})
    assert (early.status_code, early.json()["error"]["code"]) == (404, "no_price")
    assert "its first one is of 2026-06-25T03:00:00+00:00" in early.json()["error"]["message"]
    model = stories.LanguageModel.objects.get(slug=stories.DEVSTRAL)
    delist(
        cost_table=model.cost_table,
        language_model=model,
        effective_from=stories.NOON - timedelta(days=1),
        origin="test",
        now=stories.NOON,
    )
    stories.price_book.forget()
    gone = Client().get(PATH, {"at": "2026-11-22T00:00:00Z"})
    assert (gone.status_code, "off the price list" in gone.json()["error"]["message"]) == (404, True)
    newest = Client().get(PATH).json()["data"][0]
    assert (newest["is_listed"], newest["changes"], newest["per_million_tokens"]) == (False, ["delisted"], {})
    stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})
    router = Client().get("/api/v1/models/openrouter/auto/prices")
    assert (router.status_code, router.json()["data"]) == (200, [])
    assert Client().get("/api/v1/models/nobody/nothing/prices").status_code == 404


def test_ones_own_terms(priced: stories.Cast, as_acme: Client, signed_in: Callable[[Any], Client]) -> None:
    set_markup(markup=Decimal(0), effective_from=WEEK_AGO, now=stories.NOON, organization=priced.acme.organization)
    hooli = stories.make_company("hooli", now=stories.NOON, currency="USD")
    stories.price_book.forget()

    def now(client: Client) -> tuple[str, str]:
        newest = client.get(PATH).json()["data"][0]
        return newest["per_million_tokens"]["input"]["price"], newest["markup"]

    assert now(as_acme) == now(signed_in(priced.acme.owner)) == ("120", "0")
    assert now(Client()) == now(Client(headers=priced.globex.headers)) == ("132", "0.1")
    assert now(Client(headers=hooli.headers)) == ("0.088", "0.1")
    _key, powerless = stories.make_key(priced.acme.organization, now=stories.NOON, scopes=[Scope.INFERENCE])
    assert Client(headers=stories.bearer(powerless)).get(PATH).status_code == 403
