"""Server-sent events as they come off a socket: cut anywhere, ended by LF or CRLF, now and then without end.

Reading keeps each event's own bytes, so that what is not changed is passed on exactly as it came.
"""

import re

import msgspec

_END = re.compile(rb"\r?\n\r?\n")
_USUAL = re.compile(rb"data:([^\r\n]*)\n\n")
"""Nearly all events are one line of data: found and taken apart in one step."""
_LONGEST_END = 4
DONE = b"[DONE]"


class EventTooLong(Exception):
    """The upstream sends a line without end. Reading it further would only fill memory."""


class Event(msgspec.Struct, frozen=True):
    """One event: its bytes with the blank line that ends it, and its data; None where it has none (a comment)."""

    raw: bytes
    data: bytes | None


class EventReader:
    """Makes events of chunks. Holds at most `limit` bytes of an unfinished one, then raises EventTooLong."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete now."""
        buffer = self._buffer
        if buffer:
            buffer += chunk
        data = buffer or chunk
        events: list[Event] = []
        begin, search = 0, max(0, self._scanned - _LONGEST_END + 1)
        while True:
            usual = _USUAL.match(data, begin) if search <= begin else None
            if usual is not None:
                raw, text = usual.group(0, 1)
                events.append(Event(bytes(raw), bytes(text).strip()))
                begin = usual.end()
                continue
            end = _END.search(data, max(begin, search))
            if end is None:
                break
            raw = bytes(data[begin : end.end()])
            events.append(Event(raw, data_of(raw)))
            begin = end.end()
        if data is buffer:
            del buffer[:begin]
        else:
            buffer += data[begin:]
        self._scanned = len(buffer)
        if self._scanned > self._limit:
            buffer.clear()
            raise EventTooLong
        return events

    def rest(self) -> Event | None:
        """What the stream ended with, if it was an event without its blank line."""
        raw = bytes(self._buffer).strip()
        self._buffer.clear()
        data = data_of(raw)
        return None if data is None else Event(raw + b"\n\n", data)


def data_of(raw: bytes) -> bytes | None:
    """The data of an event: its `data:` lines without the field's name, joined; other lines say nothing to us."""
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def event_of(data: bytes) -> bytes:
    """`data` (one line) as an event."""
    return b"data: " + data + b"\n\n"
