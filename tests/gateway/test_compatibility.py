"""What customers' programs do all day, with OpenAI's own client: it must work with only base URL and key changed."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import openai
import pytest
from django.test import Client
from pydantic import BaseModel

from accounts.tenancy import tenant_scope
from metering.receipts import event_named
from tests import stories
from tests.gateway.running import CAPTURED, House

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "현재 날씨",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_plain_answer(house: House) -> None:
    answer = house.acme.chat.completions.with_raw_response.create(
        model=stories.DEVSTRAL, messages=HELLO, user="kim", metadata={"team": "search"}
    )
    completion = answer.parse()
    assert completion.choices[0].message.content == "안녕하세요! 무엇을 도와드릴까요?"

    event = house.event_of(answer.headers["x-request-id"])
    assert event is not None
    assert event["key"] == answer.headers["x-invoicedream-receipt"]
    assert answer.headers["x-invoicedream-receipt-url"].endswith(f"/o/acme/requests/{event['key']}")
    assert 0 <= int(answer.headers["openai-processing-ms"]) <= event["latency_ms"] + 1000
    assert (event["input_tokens"], event["output_tokens"]) == (
        completion.usage.prompt_tokens,
        completion.usage.completion_tokens,
    )
    assert (event["streamed"], event["status"], event["finish_reason"]) == (False, 200, "stop")
    assert event["generation_id"] == completion.id
    assert (event["end_user"], event["tags"]) == ("kim", {"team": "search"})
    assert event["upstream"] == "openai_compatible"
    assert event["latency_ms"] >= 0
    assert event["reported_cost"] > 0
    tokens = completion.usage.total_tokens
    assert event["amount"] == tokens * stories.EXCHANGE_RATE * 4 * (1 + stories.MARKUP) / 100_000_000
    hold = house.hold_of(answer.headers["x-request-id"])
    assert hold["status"] == CAPTURED
    assert event["key"] == str(hold["id"])


WITH_COST = [
    pytest.param({"extra_body": {"usage": {"include": True}}}, id="body"),
    pytest.param({"extra_headers": {"x-invoicedream-cost": "true"}}, id="header"),
]


@pytest.mark.parametrize("wish", WITH_COST)
@pytest.mark.parametrize("fault", ["", "usage-on-content-chunk"])
def test_what_the_call_costs_the_caller_is_in_its_usage(house: House, wish: Any, fault: str) -> None:
    """Exactly what is recorded, as a decimal in a string, plain and in the usage chunk of a stream."""
    wish = {"model": stories.DEVSTRAL, "messages": HELLO} | wish
    whole = house.acme.chat.completions.with_raw_response.create(**wish)
    event = house.event_of(whole.headers["x-request-id"])
    assert event is not None
    usage = whole.parse().usage.to_dict()
    assert (Decimal(usage["cost"]), usage["cost_currency"]) == (event["amount"], "KRW")
    if fault:
        house.llm.order(fault)
    chunks = list(house.acme.chat.completions.create(**wish, stream=True))
    assert [chunk for chunk in chunks if chunk.usage] == [chunks[-1]]
    assert chunks[-1].choices == []
    event = house.event_of(house.newest_hold()["request_id"])
    assert event is not None
    assert Decimal(chunks[-1].usage.to_dict()["cost"]) == event["amount"] > 0


@pytest.mark.parametrize("wish", WITH_COST)
@pytest.mark.parametrize("stream", [False, True])
def test_the_cost_of_a_response(house: House, wish: Any, stream: bool) -> None:
    answer = house.acme.responses.create(model=stories.DEVSTRAL, input="안녕하세요", stream=stream, **wish)
    response = list(answer)[-1].response if stream else answer
    event = house.event_of(house.newest_hold()["request_id"])
    assert event is not None
    assert Decimal(response.usage.to_dict()["cost"]) == event["amount"] > 0


def test_what_the_call_costs_us_is_not_shown(house: House) -> None:
    completion = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert "cost" not in completion.usage.to_dict()
    assert "cost_details" not in completion.usage.to_dict()


def test_streamed_answer(house: House) -> None:
    with house.acme.chat.completions.with_streaming_response.create(
        model=stories.DEVSTRAL, messages=HELLO, stream=True
    ) as answer:
        request_id = answer.headers["x-request-id"]
        receipt = answer.headers["x-invoicedream-receipt"]
        assert answer.headers["content-type"].startswith("text/event-stream")
        chunks = list(answer.parse())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "안녕하세요! 무엇을 도와드릴까요?"
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"
    event = house.event_of(request_id)
    assert event is not None
    assert (event["streamed"], event["key"]) == (True, receipt)
    assert 0 <= event["first_token_ms"] <= event["latency_ms"]


def test_usage_of_a_stream_on_request(house: House) -> None:
    chunks = list(
        house.acme.chat.completions.create(
            model=stories.DEVSTRAL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert [chunk for chunk in chunks if chunk.usage] == [chunks[-1]]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert "cost" not in chunks[-1].usage.to_dict()


def test_usage_on_a_content_chunk_is_read_and_stripped(house: House) -> None:
    house.llm.order("usage-on-content-chunk")
    before = house.charges()
    chunks = list(house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "안녕하세요! 무엇을 도와드릴까요?"
    assert all(chunk.usage is None for chunk in chunks)
    assert house.charges() == before + 1


def test_tools(house: House) -> None:
    question: Any = [{"role": "user", "content": "서울 날씨를 도구로 알려 주세요"}]
    first = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=question, tools=[WEATHER])
    [call] = first.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "맑음, 21도"}
    second = house.acme.chat.completions.create(
        model=stories.DEVSTRAL, messages=[*question, first.choices[0].message.to_dict(), result], tools=[WEATHER]
    )
    assert "맑음" in second.choices[0].message.content


def test_streamed_tool_call(house: House) -> None:
    with house.acme.chat.completions.stream(
        model=stories.DEVSTRAL,
        messages=[{"role": "user", "content": "날씨 도구를 호출해 주세요"}],
        tools=[WEATHER],
        tool_choice="required",
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls[0].function.name == "get_weather"


def test_structured_output(house: House) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    completion = house.acme.chat.completions.create(
        model=stories.DEVSTRAL,
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}},
    )
    assert "answer" in json.loads(completion.choices[0].message.content)


class Reply(BaseModel):
    answer: str


def test_structured_output_is_parsed_by_the_client(house: House) -> None:
    answer = house.acme.chat.completions.parse(model=stories.DEVSTRAL, messages=HELLO, response_format=Reply)
    assert isinstance(answer.choices[0].message.parsed, Reply)
    with house.acme.chat.completions.stream(model=stories.DEVSTRAL, messages=HELLO, response_format=Reply) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Reply)


def test_json_mode(house: House) -> None:
    completion = house.acme.chat.completions.create(
        model=stories.DEVSTRAL, messages=HELLO, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(completion.choices[0].message.content), dict)


def test_mistrals_own_ways_with_tools(house: House) -> None:
    """`any` for required, a tool without its type, the tool's name beside its result, the beginning of an answer."""
    tool: Any = {"function": WEATHER["function"]}
    question: Any = [{"role": "user", "content": "부산"}]
    given: Any = {"model": stories.DEVSTRAL, "tools": [tool], "parallel_tool_calls": False}
    first = house.acme.chat.completions.create(messages=question, tool_choice="any", **given)
    [call] = first.choices[0].message.tool_calls
    assert len(call.id) == 9
    told: Any = {"role": "tool", "name": "get_weather", "tool_call_id": call.id, "content": "비"}
    second = house.acme.chat.completions.create(messages=[*question, first.choices[0].message.to_dict(), told], **given)
    assert "비" in second.choices[0].message.content
    prefix: Any = [*HELLO, {"role": "assistant", "content": "안녕", "prefix": True}]
    assert house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=prefix).choices


