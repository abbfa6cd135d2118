"""Serves a WSGI application under ASGI: a thread is taken when a request is complete, so that slow senders keep nobody waiting.

Under granian's own WSGI a thread waits for the body, without end: a handful of sockets that send a byte now and then would stop the
site. Here the event loop collects the body, within bounds of size and time; threads only work. They are few and stay, because each
keeps its connections to PostgreSQL.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import IO, Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MOST_BYTES = 64 * 1024 * 1024
"""More than any view takes (USAGE_MAX_BODY). Each has a lower limit of its own, and an answer that explains it."""
SECONDS_OF_PATIENCE = 60.0
"""A caller's time to send its body, and to take each piece of its answer."""
IN_MEMORY = 256 * 1024
"""Bytes of a body beyond which it is collected in a file."""


PIECE = 64 * 1024
"""Bytes that go out at once: files come in small bits, and each way from a thread to the event loop costs the same."""


class BufferedWsgi:
    """The ASGI application before `application`, which runs in so many threads."""

    def __init__(self, application: Application, *, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            with SpooledTemporaryFile(max_size=IN_MEMORY) as body:
                await self._answer(scope, receive, send, body)

    async def _live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await asyncio.to_thread(self._threads.shutdown)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Message, receive: Receive, send: Send, body: IO[bytes]) -> None:
        try:
            async with asyncio.timeout(SECONDS_OF_PATIENCE):
                refusal = await collect(receive, body)
        except TimeoutError:
            refusal = 408
        except ConnectionError:
            return
        if refusal:
            await send({"type": "http.response.start", "status": refusal, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b""})
            return
        environ = environ_of(scope, body) | {"CONTENT_LENGTH": str(body.tell())}
        body.seek(0)
        loop = asyncio.get_running_loop()

        def deliver(message: Message) -> None:
            asyncio.run_coroutine_threadsafe(wait_for_taker(send(message)), loop).result()

        try:
            for message in await loop.run_in_executor(self._threads, self._run, environ, deliver):
                await wait_for_taker(send(message))
        except TimeoutError:
            pass

    def _run(self, environ: dict[str, Any], deliver: Callable[[Message], None]) -> list[Message]:
        """One request, in a thread. Who does not take its answer in time loses the rest of it.

        The last piece, most often the only one however big it is, is returned: the event loop sends it, and the thread is free.
        """
        start: Message = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            start.update(type="http.response.start", status=int(status[:3]), headers=fields)
            return lambda data: None

        pieces = self._application(environ, start_response)
        try:
            gathered = bytearray()
            for piece in pieces:
                if len(gathered) >= PIECE:
                    for message in messages_of(start, bytes(gathered), more=True):
                        deliver(message)
                    gathered.clear()
                gathered += piece
            return messages_of(start, bytes(gathered), more=False)
        except TimeoutError:
            return []
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()


def messages_of(start: Message, body: bytes, *, more: bool) -> list[Message]:
    """A piece of the answer; the head goes out with the first one."""
    head = [dict(start)] if start else []
    start.clear()
    return [*head, {"type": "http.response.body", "body": body, "more_body": more}]


async def wait_for_taker(sending: Awaitable[None]) -> None:
    """Wait until a piece of an answer is on its way, within bounds."""
    async with asyncio.timeout(SECONDS_OF_PATIENCE):
        await sending


async def collect(receive: Receive, body: IO[bytes]) -> int:
    """Write the body of a request to `body`; returns the status of a refusal, or 0. Raises ConnectionError if the caller leaves."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            return 413
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
    return 0


def environ_of(scope: Message, body: IO[bytes]) -> dict[str, Any]:
    """A WSGI environ (PEP 3333). Header names with an underscore are left out: they would pass for others with a hyphen."""
    host, port = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        if b"_" in name:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}" if key in environ else text
    return environ
