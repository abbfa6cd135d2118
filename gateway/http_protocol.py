"""How a connection is read: uvicorn's protocol over httptools (llhttp, strict), within the bounds that uvicorn does not set.

- A caller has `timeout_keep_alive` seconds for the head of a request, be it silent before it or dripping within it.
- Heads are bounded, and so are requests at once, requests in a row on one connection, and connections.
- What is not HTTP is answered as OpenAI's API answers, after the requests before it, and ends its connection.
- Upgrades are ignored, as RFC 9110 §7.8 allows: Java's own client asks for HTTP/2 wherever it meets a plain port.
- Who does not take its answer is let go, so that neither memory nor a shutdown waits for it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import GatewayError
from gateway.raw_refusals import BUSY, MALFORMED, TOO_LARGE, TOO_SLOW, TUNNEL, raw_refusal

VERSIONS = ("1.1", "1.0")
MOST_HEADERS = 100
MOST_HEAD_BYTES = 64 * 1024
MOST_AT_ONCE = 4096
"""Requests of a process that run at once. Each open stream is one of them."""
MOST_CONNECTIONS = 16_384
MOST_IN_A_ROW = 16
"""Requests that wait on a connection for the one before them."""
MOST_DISCARDED = 8 * 1024 * 1024
"""Of a body that nobody wants any more: so much is taken of it, so that its sender gets to see why."""
SECONDS_TO_TAKE = 60.0
"""After the last byte of an answer was written to a connection that ends."""
SECONDS_TO_LINGER = 2.0
"""After a refusal: a connection closed while its caller still writes is reset, and the refusal is lost."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection. `uvicorn.Config(http="gateway.http_protocol:GatewayProtocol")`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._discarded = 0
        self._refusal: GatewayError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, GatewayError) else MALFORMED)
            return
        if self._in_head:
            self._note_part_of_head(len(data))

    def _note_part_of_head(self, size: int) -> None:
        """Its time runs from its first byte; the piece with that byte may hold something else, but is bounded itself."""
        if self._head_bytes == 0:
            self._head_bytes = 1
            self._wait(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            return
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(TOO_LARGE)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """The parser takes what follows an upgrade for another protocol: so it gets the same request without the wish."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(TUNNEL)
            return
        kept = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        line = method + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([line, *kept, b"", b""]) + rest)

    # -- what the parser finds -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._discarded = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            raise TOO_LARGE

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self.parser.get_http_version() not in VERSIONS:
            raise MALFORMED
        if len(self.url) + sum([len(name) + len(value) for name, value in self.headers]) > MOST_HEAD_BYTES:
            raise TOO_LARGE
        if len(self.tasks) >= MOST_AT_ONCE or len(self.pipeline) >= MOST_IN_A_ROW:
            raise BUSY
        self._in_head = False
        self._unset_keepalive_if_required()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            super().on_body(body)
            return
        self._discarded += len(body)
        if self._discarded > MOST_DISCARDED:
            self.transport.close()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    # -- the end of an answer, and of the connection -------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, _LetGo(app, cycle))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait(SECONDS_TO_TAKE, self.transport.abort)
        elif self._refusal is not None and self.cycle.response_complete:
            self._end(self._refusal)

    def timeout_keep_alive_handler(self) -> None:
        """No head, or none that ends."""
        if self._in_head:
            self._refuse(TOO_SLOW)
        else:
            self.transport.close()
            self._wait(SECONDS_TO_TAKE, self.transport.abort)

    def _refuse(self, error: GatewayError) -> None:
        """Read no further. What was asked before is answered first: an answer must not be taken for another's."""
        self._refusal = error
        if self.cycle is None or self.cycle.response_complete:
            self._end(error)

    def _end(self, error: GatewayError) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(raw_refusal(error))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._wait(SECONDS_TO_LINGER, self.transport.abort)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        """The connection's one clock: for a head, or for the other side to take what was written."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, then)


class _LetGo:
    """The application, whose call may end without an answer: only when the caller had left, or would not take it."""

    __slots__ = ("_app", "_cycle")

    def __init__(self, app: Any, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if not self._cycle.response_complete:
                self._cycle.disconnected = True
                self._cycle.transport.abort()