def test_an_image_in_a_message(house: House) -> None:
    parts = [
        {"type": "text", "text": "무엇이 보이나요?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    ]
    seen: Any = [{"role": "user", "content": parts}]
    assert house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=seen, max_tokens=50).choices


def test_the_client_tries_again_as_it_does_everywhere(house: House) -> None:
    house.llm.order("status-429:1", "status-503:1")
    before = house.charges()
    client = house.gateway.client(house.cast.acme.secret, max_retries=2)
    assert client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO).choices
    assert house.charges() == before + 1
    house.llm.order("status-429:7")
    with pytest.raises(openai.RateLimitError) as refusal:
        house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert refusal.value.response.headers["retry-after"] == "7"


def test_the_client_knows_the_requests_id(house: House) -> None:
    completion = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert house.event_of(completion._request_id) is not None
    with pytest.raises(openai.NotFoundError) as refusal:
        house.acme.chat.completions.create(model="nobody/knows-it", messages=HELLO)
    assert refusal.value.request_id.startswith("req_")


async def test_the_asynchronous_client(house: House) -> None:
    client = openai.AsyncOpenAI(api_key=house.cast.acme.secret, base_url=f"{house.gateway.url}/v1", max_retries=0)
    async with client:
        stream = await client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        whole = await client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert "".join(pieces) == whole.choices[0].message.content


