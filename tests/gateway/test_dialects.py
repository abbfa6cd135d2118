"""What of a stream goes out at once and what waits, event by event, whatever the upstream's JSON looks like."""

from decimal import Decimal

import pytest

from gateway.asks import Ask, read_ask
from gateway.dialects.base import Dialect
from gateway.dialects.choices import CHAT_COMPLETIONS
from gateway.dialects.responses import RESPONSES
from gateway.dialects.shown import Cost
from gateway.errors import UpstreamFailed
from gateway.sse import Event, data_of
from gateway.upstreams.openai_answers import Observed, Unreadable

COST = Cost(Decimal("0.00123000"), "KRW")
USAGE = b'"usage": {"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.5}'


def ask(**fields: object) -> Ask:
    return read_ask({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, **fields})


def run(dialect: Dialect, events: list[bytes], wish: Ask, cost: Cost | None = None) -> tuple[bytes, bytes]:
    """What was passed on at once, and what ended the stream."""
    observed, held, out = Observed(), None, b""
    for raw in events:
        event = Event(raw, data_of(raw))
        assert event.data is not None
        seen = dialect.take(observed, event.data)
        held = event if seen.held else held
        out += dialect.piece(event, seen, wish)
    return out, dialect.ending(held, wish, cost=cost)


def test_a_usage_chunk_waits_and_is_shown_to_whoever_asked() -> None:
    chunk = b'data: {"id": "x", "choices": [{"delta": {}}]}\n\n'
    for choices in (b"[]", b"[ ]", b"null"):
        usage = b'data: {"id": "x", "choices": ' + choices + b", " + USAGE + b"}\n\n"
        events = [chunk, usage, b"data: [DONE]\n\n"]
        assert run(CHAT_COMPLETIONS, events, ask()) == (chunk, b"data: [DONE]\n\n")
        out, ending = run(CHAT_COMPLETIONS, events, ask(stream_options={"include_usage": True}))
        assert out == chunk
        assert b'"usage":{"prompt_tokens":5,"completion_tokens":2}' in ending
        assert ending.endswith(b"\n\ndata: [DONE]\n\n")


def test_usage_beside_a_choice_is_told_once() -> None:
    last = b'data: {"id": "x", "choices": [{"delta": {"content": "b"}}], ' + USAGE + b"}\n\n"
    out, ending = run(CHAT_COMPLETIONS, [last, b"data: [DONE]\n\n"], ask(stream_options={"include_usage": True}))
    assert out.count(b"prompt_tokens") == 1 and b"cost" not in out
    assert ending == b"data: [DONE]\n\n"
    out, ending = run(CHAT_COMPLETIONS, [last, b"data: [DONE]\n\n"], ask(usage={"include": True}), COST)
    assert b"usage" not in out and b'"content": "b"' in out
    assert b'"choices":[]' in ending and b'"cost":"0.00123","cost_currency":"KRW"' in ending


def test_the_last_event_of_a_response_waits_with_its_usage() -> None:
    begun = b'event: response.created\ndata: {"type": "response.created", "response": {"id": "r", "output": []}}\n\n'
    delta = b'event: x\ndata: {"type": "response.output_text.delta", "delta": "a"}\n\n'
    usage = b'{"input_tokens": 5, "output_tokens": 2, "cost": 0.5, "is_byok": false}'
    done = b'data: {"type": "response.completed", "response": {"status": "completed", "usage": ' + usage + b"}}\n\n"
    out, ending = run(RESPONSES, [begun, delta, done], ask(), COST)
    assert out == begun + delta
    assert ending.startswith(b"event: response.completed\ndata: {")
    assert b'"usage":{"input_tokens":5,"output_tokens":2,"cost":"0.00123","cost_currency":"KRW"}' in ending
    assert b"cost" not in run(RESPONSES, [begun, delta, done], ask())[1]


def test_searches_of_a_response_are_counted_where_the_usage_does_not_say() -> None:
    observed = Observed()
    items = b'[{"type": "web_search_call"}, {"type": "web_search_call"}, {"type": "message"}]'
    counts = b'{"input_tokens": 5, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 2}'
    seen = RESPONSES.take(
        observed, b'{"id": "r", "status": "completed", "output": ' + items + b', "usage": ' + counts + b"}"
    )
    assert seen.delivers and observed.usage is not None
    assert (observed.usage.counts.searches, observed.usage.counts.cache_read_tokens) == (2, 3)
    assert (observed.generation_id, observed.finish_reason) == ("r", "stop")


def test_a_failed_response_is_told_in_our_words() -> None:
    observed = Observed()
    error = b'{"code": "x", "message": "sk-secret"}'
    failed = b'data: {"type": "response.failed", "response": {"status": "failed", "error": ' + error + b"}}\n\n"
    event = Event(failed, data_of(failed))
    assert event.data is not None
    assert RESPONSES.take(observed, event.data).ends
    assert observed.error is not None and observed.costs_nothing is False
    told = RESPONSES.broken(UpstreamFailed("It broke."), event)
    assert told.startswith(b"event: response.failed\n") and b"It broke." in told and b"sk-secret" not in told
    assert RESPONSES.broken(UpstreamFailed("It broke."), None).startswith(b"event: error\n")


@pytest.mark.parametrize(
    "data",
    [
        b"42",
        b'{"type": "response.completed", "response": 5}',
        b'{"type": "response.completed"}',
        b"\xff",
        b"",
        b"[" * 100_000,
    ],
)
def test_nonsense_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        RESPONSES.take(Observed(), data)
