"""What customers' programs do all day, with OpenAI's own client: it must work with only base URL and key changed."""

import openai
import pytest

from tests import stories
from tests.gateway.running import CAPTURED, House

HELLO = [{"role": "user", "content": "안녕하세요"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "현재 날씨",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_plain_answer(house: House) -> None:
    answer = house.acme.chat.completions.with_raw_response.create(model=stories.DEVSTRAL, messages=HELLO)
    completion = answer.parse()
    assert completion.choices[0].message.content == "안녕하세요! 무엇을 도와드릴까요?"
    assert completion.usage.prompt_tokens and completion.usage.completion_tokens
    assert answer.headers["x-request-id"].startswith("req_")

    event = house.event_of(answer.headers["x-request-id"])
    assert event is not None
    assert str(event["id"]) == answer.headers["x-invoicedream-event"]
    assert event["input_tokens"] == completion.usage.prompt_tokens
    assert event["output_tokens"] == completion.usage.completion_tokens
