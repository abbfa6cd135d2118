"""An upstream that refuses, fails, breaks off or talks nonsense: what the caller sees, and what becomes of the hold."""

from pathlib import Path
from typing import Any

import openai
import pytest

from config.launch.ports import free_port
from tests import stories
from tests.gateway.conftest import UPSTREAM_KEY
from tests.gateway.running import CAPTURED, QUESTIONED, RELEASED, House, running_gateway, wait_until

LONG: Any = [{"role": "user", "content": "Please review my code"}]


def chat(house: House, **options: Any) -> Any:
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "messages": LONG}
    return house.acme.chat.completions.create(**(given | options))


def fate(house: House) -> int:
    """What became of the newest hold, which must not have been charged."""
    hold = house.newest_hold()
    assert house.event_of(hold["request_id"]) is None
    return int(hold["status"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "shown", "code"),
    [
        (400, 400, "upstream_refused"),
        (401, 502, "upstream_unavailable"),
        (402, 502, "upstream_unavailable"),
        (403, 502, "upstream_unavailable"),
        (408, 502, "upstream_unavailable"),
        (429, 429, "rate_limit_exceeded"),
        (500, 502, "upstream_unavailable"),
        (502, 502, "upstream_unavailable"),
        (503, 502, "upstream_unavailable"),
    ],
)
def test_refused_before_the_answer(house: House, status: int, shown: int, code: str, stream: bool) -> None:
    house.llm.order(f"status-{status}:7")
    with pytest.raises(openai.APIStatusError) as failure:
        chat(house, stream=stream)
    assert (failure.value.status_code, failure.value.code) == (shown, code)
    assert UPSTREAM_KEY not in str(failure.value.body)
    assert house.llm.url not in str(failure.value.body)
    if shown == 429:
        assert failure.value.response.headers["retry-after"] == "7"
    if shown == 502:
        assert str(status) not in failure.value.message or status == 502
    assert fate(house) == RELEASED


def test_upstream_down(house: House, tmp_path: Path) -> None:
    elsewhere = {"UPSTREAM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    with running_gateway({**house.environment, **elsewhere}, log=tmp_path / "gateway.log") as gateway:
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as failure:
                gateway.client(house.cast.acme.secret).chat.completions.create(
                    model=stories.DEVSTRAL, messages=LONG, stream=stream
                )
            assert (failure.value.status_code, failure.value.code) == (502, "upstream_unavailable")
            assert "not charged" in failure.value.message
            assert fate(house) == RELEASED


def test_the_client_s_own_retries_get_through(house: House) -> None:
    house.llm.order("status-503", "status-500")
    client = house.gateway.client(house.cast.acme.secret, max_retries=2)
    before = house.charges()
    assert client.chat.completions.create(model=stories.DEVSTRAL, messages=LONG).choices
    assert house.charges() == before + 1


@pytest.mark.parametrize("fault", ["drop-mid-stream", "error-mid-stream", "garbage", "hang-mid-stream", "endless-line"])
def test_stream_breaks_off(house: House, fault: str) -> None:
    """What it cost is not known: neither free nor invented, the hold stays for the sweeper's question."""
    house.llm.order(fault)
    pieces = []
    with pytest.raises(openai.APIError) as failure:
        for chunk in chat(house, stream=True):
            pieces.append(chunk)
    assert pieces, "what came before the failure was passed on"
    assert "broke off" in failure.value.message
    wait_until(lambda: fate(house) == QUESTIONED)
    wait_until(lambda: house.newest_hold()["generation_id"])


@pytest.mark.parametrize("fault", ["drop-mid-stream", "garbage", "hang-mid-stream"])
def test_plain_answer_breaks_off(house: House, fault: str) -> None:
    house.llm.order(fault)
    with pytest.raises(openai.InternalServerError) as failure:
        chat(house)
    assert failure.value.status_code == 502
    wait_until(lambda: fate(house) == QUESTIONED)


def test_error_instead_of_a_plain_answer_is_free(house: House) -> None:
    house.llm.order("error-mid-stream")
    with pytest.raises(openai.InternalServerError):
        chat(house)
    assert fate(house) == RELEASED


@pytest.mark.parametrize("stream", [False, True])
def test_answer_without_usage(house: House, stream: bool) -> None:
    house.llm.order("no-usage")
    answer = chat(house, stream=stream)
    assert (list(answer)[-1] if stream else answer).choices[0].finish_reason == "stop"
    wait_until(lambda: fate(house) == QUESTIONED)


@pytest.mark.parametrize("stream", [False, True])
def test_zero_completion_is_free(house: House, stream: bool) -> None:
    house.llm.order("zero-completion")
    answer = chat(house, stream=stream)
    assert (list(answer) if stream else answer) is not None
    assert fate(house) == RELEASED


@pytest.mark.parametrize("stream", [False, True])
def test_memory_stays_bounded_and_the_next_call_works(house: House, stream: bool) -> None:
    house.llm.order("endless-line")
    with pytest.raises(openai.APIError):
        list(chat(house, stream=stream))
    assert chat(house).choices
    assert house.hold_of(house.newest_hold()["request_id"])["status"] == CAPTURED


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5},
        {"completion_tokens": 10**12},
    ],
)
def test_impossible_counts_are_not_charged(house: House, usage: dict[str, int]) -> None:
    assert chat(house, extra_body={"metadata": {"sandbox_usage": usage}}).choices
    wait_until(lambda: fate(house) == QUESTIONED)
