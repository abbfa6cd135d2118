"""What a connection may ask of the process before any of our code is asked: how long, how much, in which order."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from uvicorn import Config, Server

from gateway import http_protocol
from gateway.http_protocol import GatewayProtocol

SMALL = 32 * 1024
"""Of the kernel's buffers, so that what a caller does not take stays with us."""
GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Echo:
    """An application that says what it was asked, once it is let to; `sent` are the bytes that it got rid of."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    paths: list[str] = field(default_factory=list)
    reads: bool = True
    pieces: int = 0
    sent: int = 0
    gone: bool = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        body = b""
        while self.reads:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            async with asyncio.timeout(1):
                for _piece in range(self.pieces):
                    await send({"type": "http.response.body", "body": bytes(SMALL), "more_body": True})
                    self.sent += SMALL
        except TimeoutError:
            self.gone = True
            return
        answer = scope["path"].encode() + b" " + body
        await send({"type": "http.response.body", "body": answer, "more_body": False})


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until the connection ends, in whichever way."""
    got = b""
    try:
        while piece := await reader.read(SMALL):
            got += piece
    except ConnectionError:
        pass
    return got


@dataclass
class House:
    port: int
    app: Echo
    server: Server

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=plain, limit=SMALL)

    async def ask(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """All that comes back until the server ends the connection."""
        reader, writer = await self.open()
        answer = asyncio.create_task(read_all(reader))
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        try:
            return await asyncio.wait_for(answer, 10)
        finally:
            writer.close()


@asynccontextmanager
async def serving(*, head_seconds: float = 30.0, **about: Any) -> AsyncIterator[House]:
    app = Echo(**about)
    app.may_answer.set()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    config = Config(
        app,
        http=GatewayProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=head_seconds,  # type: ignore[arg-type]
    )
    server = Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield House(listening.getsockname()[1], app, server)
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, 10)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code of the last answer, which is a refusal in OpenAI's shape that ends its connection."""
    head, body = answer[answer.rindex(b"HTTP/1.1 ") :].split(b"\r\n\r\n", 1)
    lines = head.decode().lower().split("\r\n")
    assert "connection: close" in lines
    assert "content-type: application/json" in lines
    assert not [line for line in lines if line.startswith("server:")]
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error["code"]


CLOSING = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
     b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", b"GET / HTTP/1.1\r\nX: 1\r\n 2\r\n\r\n",
     b"GET / HTTP/1.1\r\nX: 1\rY: 2\r\n\r\n", b"GET / HTTP/1.1\r\nX : 1\r\n\r\n", b"GET http://a HTTP/1.1\r\n\r\n"],
)  # fmt: skip
async def test_what_is_not_http_is_refused_in_words_that_clients_understand(nonsense: bytes) -> None:
    async with serving() as house:
        assert refusal(await house.ask(nonsense)) == (400, "invalid_request")
        assert house.app.paths == []


async def test_a_chunk_extension_without_end_is_not_kept() -> None:
    async with serving(reads=False, head_seconds=0.5) as house:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;"
        answer = await house.ask(head, *[b"a" * http_protocol.MOST_HEAD_BYTES] * 3)
        assert answer.startswith(b"HTTP/1.1 200")  # by an application that asks for no body, as ours does


async def test_nonsense_behind_a_request_is_answered_after_it() -> None:
    async with serving() as house:
        house.app.may_answer.clear()
        asking = asyncio.create_task(house.ask(GET % 1, GET % 2 + b"nonsense\r\n\r\n", CLOSING))
        await until(lambda: house.app.paths)
        await asyncio.sleep(0.1)
        house.app.may_answer.set()
        answer = await asking
        assert house.app.paths == ["/1", "/2"]
        assert answer.index(b"/1 ") < answer.index(b"/2 ") < answer.index(b"HTTP/1.1 400")
        assert refusal(answer) == (400, "invalid_request")


async def test_requests_in_a_row_are_so_many() -> None:
    async with serving() as house:
        house.app.may_answer.clear()
        row = b"".join(GET % number for number in range(100))
        asking = asyncio.create_task(house.ask(row))
        await until(lambda: house.app.paths)
        house.app.may_answer.set()
        answer = await asking
        assert answer.count(b"HTTP/1.1 200") == len(house.app.paths) == http_protocol.MOST_IN_A_ROW + 1
        assert refusal(answer) == (503, "temporarily_unavailable")


async def test_requests_at_once_are_so_many_and_the_next_is_told_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "MOST_AT_ONCE", 3)
    async with serving() as house:
        house.app.may_answer.clear()
        asking = [asyncio.create_task(house.ask(CLOSING)) for _number in range(3)]
        await until(lambda: len(house.app.paths) == 3)
        beyond = await house.ask(CLOSING)
        assert refusal(beyond) == (503, "temporarily_unavailable")
        assert b"\r\nretry-after: 2\r\n" in beyond
        house.app.may_answer.set()
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in await asyncio.gather(*asking))
        assert (await house.ask(CLOSING)).startswith(b"HTTP/1.1 200")


