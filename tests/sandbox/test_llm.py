"""The upstream stand-in, as the official OpenAI client sees it."""

import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal

import openai
import pytest

from tests.sandbox.processes import StandIn, stand_in

MODEL = "mistralai/devstral-small"
HELLO = [{"role": "user", "content": "안녕하세요"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def llm() -> Iterator[StandIn]:
    with stand_in("llm") as running:
        yield running


@pytest.fixture
def client(llm: StandIn) -> Iterator[openai.OpenAI]:
    llm.call("DELETE", "/sandbox/faults")
    llm.call("DELETE", "/sandbox/bill")
    with openai.OpenAI(base_url=f"{llm.url}/v1", api_key="any", max_retries=0, timeout=5) as made:
        yield made


def bill_of(llm: StandIn) -> list[dict]:
    return llm.get("/sandbox/bill")["generations"]


def test_the_canonical_call(llm, client):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content == "안녕하세요! 무엇을 도와드릴까요?"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 16, 25)
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert usage.completion_tokens_details.reasoning_tokens == 0
    assert Decimal(str(usage.cost)) == 9 * Decimal("0.0000001") + 16 * Decimal("0.0000003")
    assert raw.headers["x-generation-id"] == answer.id
    (entry,) = bill_of(llm)
    assert entry["id"] == answer.id
    assert entry["completed"] and not entry["cancelled"]
    assert (entry["native_tokens_prompt"], entry["native_tokens_completion"]) == (9, 16)


def test_equal_requests_have_equal_answers_under_different_ids(client):
    one, two = (client.chat.completions.create(model=MODEL, messages=HELLO) for _ in range(2))
    assert one.choices == two.choices and one.usage == two.usage
    assert one.id != two.id


def test_a_stream_ends_with_usage_in_a_chunk_without_choices(client):
    plain = client.chat.completions.create(model=MODEL, messages=HELLO)
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert len(chunks) >= 4
    assert chunks[-1].choices == [] and chunks[-1].usage == plain.usage
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_has_comments_and_the_done_mark(llm):
    body = {"model": MODEL, "messages": HELLO, "stream": True}
    status, headers, raw = llm.call("POST", "/api/v1/chat/completions", body)
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["x-generation-id"].startswith("gen-")
    assert raw.startswith(b": OPENROUTER PROCESSING\n\n")
    assert raw.endswith(b"data: [DONE]\n\n")


def test_n_stop_and_max_tokens(client):
    three = client.chat.completions.create(model=MODEL, messages=HELLO, n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    stopped = client.chat.completions.create(model=MODEL, messages=HELLO, stop=["무엇"])
    assert stopped.choices[0].message.content == "안녕하세요! "
    short = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=5)
    assert short.choices[0].finish_reason == "length"
    assert short.choices[0].message.content == "안녕하세요"
    assert short.usage.completion_tokens == 5
    ask = {"model": MODEL, "messages": HELLO, "max_completion_tokens": 2, "n": 2}
    streamed = list(client.chat.completions.create(**ask, stream=True))
    assert {choice.finish_reason for chunk in streamed for choice in chunk.choices} == {None, "length"}
    assert streamed[-1].usage.completion_tokens == 4


def test_tool_call_plain_and_streamed(client):
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "서울 날씨 알려줘"}], "tools": [WEATHER]}
    plain = client.chat.completions.create(**ask)
    (call,) = plain.choices[0].message.tool_calls
    assert plain.choices[0].finish_reason == "tool_calls"
    assert len(call.id) == 9 and call.id.isalnum()
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "서울"}

    chunks = list(client.chat.completions.create(**ask, stream=True))
    deltas = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices and c.choices[0].delta.tool_calls]
    assert deltas[0].function.name == "get_weather" and len(deltas[0].id) == 9
    assert "".join(delta.function.arguments for delta in deltas) == call.function.arguments
    assert chunks[-1].usage == plain.usage


