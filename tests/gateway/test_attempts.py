"""A call is tried again while that costs nothing: over routes, fallback models, and the same upstream after a pause."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from django.utils import timezone
from pytest_django import Settings

from catalog import upstreams
from catalog.models import CostTable, LanguageModel, ModelRoute, Upstream
from config.launch.ports import free_port
from metering.models import Evidence
from tests import stories
from tests.gateway.conftest import UPSTREAM_KEY, furnished_house
from tests.gateway.running import CAPTURED, QUESTIONED, RELEASED, House, running_gateway, wait_until
from tests.gateway.sweeping import sweeper
from tests.sandbox.processes import StandIn, stand_in

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
OTHER = "acme/other"
DEAD = f"http://127.0.0.1:{free_port()}/v1"
KEYS = {"UPSTREAM_SECOND_API_KEY": "sk-second-0123456789", "UPSTREAM_FIRST_API_KEY": UPSTREAM_KEY}


@pytest.fixture(scope="module")
def second() -> Iterator[StandIn]:
    """Another upstream, with a key of its own."""
    with stand_in("llm", "--api-key", KEYS["UPSTREAM_SECOND_API_KEY"], "--openai-usage") as llm:
        yield llm


@pytest.fixture(scope="module")
def shared_house(module_database: str, tmp_path_factory: pytest.TempPathFactory, second: StandIn) -> Iterator[House]:
    own = {
        "GATEWAY_ATTEMPTS": "3",
        "GATEWAY_RETRY_PAUSE": "0.01",
        "UPSTREAM_URLS": f"{second.url}/v1,{DEAD}",
        **KEYS,
    }
    with furnished_house(module_database, tmp_path_factory.mktemp("gateway"), **own) as house:
        stories.make_model(OTHER, now=timezone.now(), pricing={"prompt": "0.00001", "completion": "0.0001"})
        wait_until(lambda: OTHER in {model.id for model in house.acme.models.list()})
        yield house


@pytest.fixture(autouse=True)
def allowed(house: House, second: StandIn, settings: Settings) -> Iterator[None]:
    """What the console may name; afterwards no route is left in use."""
    settings.UPSTREAM_URLS = [f"{house.llm.url}/v1", f"{second.url}/v1", DEAD]
    second.call("DELETE", "/sandbox/faults")
    second.call("DELETE", "/sandbox/bill")
    yield
    ModelRoute.objects.using("system").all().delete()
    Upstream.objects.using("system").update(enabled=False)
    settled(house)


def add(slug: str, base_url: str, *, key: str, table: str = "openrouter", **facts: Any) -> Upstream:
    """An upstream; the same row again if an earlier test made it."""
    given = {
        "name": slug,
        "kind": "openai_compatible",
        "base_url": base_url,
        "key_variable": key,
        "enabled": True,
    } | facts
    cost_table = CostTable.objects.using("system").get_or_create(slug=table, defaults={"name": table})[0]
    row = Upstream.objects.using("system").filter(slug=slug).first()
    if row is None:
        return upstreams.add_upstream(
            slug=slug, cost_table_id=cost_table.pk, facts=given, now=timezone.now(), actor=None
        )
    upstreams.edit_upstream(upstream_id=row.pk, facts=given, now=timezone.now(), actor=None)
    row.refresh_from_db()
    return row


def route(upstream: Upstream, model: str | None = stories.DEVSTRAL, *, name: str = "", priority: int = 10) -> None:
    row = LanguageModel.objects.using("system").get(slug=model) if model else None
    upstreams.add_route(
        upstream_id=upstream.pk,
        language_model_id=row.pk if row else None,
        upstream_model=name,
        priority=priority,
        now=timezone.now(),
        actor=None,
    )


def settled(house: House) -> None:
    """Until the gateway has seen the newest routes: it looks every second."""
    time.sleep(1.5)


def call(house: House, **options: Any) -> dict[str, Any]:
    """The newest hold after a call that went well."""
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "messages": HELLO}
    answer = house.acme.chat.completions.create(**(given | options))
    assert list(answer) if options.get("stream") else answer.choices
    return house.newest_hold()


def both(house: House, second: StandIn) -> None:
    """The dead first, then the house's, then the second, for the model that is asked for."""
    route(add("dead", DEAD, key=""), priority=1)
    route(add("first", f"{house.llm.url}/v1", key="UPSTREAM_FIRST_API_KEY"), priority=2)
    route(add("second", f"{second.url}/v1", key="UPSTREAM_SECOND_API_KEY"), name="devstral:latest", priority=3)
    settled(house)


