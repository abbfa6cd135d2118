"""What is promised about money while a call runs: held before the upstream is called, recorded before the last byte goes out,
whoever hangs up and whatever is killed."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests import stories
from tests.gateway.running import CAPTURED, OPEN, QUESTIONED, House, look_into_database, running_gateway, wait_until

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
LONG: Any = [{"role": "user", "content": "Please review my code"}]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def chat(house: House, **options: Any) -> Any:
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "messages": LONG}
    return house.acme.chat.completions.create(**(given | options))


@contextmanager
def balance_locked(house: House) -> Iterator[None]:
    """While it lasts, neither hold nor event of acme can be committed."""
    with look_into_database() as connection, connection.transaction():
        query = "SELECT 1 FROM ledger_balance WHERE organization_id = %s FOR UPDATE"
        connection.execute(query, [house.cast.acme.organization.pk])
        yield


def test_hold_is_committed_before_the_upstream_is_called(house: House, threads: ThreadPoolExecutor) -> None:
    house.llm.order("hang-before-headers")
    before = house.balance()["held"]
    running = threads.submit(chat, house, stream=True)
    wait_until(lambda: house.llm.get("/sandbox/bill")["generations"])
    hold = house.newest_hold()
    assert (hold["status"], hold["upstream"], hold["api_key_id"]) == (OPEN, "openai_compatible", house.cast.acme.key.pk)
    assert hold["amount"] > 0
    assert house.balance()["held"] == before + hold["amount"]
    assert house.event_of(hold["request_id"]) is None

    with pytest.raises(openai.InternalServerError) as failure:
        running.result()
    assert (failure.value.status_code, failure.value.code) == (502, "upstream_timeout")
    assert "not charged" not in failure.value.message
    wait_until(lambda: house.hold_of(hold["request_id"])["status"] == QUESTIONED)
    assert house.balance()["held"] == before + hold["amount"], "nobody knows what it cost: it is not given back"


def test_nothing_is_called_while_the_hold_cannot_be_committed(house: House, threads: ThreadPoolExecutor) -> None:
    with balance_locked(house):
        running = threads.submit(chat, house)
        time.sleep(0.5)
        assert house.llm.get("/sandbox/bill")["generations"] == []
        assert not running.done()
    assert running.result().choices


def test_the_end_of_a_stream_waits_for_the_commit(house: House, threads: ThreadPoolExecutor) -> None:
    house.llm.order("slow:0.05")
    lines: list[str] = []
    committed_at_done: list[bool] = []
    begun = threading.Event()

    def read() -> None:
        with house.acme.chat.completions.with_streaming_response.create(
            model=stories.DEVSTRAL, messages=LONG, stream=True
        ) as answer:
            request_id = answer.headers["x-request-id"]
            for line in answer.iter_lines():
                lines.append(line)
                begun.set()
                if line == "data: [DONE]":
                    committed_at_done.append(house.event_of(request_id) is not None)

    reading = threads.submit(read)
    assert begun.wait(5)
    with balance_locked(house):
        wait_until(lambda: any('"finish_reason":"stop"' in line for line in lines))
        time.sleep(0.5)
        assert "data: [DONE]" not in lines
        assert not reading.done()
    reading.result()
    assert committed_at_done == [True]


def test_a_plain_answer_waits_for_the_commit(house: House, threads: ThreadPoolExecutor) -> None:
    house.llm.order("slow:0.5")
    running = threads.submit(chat, house)
    wait_until(lambda: house.llm.get("/sandbox/bill")["generations"])
    with balance_locked(house):
        time.sleep(1)
        assert house.llm.get("/sandbox/bill")["generations"][0]["completed"]
        assert not running.done()
    assert running.result().choices


def test_the_first_chunk_is_not_held_back(house: House) -> None:
    house.llm.order("slow:0.1")
    began = time.monotonic()
    arrivals = [time.monotonic() - began for _chunk in chat(house, stream=True)]
    assert arrivals[0] < arrivals[-1] / 2


def test_generation_id_is_saved_while_the_stream_runs(house: House) -> None:
    house.llm.order("slow:0.1")
    stream = chat(house, stream=True)
    next(iter(stream))
    hold = house.newest_hold()
    wait_until(lambda: house.hold_of(hold["request_id"])["generation_id"])
    assert house.hold_of(hold["request_id"])["generation_id"].startswith("gen-")
    assert house.hold_of(hold["request_id"])["status"] == OPEN
    list(stream)


def test_caller_leaves_a_stream_and_pays_for_all_of_it(house: House) -> None:
    house.llm.order("slow:0.05")
    stream = chat(house, stream=True)
    next(iter(stream))
    stream.close()
    hold = house.newest_hold()
    event = wait_until(lambda: house.event_of(hold["request_id"]))
    [billed] = wait_until(
        lambda: [entry for entry in house.llm.get("/sandbox/bill")["generations"] if entry["state"] != "running"]
    )
    assert billed["completed"]
    assert event["output_tokens"] == billed["native_tokens_completion"] > 0
    assert house.hold_of(hold["request_id"])["status"] == CAPTURED
    [line] = wait_until(
        lambda: [line for line in house.gateway.log_lines("call") if line["hold_id"] == str(hold["id"])]
    )
    assert line["client_left"] is True


def test_caller_does_not_wait_for_a_plain_answer_and_pays(house: House) -> None:
    house.llm.order("slow:1")
    with pytest.raises(openai.APITimeoutError):
        house.gateway.client(house.cast.acme.secret, timeout=0.3).chat.completions.create(
            model=stories.DEVSTRAL, messages=LONG
        )
    hold = house.newest_hold()
    assert wait_until(lambda: house.event_of(hold["request_id"]))["output_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_cannot_be_committed_in_time(house: House, threads: ThreadPoolExecutor, stream: bool) -> None:
    """The end of the answer is withheld, and recording goes on behind the caller's back until it succeeds."""
    house.llm.order("slow:0.5" if not stream else "slow:0.02")
    begun = threading.Event()

    def read() -> None:
        answer = chat(house, stream=stream)
        for _chunk in answer if stream else ():
            begun.set()

    reading = threads.submit(read)
    wait_until(lambda: house.llm.get("/sandbox/bill")["generations"])
    hold = house.newest_hold()
    assert not stream or begun.wait(5)
    with balance_locked(house):
        with pytest.raises(openai.APIError, match="could not be recorded"):
            reading.result(timeout=6)
        assert house.event_of(hold["request_id"]) is None
        assert house.hold_of(hold["request_id"])["status"] == OPEN
    assert wait_until(lambda: house.event_of(hold["request_id"]))
    assert house.hold_of(hold["request_id"])["status"] == CAPTURED


