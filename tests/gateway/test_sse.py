"""Events are found whatever the chunks look like, and memory stays bounded."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import Event, EventReader, EventTooLong, data_of

STREAM = (
    b": OPENROUTER PROCESSING\n\n"
    b'data: {"a": 1}\r\n\r\n'
    b"data:{no space}\n\n"
    b"event: message\ndata: one\ndata: two\n\n"
    b"data: \xea\xb0\x80\n\n"
    b"data: [DONE]\n\n"
)
DATA = [None, b'{"a": 1}', b"{no space}", b"one\ntwo", "가".encode(), b"[DONE]"]


def read(chunks: list[bytes]) -> list[Event]:
    reader = EventReader(limit=1000)
    return [event for chunk in chunks for event in reader.feed(chunk)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    events = read([STREAM[begin:end] for begin, end in itertools.pairwise(places)])
    assert [event.data for event in events] == DATA
    assert b"".join(event.raw for event in events) == STREAM


def test_byte_by_byte() -> None:
    assert [event.data for event in read([STREAM[i : i + 1] for i in range(len(STREAM))])] == DATA


def test_an_event_that_lacks_its_blank_line_is_found_at_the_end() -> None:
    reader = EventReader(limit=1000)
    assert reader.feed(b"data: [DONE]\n") == []
    assert reader.rest() == Event(b"data: [DONE]\n\n", b"[DONE]")
    assert reader.rest() is None


def test_a_line_without_end_is_given_up() -> None:
    reader = EventReader(limit=1000)
    reader.feed(b"data: " + b"x" * 900)
    with pytest.raises(EventTooLong):
        reader.feed(b"x" * 900)


def test_what_is_no_field_is_no_data() -> None:
    assert data_of(b"\xff\xfe no field at all\n\n") is None
    assert data_of(b":data: comment\n\n") is None
