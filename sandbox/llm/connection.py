"""A small HTTP/1.1 server on asyncio's protocols: cheap enough for benchmarks, and able to break a socket anywhere.

A handler returns either the bytes of a whole response, which go out at once, or a coroutine, which is run with the
connection and is cancelled when the caller goes away. Requests of one connection are answered one after the other.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.process import log

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
LAST_CHUNK = b"0\r\n\r\n"

Reply = bytes | Coroutine[Any, Any, None]
Handler = Callable[["Request", "Connection"], Reply]


@dataclass(slots=True)
class Request:
    """Header names are in lower case; the path carries no query."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class BadMessageError(Exception):
    """The bytes are not a request that can be read; the status says in which way."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class CallerLeftError(Exception):
    """There is nobody left to send to."""


def response(
    body: bytes, *, status: int = 200, content_type: str = "application/json", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A whole response with its length."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        f"HTTP/1.1 {status} {_phrase(status)}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    ).encode("latin-1") + body


def stream_head(*, content_type: str = "text/event-stream", headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The head of a response that is sent in chunks."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-cache\r\n"
        f"Transfer-Encoding: chunked\r\n{extra}\r\n"
    ).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Connection(asyncio.Protocol):
    """One caller's connection."""

    def __init__(self, handle: Handler, open_connections: set["Connection"]) -> None:
        self._handle = handle
        self._open = open_connections
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str], bool] | None = None
        self._body_start = 0
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport: asyncio.Transport

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        self._writable.set()
        if self._task:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._answer_what_is_there()
        elif len(self._buffer) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            self.transport.abort()

    # the handler's side

    async def send(self, data: bytes) -> None:
        """Write and wait while the caller reads too slowly."""
        if self.transport.is_closing():
            raise CallerLeftError
        self.transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    def drop(self) -> None:
        """Close the socket where the stream stands, so that the caller sees an incomplete answer."""
        self.transport.close()

    # reading

    def _answer_what_is_there(self) -> None:
        while self._task is None and not self.transport.is_closing():
            try:
                request = self._next_request()
            except BadMessageError as error:
                self.transport.write(response(b"", status=error.status, headers=(("Connection", "close"),)))
                self.transport.close()
                return
            if request is None:
                return
            reply = self._handle(request, self)
            if isinstance(reply, bytes):
                self.transport.write(reply)
                if not request.keep_alive:
                    self.transport.close()
            else:
                self._task = asyncio.get_running_loop().create_task(reply)
                self._task.add_done_callback(partial(self._finished, request.keep_alive))

    def _finished(self, keep_alive: bool, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or isinstance(task.exception(), CallerLeftError):
            self.transport.abort()
        elif task.exception():
            log("sandbox_error", error=type(task.exception()).__name__)
            self.transport.abort()
        elif not keep_alive:
            self.transport.close()
        else:
            self._answer_what_is_there()

    def _next_request(self) -> Request | None:
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        method, target, headers, keep_alive = self._head
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body, end = self._chunked_body()
        else:
            body, end = self._plain_body(headers)
        if body is None:
            return None
        del self._buffer[:end]
        self._head = None
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query)) if parts.query else {}
        return Request(method, unquote(parts.path), query, headers, body, keep_alive)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadMessageError(431)
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadMessageError(400)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        connection = headers.get("connection", "").lower()
        keep_alive = "close" not in connection if words[2] == "HTTP/1.1" else "keep-alive" in connection
        self._head = (words[0], words[1], headers, keep_alive)
        self._body_start = end + 4
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _plain_body(self, headers: dict[str, str]) -> tuple[bytes | None, int]:
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise BadMessageError(400)
        if int(length) > MAX_BODY_BYTES:
            raise BadMessageError(413)
        end = self._body_start + int(length)
        return (bytes(self._buffer[self._body_start : end]), end) if len(self._buffer) >= end else (None, 0)

    def _chunked_body(self) -> tuple[bytes | None, int]:
        """The whole body, or None while chunks are missing; hops from size to size, so that waiting is cheap."""
        position = self._body_start
        parts: list[bytes] = []
        while True:
            line_end = self._buffer.find(b"\r\n", position, position + 1024)
            if line_end < 0:
                return None, 0
            try:
                size = int(self._buffer[position:line_end].split(b";")[0], 16)
            except ValueError:
                raise BadMessageError(400) from None
            position = line_end + 2
            if position + size - self._body_start > MAX_BODY_BYTES:
                raise BadMessageError(413)
            if len(self._buffer) < position + size + 2:
                return None, 0
            if size == 0:
                return b"".join(parts), position + 2
            parts.append(bytes(self._buffer[position : position + size]))
            position += size + 2