def test_text_completion_plain_and_streamed(house: House) -> None:
    before = house.charges()
    whole = house.acme.completions.create(model=stories.DEVSTRAL, prompt="안녕하세요")
    pieces = list(house.acme.completions.create(model=stories.DEVSTRAL, prompt="안녕하세요", stream=True))
    assert whole.choices[0].text == "".join(piece.choices[0].text for piece in pieces)
    assert house.charges() == before + 2


def test_several_answers(house: House) -> None:
    completion = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, n=3)
    assert len(completion.choices) == 3


def test_unknown_parameters_reach_the_upstream(house: House) -> None:
    usage = {
        "prompt_tokens": 2000,
        "cached_tokens": 1500,
        "cache_write_tokens": 100,
        "completion_tokens": 50,
        "reasoning_tokens": 20,
    }
    answer = house.acme.chat.completions.with_raw_response.create(
        model=stories.DEVSTRAL, messages=HELLO, extra_body={"metadata": {"sandbox_usage": json.dumps(usage)}}
    )
    event = house.event_of(answer.headers["x-request-id"])
    assert event is not None
    assert (event["input_tokens"], event["cache_read_tokens"], event["cache_write_tokens"]) == (400, 1500, 100)
    assert (event["output_tokens"], event["reasoning_tokens"]) == (50, 20)


def test_models(house: House) -> None:
    [model] = [model for model in house.acme.models.list() if model.id == stories.DEVSTRAL]
    assert (model.object, model.owned_by) == ("model", "mistralai")
    assert model.created > 0
    assert model.to_dict()["context_length"] == 131_072
    assert house.acme.models.retrieve(stories.DEVSTRAL).id == stories.DEVSTRAL
    with pytest.raises(openai.NotFoundError):
        house.acme.models.retrieve("nobody/knows-it")


def test_output_cap_is_told_upstream(house: House) -> None:
    completion = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, max_tokens=3)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens <= 3
    completion = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, max_completion_tokens=3)
    assert completion.usage.completion_tokens <= 3


def test_the_receipt_that_an_answer_names_is_the_calls(house: House) -> None:
    answer = house.acme.chat.completions.with_raw_response.create(model=stories.DEVSTRAL, messages=HELLO)
    event = house.event_of(answer.headers["x-request-id"])
    assert event is not None
    name = UUID(answer.headers["x-invoicedream-receipt"])
    acme, globex = house.cast.acme.organization, house.cast.globex.organization
    with tenant_scope([acme.pk]):
        assert event_named(name, organization=acme) == event["id"]
        assert event_named(event["id"], organization=acme) == event["id"]
    with tenant_scope([globex.pk]):
        assert event_named(name, organization=globex) == name, "a neighbour learns nothing"
    address = f"/api/v1/usage/events/{name}"
    receipt = Client().get(address, headers=stories.bearer(house.cast.acme.secret))
    assert (receipt.status_code, receipt.json()["id"]) == (200, str(event["id"]))
    assert Client().get(address, headers=stories.bearer(house.cast.globex.secret)).status_code == 404
