"""One connection to an upstream: a request goes out, its answer comes in, as fast as it is read (HTTP/1.1).

httptools takes the bytes apart; what is known here is waiting, bounds and ends. A library made for everything that a browser can
meet took a third of the time in which the gateway's Python runs.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Self, cast

import httptools

LONGEST_HEAD = 64 * 1024
MOST_UNREAD = 256 * 1024
"""Bytes of an answer that may wait for their reader; then the upstream has to."""


class ConnectionLost(Exception):
    """The connection ended, or what came over it is no HTTP, before the answer was complete."""


class Connection(asyncio.Protocol):
    """Carries one request at a time; `has_head` and `is_complete` say how far its answer has come.

    `headers` are those of the answer, by names in lower case; of a repeated one the first counts. `when_lost` is called once.
    """

    def __init__(self, *, when_lost: "Callable[[Connection], None]") -> None:
        self._when_lost = when_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._asked = False
        self._paused = False
        self._lost: str | None = None
        self._forget()

    def _forget(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.has_head = self.is_complete = False
        self._parts: list[bytes] = []
        self._unread = 0
        self._head_bytes = 0
        self._persists = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow: the last one went out whole, its answer is complete, and both sides want to go on.

        Behind the rest of a request that was answered early the next one might be read as a part of it.
        """
        return (
            self.is_complete
            and self._persists
            and not self._unread
            and self._lost is None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has arrived that the loop has not read yet: an end, or what would be taken for the next one's answer."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def ask(self, request: bytes) -> None:
        """Send a whole request. What the last one was answered is forgotten."""
        self._forget()
        self._asked = True
        self._transport.write(request)

    async def head(self, *, by: float) -> Self:
        """Wait for the answer's head until the moment `by` of the loop. Raises TimeoutError, ConnectionLost."""
        while not self.has_head:
            await self._change(by)
        return self

    async def more(self, *, by: float) -> bytes:
        """What has arrived of the body since the last time, waited for if there is nothing; empty at the end.

        Raises TimeoutError, ConnectionLost.
        """
        while not self._parts and not self.is_complete:
            await self._change(by)
        return self.take()

    def take(self) -> bytes:
        """What has arrived of the body since the last time."""
        parts, self._parts, self._unread = self._parts, [], 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def rest(self) -> None:
        """Nothing is asked now: whatever arrives ends the connection."""
        self._asked = False

    def abort(self) -> None:
        """End it at once. Whoever waits gets ConnectionLost."""
        self._transport.abort()

    async def _change(self, by: float) -> None:
        if self._lost is not None:
            raise ConnectionLost(self._lost)
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_at(by, _give_up, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        if not self._asked:
            self.abort()
            return
        self._head_bytes += 0 if self.has_head else len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._persists = False
            self._lose("malformed answer")
        if not self.has_head and self._head_bytes > LONGEST_HEAD:
            self._lose("endless head")
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        until_end = self.has_head and not (b"content-length" in self.headers or b"transfer-encoding" in self.headers)
        if until_end and error is None:
            self.is_complete = True
        self._lose(type(error).__name__ if error else "closed")
        self._wake()
        self._when_lost(self)

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            self.abort()

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise ConnectionLost("an answer to nothing")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self.has_head = True
            self._persists = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._unread += len(body)
        if self._unread > MOST_UNREAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_complete = True
        else:  # of an interim answer (1xx); the one that counts follows
            self.headers.clear()


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