def test_tool_choice_decides(client):
    def finish(**more):
        answer = client.chat.completions.create(model=MODEL, messages=HELLO, tools=[WEATHER], **more)
        return answer.choices[0].finish_reason

    assert finish() == "stop"
    assert finish(tool_choice="required") == "tool_calls"
    assert finish(tool_choice={"type": "function", "function": {"name": "get_weather"}}) == "tool_calls"
    assert finish(tool_choice="none") == "stop"


def test_after_the_tool_has_answered_the_model_speaks(client):
    call = {"id": "a1b2c3d4e", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "날씨?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "맑음"},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert "맑음" in answer.choices[0].message.content


def test_json_mode_and_json_schema(client):
    loose = client.chat.completions.create(model=MODEL, messages=HELLO, response_format={"type": "json_object"})
    assert json.loads(loose.choices[0].message.content)["language"] == "ko"
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 5, "maxLength": 8},
            "level": {"enum": ["low", "high"]},
            "when": {"type": "string", "format": "date"},
            "count": {"type": "integer", "minimum": 3},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
        },
        "required": ["title", "level", "when", "count", "tags", "next"],
        "$defs": {"tag": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}},
    }
    strict = {"type": "json_schema", "json_schema": {"name": "entry", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, response_format=strict)
    value = json.loads(answer.choices[0].message.content)
    assert value == {
        "title": "예시...",
        "level": "low",
        "when": "2026-10-30",
        "count": 3,
        "tags": [{"on": True}, {"on": True}],
        "next": None,
    }


def test_reasoning_is_part_of_the_completion(client):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, reasoning_effort="low")
    reasoning = answer.usage.completion_tokens_details.reasoning_tokens
    assert 0 < reasoning < answer.usage.completion_tokens
    assert answer.choices[0].message.reasoning


def test_a_long_conversation_is_read_from_the_cache(client):
    messages = [{"role": "system", "content": "가" * 2000}, *HELLO]
    usage = client.chat.completions.create(model=MODEL, messages=messages).usage
    assert usage.prompt_tokens == 2000 + 4 + 9
    assert usage.prompt_tokens_details.cached_tokens == 1984


def test_counts_can_be_set(client):
    wish = {"cached_tokens": 7, "prompt_tokens": 100, "reasoning_tokens": 3}
    metadata = {"sandbox_usage": json.dumps(wish)}
    usage = client.chat.completions.create(model=MODEL, messages=HELLO, metadata=metadata).usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (100, 7)
    assert usage.completion_tokens_details.reasoning_tokens == 3


def test_router_answers_with_the_model_it_chose(client):
    assert client.chat.completions.create(model="openrouter/auto", messages=HELLO).model == MODEL


def test_text_completions(client):
    plain = client.completions.create(model=MODEL, prompt="def add(a, b):", max_tokens=6)
    assert plain.object == "text_completion" and plain.choices[0].finish_reason == "length"
    assert plain.usage.completion_tokens == 6
    chunks = list(client.completions.create(model=MODEL, prompt="def add(a, b):", max_tokens=6, stream=True))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == plain.choices[0].text
    assert chunks[-1].usage == plain.usage


def test_embeddings(client):
    answer = client.embeddings.create(model="openai/text-embedding-3-small", input=["하나", "둘"], dimensions=8)
    assert [len(item.embedding) for item in answer.data] == [8, 8]
    assert answer.usage.prompt_tokens == 3
    again = client.embeddings.create(model="openai/text-embedding-3-small", input="하나", dimensions=8)
    assert again.data[0].embedding == answer.data[0].embedding