async def test_connections_are_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MOST_CONNECTIONS", 2)
    async with serving() as house:
        opened = [await house.open() for _number in range(2)]
        assert refusal(await house.ask()) == (503, "temporarily_unavailable")
        opened[0][1].close()
        await until(lambda: len(house.server.server_state.connections) < 2)
        assert (await house.ask(CLOSING)).startswith(b"HTTP/1.1 200")
        opened[1][1].close()


async def test_who_says_nothing_or_never_ends_its_head_is_closed() -> None:
    async with serving(head_seconds=0.5) as house:
        loop = asyncio.get_running_loop()
        began = loop.time()
        silent, lines, dripping, idle = await asyncio.gather(
            house.ask(),
            house.ask(*[b"\r\n"] * 15, pause=0.1),
            house.ask(b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 15, pause=0.1),
            house.ask(GET % 1),
        )
        assert silent == lines == b""
        assert refusal(dripping) == (408, "request_timeout")
        assert idle.endswith(b"/1 \r\n0\r\n\r\n")
        assert loop.time() - began < 8


async def test_the_time_of_a_head_runs_from_its_first_byte() -> None:
    async with serving(head_seconds=0.8) as house:
        head = b"GET /late HTTP/1.1\r\n", b"Host: a\r\nConnection: close\r\n\r\n"
        answer = await house.ask(GET % 1, b"", *head, pause=0.3)
        assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("pause", [0.0, 0.01])
@pytest.mark.parametrize(
    "pieces",
    [[b"GET / HTTP/1.1\r\nX: ", *[b"a" * 8192] * 50], [b"GET /", *[b"a" * 8192] * 50],
     [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n" * 50] * 20], [b"GET / HTTP/1.1\r\n", *[b"a: " + b"b" * 8000 + b"\r\n"] * 20]],
    ids=["one header", "the URL", "many headers", "much in headers"],
)  # fmt: skip
async def test_a_head_is_bounded_however_it_comes(pieces: list[bytes], pause: float) -> None:
    async with serving() as house:
        asked = [b"".join(pieces) + b"\r\n\r\n"] if not pause else pieces
        assert refusal(await house.ask(*asked, pause=pause)) == (431, "headers_too_large")
        assert house.app.paths == []


@pytest.mark.parametrize("wish", [b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
                                  b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"])  # fmt: skip
async def test_an_upgrade_is_ignored_and_the_request_served(wish: bytes) -> None:
    """Java's HttpClient wishes for HTTP/2 on every plain port."""
    async with serving() as house:
        for pieces in ([b"he", b"llo"], [b"hello"]):
            head = b"POST /up HTTP/1.1\r\nHost: a\r\n" + wish + b"Content-Length: 5\r\n\r\n"
            answer = await house.ask(head + pieces[0], *pieces[1:], CLOSING, pause=0.05)
            assert b"/up hello" in answer
            assert b"/last " in answer
        tunnel = await house.ask(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert refusal(tunnel) == (405, "method_not_allowed")


async def test_a_target_with_a_host_is_a_path() -> None:
    async with serving() as house:
        answer = await house.ask(b"GET http://other.example/v1/x%20y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"/v1/x y " in answer


@pytest.mark.parametrize("reads", [True, False])
async def test_a_body_is_asked_for_only_if_it_is_wanted(reads: bool) -> None:
    async with serving(reads=reads, head_seconds=0.5) as house:
        reader, writer = await house.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        first = await reader.readline()
        assert first == (b"HTTP/1.1 100 Continue\r\n" if reads else b"HTTP/1.1 200 OK\r\n")
        writer.write(b"hello" if reads else b"")
        assert (b"hello" in await reader.read()) is reads
        writer.close()


async def test_a_body_that_nobody_wants_is_thrown_away_so_that_its_sender_sees_the_answer() -> None:
    async with serving(reads=False) as house:
        reader, writer = await house.open()
        writer.write(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n")
        writer.write(bytes(1_000_000) + CLOSING)
        assert b"/last " in await reader.read()
        writer.close()
        assert house.app.paths == ["/1", "/last"]


async def test_of_a_body_without_end_so_much_is_thrown_away() -> None:
    async with serving(reads=False) as house:
        reader, writer = await house.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n")
        with pytest.raises(ConnectionError):
            for _mebibyte in range(100):
                writer.write(bytes(1024 * 1024))
                await writer.drain()
        await until(lambda: not house.server.server_state.connections)


async def test_who_does_not_read_makes_the_application_wait_and_is_let_go() -> None:
    async with serving(pieces=1000) as house:
        reader, writer = await house.open()
        writer.write(GET % 1)
        await until(lambda: house.app.gone)
        assert house.app.sent < 1024 * 1024
        await until(lambda: not house.server.server_state.connections)
        assert len(await read_all(reader)) < 1024 * 1024
        writer.close()


async def test_an_answer_that_is_complete_does_not_wait_for_ever_to_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "SECONDS_TO_TAKE", 0.3)
    async with serving(head_seconds=0.3, pieces=15) as house:
        for asked in (GET % 1, CLOSING):
            house.app.sent = 0
            _reader, writer = await house.open()
            writer.write(asked)
            await until(lambda: house.app.sent)
            await until(lambda: not house.server.server_state.connections)
            writer.close()
