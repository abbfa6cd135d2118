"""A deploy: the process is told to stop while streams run. None is cut within the drain time, and none goes unmetered."""

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from django.utils import timezone
from pytest_django import Settings

from tests import stories
from tests.gateway.running import CAPTURED, QUESTIONED, House, running_gateway, wait_until
from tests.gateway.sweeping import billed, charged, sweeper

LONG: Any = [{"role": "user", "content": "Please review my code"}]
STREAMS = 50


@pytest.fixture
def began() -> datetime:
    return timezone.now()


def ask_on(connection: http.client.HTTPConnection, secret: str) -> tuple[int, Any, dict[str, str]]:
    """Status, body and headers of a call on a connection that may have been used before."""
    body = json.dumps({"model": stories.DEVSTRAL, "messages": LONG})
    connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {secret}"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read()), dict(answer.headers)


def test_fifty_streams_end_while_new_calls_go_elsewhere(house: House, began: datetime, tmp_path: Path) -> None:
    secret = house.cast.acme.secret
    with (
        running_gateway(house.environment, log=tmp_path / "gateway.log") as gateway,
        ThreadPoolExecutor(STREAMS + 1) as threads,
    ):
        house.llm.order({"fault": "slow:0.15", "times": STREAMS})
        kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        begun = threading.Barrier(STREAMS + 1)

        def read() -> str:
            stream = gateway.client(secret, timeout=60).chat.completions.create(
                model=stories.DEVSTRAL, messages=LONG, stream=True
            )
            reasons = []
            for position, chunk in enumerate(stream):
                if position == 0:
                    begun.wait(timeout=30)
                reasons += [chunk.choices[0].finish_reason]
            return str(reasons[-1])

        reading = [threads.submit(read) for _stream in range(STREAMS)]
        begun.wait(timeout=30)
        stopping = threads.submit(gateway.stop)
        time.sleep(0.5)
        try:
            status, body, headers = ask_on(kept, secret)
        except (ConnectionError, http.client.HTTPException):
            pass
        else:
            assert (status, body["error"]["code"]) == (503, "temporarily_unavailable")
            assert int(headers["retry-after"]) > 0
        with pytest.raises(OSError):
            ask_on(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=2), secret)
        assert [stream.result(timeout=60) for stream in reading] == ["stop"] * STREAMS
        assert stopping.result(timeout=60) == 0
    assert charged(house, since=began) == billed(house)
    assert len(billed(house)) == STREAMS
    assert not house.rows("SELECT id FROM ledger_hold WHERE created_at >= %s AND status <> %s", began, CAPTURED)


@pytest.mark.parametrize("fault", ["slow:0.5", "hang-mid-stream", "hang-before-headers"])
def test_what_outlives_the_drain_is_a_question_at_once(
    house: House, began: datetime, settings: Settings, tmp_path: Path, fault: str
) -> None:
    patient = {"GATEWAY_TOTAL_SECONDS": "60", "GATEWAY_CHUNK_SECONDS": "60", "GATEWAY_FIRST_BYTE_SECONDS": "60"}
    environment = {**house.environment, **patient, "GATEWAY_DRAIN_SECONDS": "1"}
    sweep = sweeper(house, settings)
    with (
        running_gateway(environment, log=tmp_path / "gateway.log") as gateway,
        ThreadPoolExecutor(2) as threads,
    ):
        house.llm.order(fault)

        def read() -> None:
            list(
                gateway.client(house.cast.acme.secret, timeout=60).chat.completions.create(
                    model=stories.DEVSTRAL, messages=LONG, stream=True
                )
            )

        reading = threads.submit(read)
        wait_until(lambda: house.llm.get("/sandbox/bill")["generations"])
        hold = house.newest_hold()
        answers = fault != "hang-before-headers"
        wait_until(lambda: not answers or house.hold_of(hold["request_id"])["generation_id"])
        assert threads.submit(gateway.stop).result(timeout=15) == 0
        with pytest.raises(openai.APIError):
            reading.result(timeout=5)
        assert gateway.log_lines("calls cut by shutdown")
        assert gateway.log_lines("call")[0]["fate"] == "question"
    assert house.hold_of(hold["request_id"])["status"] == QUESTIONED
    if answers:
        wait_until(lambda: billed(house))
        assert sweep(timedelta(minutes=1)) == 1
        assert charged(house, since=began) == billed(house)