def test_models_credits_and_generation(llm, client):
    assert MODEL in [model.id for model in client.models.list()]
    made = client.chat.completions.create(model=MODEL, messages=HELLO)
    found = llm.get(f"/api/v1/generation?id={made.id}")["data"]
    assert found["native_tokens_prompt"] == made.usage.prompt_tokens
    assert found["tokens_prompt"] != found["native_tokens_prompt"]
    assert found["total_cost"] == made.usage.cost
    assert llm.call("GET", "/v1/generation?id=gen-nope")[0] == 404
    assert llm.get("/v1/credits")["data"]["total_usage"] == made.usage.cost


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        ({"model": MODEL}, "messages"),
        ({"messages": HELLO}, "No models"),
        ({"model": MODEL, "messages": HELLO, "max_tokens": 0}, "max_tokens"),
        ({"model": MODEL, "messages": HELLO, "tools": 7}, "form"),
        ({"model": MODEL, "messages": HELLO, "metadata": {"sandbox_fault": "nope"}}, "unknown fault"),
    ],
)
def test_bad_requests_are_named(llm, body, message):
    status, _, answer = llm.call("POST", "/v1/chat/completions", body)
    assert status == 400
    assert message in answer["error"]["message"]


@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError),
     (502, openai.InternalServerError), (503, openai.InternalServerError)],
)  # fmt: skip
def test_status_faults_bill_nothing(llm, client, status, raised):
    with pytest.raises(raised) as caught:
        headers = {"x-sandbox-fault": f"status-{status}:7"}
        client.chat.completions.create(model=MODEL, messages=HELLO, extra_headers=headers)
    assert caught.value.status_code == status
    if status in (429, 503):
        assert caught.value.response.headers["retry-after"] == "7"
    assert bill_of(llm) == []


def test_faults_are_ordered_by_metadata_and_by_queue(llm, client):
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=MODEL, messages=HELLO, metadata={"sandbox_fault": "status-429"})
    llm.order("status-500", {"fault": "status-502", "times": 2}, {"fault": "status-503", "where": "/generation"})
    seen = [llm.call("POST", "/v1/completions", {"model": MODEL, "prompt": "hi"})[0] for _ in range(4)]
    assert seen == [500, 502, 502, 200]
    assert llm.call("GET", "/v1/models")[0] == 200
    assert [llm.call("GET", "/v1/generation?id=x")[0] for _ in range(2)] == [503, 404]
    assert llm.call("POST", "/sandbox/faults", "no such fault")[0] == 400


def stream_with(client, fault, **more):
    body = {"metadata": {"sandbox_fault": fault}, **more}
    return client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, **body)


def test_drop_mid_stream_bills_the_whole_answer(llm, client):
    got = []
    with pytest.raises(openai.APIConnectionError):
        got.extend(stream_with(client, "drop-mid-stream"))
    assert got
    (entry,) = bill_of(llm)
    assert entry["state"] == "failed" and not entry["completed"]
    assert entry["native_tokens_completion"] == 16


@pytest.mark.parametrize("fault", ["hang-mid-stream", "hang-before-headers"])
def test_a_caller_who_leaves_is_noted(llm, client, fault):
    with pytest.raises(openai.APIConnectionError):
        list(stream_with(client.with_options(timeout=0.3), fault))
    (entry,) = wait_until(lambda: [e for e in bill_of(llm) if e["state"] != "running"])
    assert entry["cancelled"]
    expected = ("0", 0) if fault == "hang-before-headers" else ("0.0000057", 16)
    assert (entry["cost"], entry["native_tokens_completion"]) == expected


def test_endless_line(llm, client):
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nx-sandbox-fault: endless-line\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", llm.started["port"]), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        tail = b""
        for _ in range(40):
            tail = connection.recv(65536)
    assert len(tail) > 1000 and b"\n\n" not in tail
    (entry,) = wait_until(lambda: [e for e in bill_of(llm) if e["state"] != "running"])
    assert entry["cancelled"]


