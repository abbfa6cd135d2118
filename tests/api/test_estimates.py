"""Estimates over REST: the published example to the won, one's own rate, and the open month as its invoice would be."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Scope
from catalog.markups import set_markup
from pricing.tokens import TokenUsage
from tests import stories

PATH, JSON = "/api/v1/estimates", "application/json"
HALF_A_MILLION = {"model": stories.DEVSTRAL, "input_tokens": 500_000, "output_tokens": 500_000}


def test_the_published_example(cast: stories.Cast) -> None:
    answer = Client().post(PATH, HALF_A_MILLION, content_type=JSON).json()
    figures = ("cost_usd", "supply_value", "tax", "total", "currency", "exchange_rate", "markup")
    assert [answer[name] for name in figures] == ["0.04", "66", "6", "72", "KRW", "1500", "0.1"]
    rate = answer["applied_rate"]
    assert (rate["unit_costs"]["input"], rate["unit_prices"]["input"]) == ("0.00000004", "0.000066")
    assert (rate["band"], rate["exchange_rate_source"], rate["exchange_rate_published_on"]) == (
        "base",
        "demo",
        "2026-10-31",
    )


def test_ones_own_rate(cast: stories.Cast, as_acme: Client, signed_in: Callable[[Any], Client]) -> None:
    set_markup(markup=Decimal(0), effective_from=stories.NOON, now=stories.NOON, organization=cast.acme.organization)
    stories.price_book.forget()
    for client in (as_acme, signed_in(cast.acme.owner)):
        answer = client.post(PATH, HALF_A_MILLION, content_type=JSON).json()
        assert (answer["supply_value"], answer["markup"]) == ("60", "0")
    for client in (Client(), Client(headers=cast.globex.headers)):
        assert client.post(PATH, HALF_A_MILLION, content_type=JSON).json()["supply_value"] == "66"


def test_a_key_needs_the_scope_for_its_own_rate(cast: stories.Cast) -> None:
    _key, secret = stories.make_key(cast.acme.organization, now=stories.NOON, scopes=[Scope.INFERENCE])
    answer = Client(headers=stories.bearer(secret)).post(PATH, HALF_A_MILLION, content_type=JSON)
    assert answer.status_code == 403


def test_a_bill_in_dollars(cast: stories.Cast) -> None:
    hooli = stories.make_company("hooli", now=stories.NOON, currency="USD")
    answer = Client(headers=hooli.headers).post(PATH, HALF_A_MILLION, content_type=JSON).json()
    assert [answer[name] for name in ("supply_value", "total", "currency", "exchange_rate")] == [
        "0.04",
        "0.04",
        "USD",
        None,
    ]


def test_volumes_are_priced_as_short_prompts_unless_told(cast: stories.Cast) -> None:
    pricing = {
        "prompt": "0.000001",
        "completion": "0.000001",
        "overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000002"}],
    }
    stories.make_model("long/model", now=stories.NOON, pricing=pricing)
    volume = {"model": "long/model", "input_tokens": 10**12}
    short = Client().post(PATH, volume, content_type=JSON).json()
    long = Client().post(PATH, volume | {"prompt_tokens_per_request": 200_001}, content_type=JSON).json()
    assert (short["cost_usd"], short["applied_rate"]["band"]) == ("1000000", "base")
    assert (long["cost_usd"], long["applied_rate"]["band"]) == ("2000000", "0")


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": 10**12 + 1},
        {"input_tokens": -1},
        {"input_tokens": "x"},
        {"input_tokens": 1.5},
        {"reasoning_tokens": 500_001},
        {"model": ""},
        {"model": None},
    ],
)
def test_bad_volumes(cast: stories.Cast, wrong: dict[str, Any]) -> None:
    assert Client().post(PATH, HALF_A_MILLION | wrong, content_type=JSON).status_code == 400


def test_no_price_is_not_nothing(cast: stories.Cast) -> None:
    stories.make_model("openrouter/auto", now=stories.NOON, pricing={"prompt": "-1", "completion": "-1"})
    answer = Client().post(PATH, {"model": "openrouter/auto", "input_tokens": 1}, content_type=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_price")


def test_the_open_month(cast: stories.Cast, as_acme: Client) -> None:
    acme = cast.acme.organization
    stories.use(acme, at=stories.NOON, usage=TokenUsage(input_tokens=500_000, output_tokens=400_000))
    stories.use(acme, at=stories.NOON, usage=TokenUsage(output_tokens=100_000, reasoning_tokens=30_000))
    stories.use(cast.globex.organization, at=stories.NOON)
    answer = as_acme.get(f"{PATH}/current").json()
    current = answer["current"]
    assert [current[name] for name in ("supply_value", "tax", "total", "status")] == ["66", "6", "72", "open"]
    assert (current["start"], current["end"]) == ("2026-11-01T00:00:00+09:00", "2026-12-01T00:00:00+09:00")
    assert {line["token_class"]: line["quantity"] for line in current["lines"]} == {
        "input": 500_000,
        "output": 470_000,
        "reasoning": 30_000,
    }
    assert sum(Decimal(line["rounded"]) for line in current["lines"]) == 66
    assert answer["earlier"] == []


def test_the_forecast_goes_on_at_the_same_pace(cast: stories.Cast, as_acme: Client) -> None:
    stories.use(cast.acme.organization, at=stories.NOON, usage=TokenUsage(input_tokens=215_000_000))
    forecast = as_acme.get(f"{PATH}/current").json()["current"]["forecast"]
    # 21.5 of 30 days have passed: 14,190 won become 19,800.
    assert forecast == {"method": "linear", "supply_value": "19800", "tax": "1980", "total": "21780"}


def test_an_ended_month_that_is_not_invoiced_yet(cast: stories.Cast, as_acme: Client) -> None:
    stories.use(cast.acme.organization, at=stories.NOON - timedelta(days=25), usage=TokenUsage(input_tokens=1_000_000))
    answer = as_acme.get(f"{PATH}/current").json()
    assert [(period["supply_value"], period["forecast"]) for period in answer["earlier"]] == [("66", None)]
    assert (answer["current"]["total"], answer["current"]["lines"]) == ("0", [])