def test_many_at_once_are_all_recorded_and_nothing_stays_held(house: House) -> None:
    before, held = house.charges(), house.balance()["held"]
    with ThreadPoolExecutor(16) as threads:
        running: list[Future[Any]] = [threads.submit(chat, house, messages=HELLO) for _call in range(64)]
        assert all(call.result().choices for call in running)
    assert house.charges() == before + 64
    assert house.balance()["held"] == held
    assert house.llm.get("/sandbox/bill")["count"] == 64


def test_kill_9_in_mid_stream_leaves_the_hold(house: House, tmp_path: Path) -> None:
    with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
        house.llm.order("slow:0.3")
        stream = gateway.client(house.cast.acme.secret).chat.completions.create(
            model=stories.DEVSTRAL, messages=LONG, stream=True
        )
        next(iter(stream))
        hold = house.newest_hold()
        wait_until(lambda: house.hold_of(hold["request_id"])["generation_id"])
        gateway.kill()
        with pytest.raises(openai.APIConnectionError):
            list(stream)
    left = house.hold_of(hold["request_id"])
    assert (left["status"], left["resolved_at"]) == (OPEN, None)
    assert left["generation_id"] in {entry["id"] for entry in house.llm.get("/sandbox/bill")["generations"]}
    assert house.balance()["held"] >= left["amount"]
    assert house.event_of(hold["request_id"]) is None


def test_a_stop_lets_running_streams_end(house: House, tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
        house.llm.order("slow:0.1")
        stream = gateway.client(house.cast.acme.secret).chat.completions.create(
            model=stories.DEVSTRAL, messages=LONG, stream=True
        )
        next(iter(stream))
        hold = house.newest_hold()
        stopping = threads.submit(gateway.stop)
        assert list(stream)[-1].choices[0].finish_reason == "stop"
        assert stopping.result() == 0
    assert house.event_of(hold["request_id"])


def test_a_stop_waits_for_calls_whose_caller_left(house: House, tmp_path: Path) -> None:
    with running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway:
        house.llm.order("slow:0.1")
        stream = gateway.client(house.cast.acme.secret).chat.completions.create(
            model=stories.DEVSTRAL, messages=LONG, stream=True
        )
        next(iter(stream))
        stream.close()
        hold = house.newest_hold()
        assert gateway.stop() == 0
    assert house.event_of(hold["request_id"])