def wait_until(probe, *, seconds=3.0):
    deadline = time.monotonic() + seconds
    while not (found := probe()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_a_fairer_upstream_bills_what_it_delivered():
    with stand_in("llm", "--bill-delivered", "--chunks", "8", "--chunk-delay-ms", "40") as running:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client:
            stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            next(iter(stream))
            stream.close()
        (entry,) = wait_until(lambda: [e for e in bill_of(running) if e["state"] != "running"])
        assert entry["cancelled"] and 0 < entry["native_tokens_completion"] < 16


def test_error_mid_stream_is_an_error_under_200(llm, client):
    with pytest.raises(openai.APIError, match="Provider disconnected"):
        list(stream_with(client, "error-mid-stream"))
    (entry,) = bill_of(llm)
    assert entry["state"] == "failed" and 0 < entry["native_tokens_completion"] < 16
    body = {"model": MODEL, "messages": HELLO}
    status, _, answer = llm.call("POST", "/v1/chat/completions", body, {"x-sandbox-fault": "error-mid-stream"})
    assert status == 200 and answer["error"]["code"] == 502


def test_usage_in_odd_places(client):
    early = list(stream_with(client, "usage-on-content-chunk"))
    (carrier,) = [chunk for chunk in early if chunk.usage]
    assert carrier.choices[0].delta.content and carrier.usage.completion_tokens == 16
    assert not any(chunk.usage for chunk in stream_with(client, "no-usage"))
    plain = client.chat.completions.create(model=MODEL, messages=HELLO, metadata={"sandbox_fault": "no-usage"})
    assert plain.usage is None


def test_zero_completion_is_free(llm, client):
    *_, last = stream_with(client, "zero-completion")
    assert last.usage.completion_tokens == 0 and last.usage.cost == 0
    assert bill_of(llm)[0]["cost"] == "0"


def test_garbage(llm, client):
    with pytest.raises(json.JSONDecodeError):
        list(stream_with(client, "garbage"))
    body = {"model": MODEL, "messages": HELLO}
    status, _, raw = llm.call("POST", "/v1/chat/completions", body, {"x-sandbox-fault": "garbage"})
    assert status == 200 and isinstance(raw, bytes)


def test_slow(client):
    start = time.monotonic()
    chunks = list(stream_with(client, "slow:0.02"))
    assert time.monotonic() - start > 0.02 * len(chunks)


def test_raw_sockets_keep_alive_pipelined_and_chunked(llm):
    body = json.dumps({"model": MODEL, "messages": HELLO}).encode()
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:11], body[11:])) + b"0\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
    plain = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    address = ("127.0.0.1", llm.started["port"])
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(plain + head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked[:20])
        time.sleep(0.05)
        connection.sendall(chunked[20:] + b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 3
    for broken, status in ((b"nonsense\r\n\r\n", b"400"), (head + b"Content-Length: 99999999\r\n\r\n", b"413")):
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(broken)
            assert connection.recv(65536).split()[1] == status


def test_as_a_bare_openai_server_with_a_key_and_a_bounded_bill():
    with stand_in("llm", "--openai-usage", "--api-key", "secret", "--bill-limit", "2", "--chunks", "30") as running:
        stranger = openai.OpenAI(base_url=f"{running.url}/v1", api_key="wrong", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="secret", max_retries=0) as client:
            silent = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
            assert not any(chunk.usage for chunk in silent)
            assert sum(1 for chunk in silent if chunk.choices[0].delta.content) == 30
            ask = {"model": MODEL, "messages": HELLO, "stream_options": {"include_usage": True}}
            told = list(client.chat.completions.create(**ask, stream=True))
            assert told[-1].usage and not hasattr(told[-1].usage, "cost")
            client.chat.completions.create(model=MODEL, messages=HELLO)
        report = running.get("/sandbox/bill")
        assert (report["count"], report["forgotten"]) == (2, 1)


def test_health_and_clean_end():
    with stand_in("llm") as running:
        assert running.get("/healthz") == running.get("/readyz") == {"status": "ok"}
        assert running.stop() == 0
