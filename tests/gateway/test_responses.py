"""OpenAI's Responses through the gateway: nothing is stored, everything is metered, the last event waits for the commit."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests import stories
from tests.gateway.running import CAPTURED, QUESTIONED, RELEASED, House, look_into_database, wait_until

HELLO = "안녕하세요"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "현재 날씨",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class Reply(BaseModel):
    answer: str


def respond(house: House, **options: Any) -> Any:
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "input": HELLO}
    return house.acme.responses.create(**(given | options))


def test_plain_answer(house: House) -> None:
    answer = house.acme.responses.with_raw_response.create(model=stories.DEVSTRAL, input=HELLO, user="kim")
    response = answer.parse()
    assert response.output_text == "안녕하세요! 무엇을 도와드릴까요?"
    event = house.event_of(answer.headers["x-request-id"])
    assert event is not None
    assert (event["input_tokens"], event["output_tokens"]) == (
        response.usage.input_tokens,
        response.usage.output_tokens,
    )
    assert (event["streamed"], event["finish_reason"], event["end_user"]) == (False, "stop", "kim")
    assert (event["generation_id"], event["reported_cost"] > 0) == (response.id, True)
    assert "cost" not in response.usage.to_dict()
    assert house.hold_of(answer.headers["x-request-id"])["status"] == CAPTURED


def test_details_of_usage_are_read(house: House) -> None:
    usage = {"prompt_tokens": 2000, "cached_tokens": 1500, "cache_write_tokens": 100}
    counts = usage | {"completion_tokens": 50, "reasoning_tokens": 20}
    respond(house, metadata={"sandbox_usage": json.dumps(counts)})
    event = house.event_of(house.newest_hold()["request_id"])
    assert event is not None
    assert (event["input_tokens"], event["cache_read_tokens"], event["cache_write_tokens"]) == (400, 1500, 100)
    assert (event["output_tokens"], event["reasoning_tokens"]) == (50, 20)


def test_streamed_answer(house: House) -> None:
    events = list(respond(house, stream=True))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "안녕하세요! 무엇을 도와드릴까요?"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    event = house.event_of(house.newest_hold()["request_id"])
    assert event is not None
    assert event["output_tokens"] == events[-1].response.usage.output_tokens
    assert event["streamed"] is True
    assert 0 <= event["first_token_ms"] <= event["latency_ms"]
    assert "cost" not in events[-1].response.usage.to_dict()


def test_the_event_that_completes_a_response_waits_for_the_commit(house: House) -> None:
    house.llm.order("slow:0.3")
    seen: list[str] = []
    committed: list[bool] = []
    begun = threading.Event()

    def read() -> None:
        for event in respond(house, stream=True):
            seen.append(event.type)
            begun.set()
            if event.type == "response.completed":
                committed.append(house.event_of(house.newest_hold()["request_id"]) is not None)

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read)
        assert begun.wait(5)
        with look_into_database() as connection, connection.transaction():
            query = "SELECT 1 FROM ledger_balance WHERE organization_id = %s FOR UPDATE"
            connection.execute(query, [house.cast.acme.organization.pk])
            wait_until(lambda: "response.output_item.done" in seen)
            time.sleep(0.5)
            assert "response.completed" not in seen
        reading.result()
    assert committed == [True]


def test_the_stream_helper_and_structured_output(house: House) -> None:
    with house.acme.responses.stream(model=stories.DEVSTRAL, input=HELLO, text_format=Reply) as stream:
        assert any(event.type == "response.output_text.delta" for event in stream)
        assert isinstance(stream.get_final_response().output_parsed, Reply)
    parsed = house.acme.responses.parse(model=stories.DEVSTRAL, input=HELLO, text_format=Reply)
    assert isinstance(parsed.output_parsed, Reply)


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called_and_its_result_answered(house: House, stream: bool) -> None:
    question: Any = [{"role": "user", "content": "서울 날씨를 도구로 알려 주세요"}]
    answer = respond(house, input=question, tools=[WEATHER], stream=stream)
    first = list(answer)[-1].response if stream else answer
    [call] = first.output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert "city" in json.loads(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "맑음, 21도"}
    second = respond(house, input=[*question, call.to_dict(), result], tools=[WEATHER])
    assert "맑음" in second.output_text


@pytest.mark.parametrize("stream", [False, True])
def test_the_cap_is_told_upstream_and_the_answer_is_incomplete(house: House, stream: bool) -> None:
    answer = respond(house, max_output_tokens=3, stream=stream)
    response = list(answer)[-1].response if stream else answer
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    event = house.event_of(house.newest_hold()["request_id"])
    assert event is not None
    assert (event["output_tokens"], event["finish_reason"]) == (response.usage.output_tokens, "max_output_tokens")
    assert event["output_tokens"] <= 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("store", True),
        ("background", True),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
        ("tools", [{"type": "code_interpreter", "container": {"type": "auto"}}]),
        ("tools", [{"type": "image_generation"}]),
        ("tools", [{"type": "mcp", "server_label": "x", "server_url": "https://x.example"}]),
        ("plugins", [{"id": "file-parser"}]),
        ("max_output_tokens", 0),
        ("input", [7]),
        ("stream_options", {"include_obfuscation": False}),
        ("modalities", ["text", "image"]),
        ("instructions", [{"content": [{"type": "input_image", "image_url": "https://x.example/y.png"}]}]),
    ],
)
def test_what_is_stored_or_cannot_be_priced_is_refused(house: House, field: str, value: Any) -> None:
    headers = stories.bearer(house.cast.acme.secret)
    body = {"model": stories.DEVSTRAL, "input": HELLO} | {field: value}
    status, _head, answer = house.gateway.call("POST", "/v1/responses", body, headers)
    assert (status, answer["error"]["type"], answer["error"]["param"]) == (400, "invalid_request_error", field)
    assert house.llm.get("/sandbox/bill")["generations"] == []


def test_store_false_is_what_codes_send(house: House) -> None:
    assert respond(house, store=False, background=False, include=["reasoning.encrypted_content"]).output_text


def test_a_failure_in_mid_stream_is_told_as_a_failed_response(house: House) -> None:
    house.llm.order("error-mid-stream")
    events = list(respond(house, stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.message == "The model's provider broke off the answer."


def test_a_stream_that_is_broken_off_raises(house: House) -> None:
    house.llm.order("drop-mid-stream")
    with pytest.raises(openai.APIError, match="broke off"):
        list(respond(house, stream=True))
    assert wait_until(lambda: house.newest_hold()["status"] == QUESTIONED)


@pytest.mark.parametrize("stream", [False, True])
def test_without_usage_the_answer_is_given_and_the_hold_stays(house: House, stream: bool) -> None:
    house.llm.order("no-usage")
    answer = respond(house, stream=stream)
    response = list(answer)[-1].response if stream else answer
    assert (response.status, response.usage) == ("completed", None)
    hold = house.newest_hold()
    assert wait_until(lambda: house.hold_of(hold["request_id"])["status"] == QUESTIONED)
    assert wait_until(lambda: house.hold_of(hold["request_id"])["generation_id"]) == response.id


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_without_an_answer_is_free(house: House, stream: bool) -> None:
    house.llm.order("zero-completion")
    if stream:
        assert list(respond(house, stream=True))[-1].type == "response.failed"
    else:
        with pytest.raises(openai.InternalServerError):
            respond(house)
    assert wait_until(lambda: house.newest_hold()["status"] == RELEASED)
