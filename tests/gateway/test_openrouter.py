"""OpenRouter as the upstream: its answering model is believed and priced, a router's above all."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from django.utils import timezone

from tests import stories
from tests.gateway.conftest import UPSTREAM_KEY, furnished_house
from tests.gateway.running import CAPTURED, House, wait_until

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
AUTO, DEAREST = "openrouter/auto", "acme/dearest"


@pytest.fixture(scope="module")
def shared_house(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("gateway")
    with furnished_house(module_database, folder, OPENROUTER_API_KEY=UPSTREAM_KEY) as house:
        now = timezone.now()
        stories.make_model(AUTO, now=now, pricing={"prompt": "-1", "completion": "-1"})
        stories.make_model(DEAREST, now=now, pricing={"prompt": "0.00001", "completion": "0.0001"})
        wait_until(lambda: {AUTO, DEAREST} <= {model.id for model in house.acme.models.list()})
        yield house


def ids_of(house: House) -> dict[str, int]:
    return {row["slug"]: row["id"] for row in house.rows("SELECT slug, id FROM catalog_languagemodel")}


@pytest.mark.parametrize("stream", [False, True])
def test_a_router_is_priced_as_the_model_that_answered(house: House, stream: bool) -> None:
    answer = house.acme.chat.completions.create(model=AUTO, messages=HELLO, stream=stream, max_tokens=1000)
    assert all(chunk.model == stories.DEVSTRAL for chunk in answer) if stream else answer.model == stories.DEVSTRAL
    hold = house.newest_hold()
    event = house.event_of(hold["request_id"])
    assert event is not None
    ids = ids_of(house)
    assert (event["model_id"], event["requested_model_id"]) == (ids[stories.DEVSTRAL], ids[AUTO])
    assert (event["upstream"], hold["upstream"], hold["status"]) == ("openrouter", "openrouter", CAPTURED)


def test_a_router_is_reserved_for_as_its_dearest_model(house: House) -> None:
    house.acme.chat.completions.create(model=AUTO, messages=HELLO, max_tokens=1000)
    assert house.newest_hold()["amount"] > Decimal("0.0001") * 1000 * stories.EXCHANGE_RATE * (1 + stories.MARKUP)
    with pytest.raises(openai.APIStatusError) as refusal:
        house.acme.chat.completions.create(model=AUTO, messages=HELLO, max_tokens=100_000)
    assert refusal.value.status_code == 402


def test_fallback_models_are_reserved_for(house: House) -> None:
    body = {"models": [DEAREST]}
    house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, max_tokens=1000, extra_body=body)
    assert house.newest_hold()["amount"] > Decimal("0.0001") * 1000 * stories.EXCHANGE_RATE * (1 + stories.MARKUP)


def test_a_model_that_always_searches_is_reserved_for_with_its_searches(house: House) -> None:
    now = timezone.now()
    price = {"prompt": "0.0000001", "completion": "0.0000004", "web_search": "0.005"}
    stories.make_model("perplexity/sonar", now=now, pricing=price)
    wait_until(lambda: "perplexity/sonar" in {model.id for model in house.acme.models.list()})
    house.acme.chat.completions.create(model="perplexity/sonar", messages=HELLO, max_tokens=10)
    assert house.newest_hold()["amount"] > Decimal("0.005") * 10 * stories.EXCHANGE_RATE * (1 + stories.MARKUP)
