"""A call that its caller names (`Idempotency-Key`) is made once, over whatever processes; a repetition gets the receipt."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
import pytest
from django.utils import timezone

from ledger import call_keys
from tests import stories
from tests.gateway.running import House, RunningGateway, running_gateway, wait_until

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]


def chat(house: House, name: str, *, gateway: RunningGateway | None = None, secret: str = "", **options: Any) -> Any:
    client = (gateway or house.gateway).client(secret or house.cast.acme.secret, max_retries=2)
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "messages": HELLO, "extra_headers": {"Idempotency-Key": name}}
    return client.chat.completions.with_raw_response.create(**(given | options))


def made(house: House) -> int:
    return len(house.llm.get("/sandbox/bill")["generations"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_repetition_is_answered_with_the_first_receipt(house: House, stream: bool) -> None:
    name = str(uuid4())
    first = chat(house, name)
    event = house.event_of(first.headers["x-request-id"])
    assert event is not None
    with pytest.raises(openai.ConflictError) as conflict:
        chat(house, name, stream=stream, max_tokens=5)
    error = conflict.value
    assert (error.status_code, error.type, error.code) == (409, "idempotency_error", "idempotency_key_reused")
    receipt = error.body["receipt"]  # type: ignore[index]
    assert receipt["id"] == error.response.headers["x-invoicedream-receipt"] == first.headers["x-invoicedream-receipt"]
    assert (receipt["status"], receipt["request_id"]) == ("recorded", first.headers["x-request-id"])
    assert (Decimal(receipt["amount"]), receipt["currency"]) == (event["amount"], "KRW")
    assert made(house) == 1, "neither the gateway nor the client's own retries called the upstream again"


def test_a_name_belongs_to_its_organization_and_calls_without_one_are_new(house: House) -> None:
    name = str(uuid4())
    chat(house, name)
    chat(house, name, secret=house.cast.globex.secret)
    chat(house, "")
    chat(house, "")
    assert made(house) == 4


def test_a_running_call_is_not_made_twice(house: House) -> None:
    name = str(uuid4())
    house.llm.order("slow:1")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(chat, house, name)
        wait_until(lambda: made(house))
        with pytest.raises(openai.ConflictError) as conflict:
            chat(house, name)
        assert conflict.value.body["receipt"]["status"] == "running"  # type: ignore[index]
        assert "amount" not in conflict.value.body["receipt"]  # type: ignore[operator]
        assert running.result().parse().choices
    assert made(house) == 1


def test_a_call_that_cost_nothing_lets_its_name_go(house: House) -> None:
    name = str(uuid4())
    house.llm.order("status-400")
    with pytest.raises(openai.BadRequestError):
        chat(house, name)
    assert chat(house, name).parse().choices
    with pytest.raises(openai.ConflictError):
        chat(house, name)


def test_a_call_whose_cost_nobody_knows_keeps_its_name(house: House) -> None:
    name = str(uuid4())
    house.llm.order("no-usage")
    chat(house, name)
    with pytest.raises(openai.ConflictError) as conflict:
        wait_until(lambda: house.newest_hold()["status"] == 4)
        chat(house, name)
    assert conflict.value.body["receipt"]["status"] == "unresolved"  # type: ignore[index]


def test_a_refused_call_does_not_take_the_name(house: House) -> None:
    small = stories.make_company("small", now=timezone.now(), trial_credit=Decimal(1)).secret
    name = str(uuid4())
    with pytest.raises(openai.APIStatusError) as refusal:
        chat(house, name, secret=small, max_tokens=100_000)
    assert refusal.value.status_code == 402
    assert chat(house, name, secret=small, max_tokens=10).parse().choices


def test_of_many_at_once_over_two_processes_one_is_made(house: House, tmp_path: Path) -> None:
    names = [str(uuid4()) for _name in range(8)]

    def attempt(name: str, gateway: RunningGateway) -> int:
        try:
            return int(chat(house, name, gateway=gateway).http_response.status_code)
        except openai.ConflictError:
            return 409

    with running_gateway(house.environment, log=tmp_path / "gateway.log") as other, ThreadPoolExecutor(16) as threads:
        calls = [(name, gateway) for name in names for gateway in (house.gateway, other) for _turn in range(4)]
        answers = list(threads.map(lambda call: attempt(*call), calls))
    assert answers.count(200) == len(names)
    assert answers.count(409) == len(calls) - len(names)
    assert made(house) == len(names)


def test_a_name_that_is_too_long_is_refused(house: House) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        chat(house, "x" * 256)
    assert refusal.value.param == "Idempotency-Key"


def test_names_are_forgotten_after_a_day(house: House) -> None:
    name = str(uuid4())
    chat(house, name)
    digest = call_keys.digest_of(name)
    house.rows(
        "UPDATE ledger_callkey SET created_at = created_at - interval '24 hours' WHERE digest = %s RETURNING 1", digest
    )
    assert chat(house, name).parse().choices, "an old name is free even before it is swept"
    assert call_keys.forget_old(now=timezone.now()) == 0
    assert call_keys.forget_old(now=timezone.now() + timedelta(days=2)) > 0
    assert house.rows("SELECT * FROM ledger_callkey") == []
