"""Embeddings through the gateway: the prompt is priced, and nothing else."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from django.utils import timezone

from gateway.dialects.embeddings import EMBEDDINGS
from tests import stories
from tests.gateway.conftest import furnished_house
from tests.gateway.running import CAPTURED, QUESTIONED, House, wait_until

VECTORS = "acme/vectors"


@pytest.fixture(scope="module")
def shared_house(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished_house(module_database, tmp_path_factory.mktemp("gateway")) as house:
        price = {"prompt": "0.00000002", "completion": "0"}
        stories.make_model(VECTORS, now=timezone.now(), pricing=price, output_modalities=["embeddings"])
        wait_until(lambda: VECTORS in {model.id for model in house.acme.models.list()})
        yield house


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}], ids=["as the client asks by default", "floats"])
def test_vectors(house: House, form: dict[str, Any]) -> None:
    answer = house.acme.embeddings.with_raw_response.create(
        model=VECTORS, input=["안녕하세요", "hello"], dimensions=8, user="kim", **form
    )
    vectors = answer.parse()
    assert [len(each.embedding) for each in vectors.data] == [8, 8]
    assert sum(value * value for value in vectors.data[0].embedding) == pytest.approx(1)
    event = house.event_of(answer.headers["x-request-id"])
    assert event is not None
    assert (event["input_tokens"], event["output_tokens"]) == (vectors.usage.prompt_tokens, 0)
    assert (event["finish_reason"], event["end_user"], event["status"]) == ("stop", "kim", 200)
    price = Decimal("0.00000002") * stories.EXCHANGE_RATE * (1 + stories.MARKUP)
    assert event["amount"] == vectors.usage.prompt_tokens * price > 0
    assert "cost" not in vectors.usage.to_dict()
    hold = house.hold_of(answer.headers["x-request-id"])
    assert (hold["status"], hold["captured"] <= hold["amount"]) == (CAPTURED, True)


@pytest.mark.parametrize("given", ["text", [1, 2, 3], [[1, 2], [3]]], ids=["text", "tokens", "lists of tokens"])
def test_every_form_of_text(house: House, given: Any) -> None:
    assert house.acme.embeddings.create(model=VECTORS, input=given).usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", None),
        ("input", []),
        ("input", [{"content": [{"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}]}]),
        ("input", ["x"] * 2049),
        ("stream", True),
        ("model", ""),
    ],
    ids=["nothing", "none", "a picture", "too many", "a stream", "no model"],
)
def test_what_cannot_be_embedded_is_refused(house: House, field: str, value: Any) -> None:
    body = {"model": VECTORS, "input": "x"} | {field: value}
    status, _head, answer = house.gateway.call("POST", "/v1/embeddings", body, stories.bearer(house.cast.acme.secret))
    assert (status, answer["error"]["param"]) == (400, field)
    assert house.llm.get("/sandbox/bill")["generations"] == []


def test_an_answer_without_usage_leaves_a_question(house: House) -> None:
    house.llm.order("no-usage")
    assert house.acme.embeddings.create(model=VECTORS, input="x").data
    assert wait_until(lambda: house.newest_hold()["status"] == QUESTIONED)


@pytest.mark.parametrize(
    ("fault", "status"), [("status-429", 429), ("status-500", 502), ("garbage", 502), ("error-mid-stream", 502)]
)
def test_failures_of_the_upstream(house: House, fault: str, status: int) -> None:
    house.llm.order(fault)
    before = house.charges()
    with pytest.raises(openai.APIStatusError) as failure:
        house.acme.embeddings.create(model=VECTORS, input="x")
    assert failure.value.status_code == status
    assert house.charges() == before


def test_nothing_is_embedded_that_was_not_reserved_for() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}]}]
    body = {"model": VECTORS, "input": "x", "messages": picture, "prompt": "y", "dimensions": 8}
    told = EMBEDDINGS.forwarded_body(body, EMBEDDINGS.read_ask(body), cap=0)
    assert told == {"model": VECTORS, "input": "x", "dimensions": 8}