def test_without_routes_the_environment_s_upstream_is_tried_again(house: House) -> None:
    house.llm.order("status-503:0", "status-500")
    hold = call(house)
    event = house.event_of(hold["request_id"])
    assert event is not None
    assert (event["upstream"], event["attempt"], hold["status"]) == ("openai_compatible", 1, CAPTURED)
    assert house.llm.get("/sandbox/bill")["count"] == 1


def test_attempts_are_bounded(house: House) -> None:
    house.llm.order({"fault": "status-500", "times": 5})
    with pytest.raises(openai.InternalServerError):
        call(house)
    assert len(house.llm.get("/sandbox/faults")["waiting"]) == 2
    assert house.newest_hold()["status"] == RELEASED


def test_a_wait_that_is_too_long_is_left_to_the_caller(house: House) -> None:
    house.llm.order("status-429:30", "status-429:30")
    with pytest.raises(openai.RateLimitError) as refusal:
        call(house)
    assert refusal.value.response.headers["retry-after"] == "30"
    assert len(house.llm.get("/sandbox/faults")["waiting"]) == 1


def test_the_caller_s_mistake_is_not_tried_again(house: House, second: StandIn) -> None:
    both(house, second)
    house.llm.order("status-400")
    with pytest.raises(openai.BadRequestError):
        call(house)
    assert second.get("/sandbox/bill")["count"] == 0


@pytest.mark.parametrize("fault", ["status-429:0", "status-500", "status-401", "status-402", "status-404"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_next_route_is_tried(house: House, second: StandIn, fault: str, stream: bool) -> None:
    """Each upstream gets its own key, and the model under its name there; the price is the model's, whoever answers."""
    both(house, second)
    house.llm.order(fault)
    hold = call(house, stream=stream)
    event = house.event_of(hold["request_id"])
    assert event is not None
    [billed] = second.get("/sandbox/bill")["generations"]
    assert billed["model"] == "devstral:latest"
    assert event["upstream"] == "second"
    assert (event["requested_model_id"], event["reported_cost"]) == (None, None)
    [model] = house.rows("SELECT slug FROM catalog_languagemodel WHERE id = %s", event["model_id"])
    assert model["slug"] == stories.DEVSTRAL
    assert house.llm.get("/sandbox/bill")["count"] == 0


def test_a_dead_upstream_is_not_asked_each_time(house: House, second: StandIn, tmp_path: Path) -> None:
    both(house, second)
    with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
        client = gateway.client(house.cast.acme.secret)
        for _call in range(6):
            assert client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO).choices
        asked = [line for line in gateway.log_lines("attempt failed") if line["upstream"] == "dead"]
        assert len(asked) == 3
        assert gateway.call("GET", "/readyz")[0] == 200


def test_a_change_of_routes_is_seen_within_seconds(house: House, second: StandIn) -> None:
    route(add("second", f"{second.url}/v1", key="UPSTREAM_SECOND_API_KEY"))
    wait_until(lambda: call(house)["upstream"] == "second")
    ModelRoute.objects.using("system").update(enabled=False)
    wait_until(lambda: call(house)["upstream"] == "openai_compatible")


def test_a_route_for_all_models_of_a_cost_table(house: House, second: StandIn) -> None:
    route(add("second", f"{second.url}/v1", key="UPSTREAM_SECOND_API_KEY"), None)
    settled(house)
    assert call(house, model=OTHER)["upstream"] == "second"


def test_a_route_whose_upstream_is_charged_by_another_list_does_not_count(house: House, second: StandIn) -> None:
    """Whatever serves a call, it is charged at the price that the customer was shown."""
    elsewhere = add("elsewhere", f"{second.url}/v1", key="UPSTREAM_SECOND_API_KEY", table="own-servers")
    with pytest.raises(upstreams.OtherCostTable):
        route(elsewhere)
    now = timezone.now()
    model = LanguageModel.objects.using("system").get(slug=stories.DEVSTRAL)
    ModelRoute.objects.using("system").create(upstream=elsewhere, language_model=model, created_at=now, updated_at=now)
    settled(house)
    assert call(house)["upstream"] == "openai_compatible"


def test_addresses_and_keys_are_the_environment_s(house: House) -> None:
    with pytest.raises(upstreams.AddressNotAllowed):
        add("private", "http://169.254.169.254/v1", key="")
    for variable in ("SECRET_KEY", "DATABASE_URL", "STRIPE_SECRET_KEY", "UPSTREAM_API_KEY\n"):
        with pytest.raises(upstreams.UnknownVariable):
            add("private", DEAD, key=variable)
    assert "UPSTREAM_SECOND_API_KEY" not in os.environ


def test_an_address_that_the_gateway_s_environment_does_not_allow_is_not_called(
    house: House, second: StandIn, tmp_path: Path
) -> None:
    route(add("second", f"{second.url}/v1", key="UPSTREAM_SECOND_API_KEY"))
    strict = {**house.environment, "UPSTREAM_URLS": ""}
    with running_gateway(strict, log=tmp_path / "gateway.log") as gateway, pytest.raises(openai.APIError):
        gateway.client(house.cast.acme.secret).chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert second.get("/sandbox/bill")["count"] == 0


def test_fallback_models_are_gone_through_by_the_gateway(house: House) -> None:
    """The stand-in knows nothing of `models` here: it is not told; the model that answered is priced."""
    house.llm.order("status-404")
    hold = call(house, extra_body={"models": [OTHER]})
    event = house.event_of(hold["request_id"])
    assert event is not None
    ids = {row["slug"]: row["id"] for row in house.rows("SELECT slug, id FROM catalog_languagemodel")}
    assert (event["model_id"], event["requested_model_id"]) == (ids[OTHER], ids[stories.DEVSTRAL])
    assert house.llm.get("/sandbox/bill")["generations"][0]["model"] == OTHER
    assert hold["amount"] >= event["amount"]


def test_what_may_have_cost_something_is_not_tried_again(house: House, second: StandIn) -> None:
    both(house, second)
    house.llm.order("hang-before-headers")
    with pytest.raises(openai.InternalServerError):
        call(house)
    assert second.get("/sandbox/bill")["count"] == 0
    wait_until(lambda: house.newest_hold()["status"] == QUESTIONED)


def test_unless_it_is_allowed_and_then_each_attempt_is_a_row(
    house: House, second: StandIn, settings: Settings, tmp_path: Path
) -> None:
    both(house, second)
    environment = {**house.environment, "GATEWAY_RETRY_UNKNOWN": "1"}
    with running_gateway(environment, log=tmp_path / "gateway.log") as gateway:
        house.llm.order("hang-before-headers")
        answer = gateway.client(house.cast.acme.secret).chat.completions.with_raw_response.create(
            model=stories.DEVSTRAL, messages=HELLO
        )
        request_id = answer.headers["x-request-id"]
    rows = house.rows("SELECT * FROM ledger_hold WHERE request_id = %s ORDER BY attempt", request_id)
    assert [(row["attempt"], row["upstream"], row["status"]) for row in rows] == [
        (1, "first", QUESTIONED),
        (2, "second", CAPTURED),
    ]
    assert rows[0]["amount"] == rows[1]["amount"]
    assert sweeper(house, settings)(timedelta(days=2)) >= 1
    events = house.rows("SELECT * FROM metering_usageevent WHERE request_id = %s ORDER BY attempt", request_id)
    assert [(event["attempt"], event["upstream"], event["evidence"]) for event in events] == [
        (1, "first", Evidence.WAIVED),
        (2, "second", Evidence.REPORTED),
    ]
