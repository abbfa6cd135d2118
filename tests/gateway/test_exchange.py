"""The connection to an upstream and the pool that keeps it: what arrives cut anywhere, ends anywhere, or is no HTTP."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.upstreams.base import Again, CallFailed, Limits, UpstreamRequest
from gateway.upstreams.exchange import Connection, ConnectionLost
from gateway.upstreams.openai_compatible import OpenAICompatible
from gateway.upstreams.pool import NotConnected, Pool

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Name: first\r\nx-name: second\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwords"
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


def saying(*pieces: bytes, then_ends: bool = False) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if then_ends:
            writer.close()

    return write


@asynccontextmanager
async def upstream(*answers: Write, most: int = 4, idle: float = 5.0) -> AsyncIterator[tuple[Pool, list[int]]]:
    """A pool before a server that gives these answers in turn; the list counts requests by connection."""
    left = list(answers)
    counts: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(counts)
        counts.append(0)
        try:
            while left:
                await reader.readuntil(b"\r\n\r\n")
                counts[number] += 1
                await left.pop(0)(writer)
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}", most=most, connect_seconds=1.0, idle_seconds=idle)
    try:
        yield pool, counts
    finally:
        pool.close()
        server.close()


def soon(seconds: float = 2.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def answer(pool: Pool) -> tuple[int, bytes]:
    connection = await pool.take(by=soon())
    try:
        connection.ask(REQUEST)
        await connection.head(by=soon())
        return connection.status, await rest_of(connection)
    finally:
        pool.give_back(connection)


async def rest_of(connection: Connection) -> bytes:
    body = b""
    while part := await connection.more(by=soon()):
        body += part
    return body


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
async def test_a_chunked_answer_is_read_however_it_is_cut(step: int) -> None:
    told = CHUNKED + b"5\r\nwords\r\n1;x=y\r\n!\r\n0\r\n\r\n"
    async with upstream(saying(*(told[at : at + step] for at in range(0, len(told), step)))) as (pool, _counts):
        connection = await pool.take(by=soon())
        connection.ask(REQUEST)
        await connection.head(by=soon())
        assert connection.headers[b"x-name"] == b"first"
        assert await rest_of(connection) == b"words!"
        assert connection.is_reusable


async def test_a_connection_carries_one_call_after_the_other() -> None:
    async with upstream(saying(WHOLE), saying(WHOLE), saying(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as (
        pool,
        counts,
    ):
        assert [await answer(pool) for _number in range(3)] == [(200, b"words"), (200, b"words"), (404, b"")]
        assert counts == [3]


async def test_interim_answers_are_passed_over() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nLink: x\r\n\r\n"
    async with upstream(saying(early + WHOLE)) as (pool, _counts):
        assert await answer(pool) == (200, b"words")


async def test_without_a_length_the_answer_ends_with_the_connection() -> None:
    told = b"HTTP/1.1 200 OK\r\n\r\nwords"
    async with upstream(saying(told, then_ends=True), saying(WHOLE)) as (pool, counts):
        assert [await answer(pool), await answer(pool)] == [(200, b"words"), (200, b"words")]
        assert counts == [1, 1]


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nwords",
        CHUNKED + b"5\r\nwords\r\n",
        CHUNKED + b"zz\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
    ids=["nothing", "half-head", "short", "chunks", "bad-chunk", "no-http", "upgrade", "two-lengths", "endless-head"],
)
async def test_what_breaks_off_or_is_no_http_is_lost_and_not_used_again(told: bytes) -> None:
    async with upstream(saying(told, then_ends=True), saying(WHOLE)) as (pool, counts):
        with pytest.raises(ConnectionLost):
            await answer(pool)
        assert await answer(pool) == (200, b"words")
        assert counts == [1, 1]


async def test_a_connection_with_an_answer_to_nothing_is_not_used_again() -> None:
    async with upstream(saying(WHOLE + WHOLE), saying(WHOLE)) as (pool, counts):
        assert [await answer(pool), await answer(pool)] == [(200, b"words"), (200, b"words")]
        assert counts == [1, 1]


async def test_what_came_before_the_question_is_not_its_answer() -> None:
    """The loop was busy, so a second answer to the last request still waits with the kernel when the next one is to go out."""
    told, stray_is_out = threading.Event(), threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def serve() -> None:
        first, _address = listening.accept()
        first.recv(1000)
        first.sendall(WHOLE)
        told.wait(5)
        first.sendall(WHOLE.replace(b"words", b"wrong"))
        stray_is_out.set()
        second, _address = listening.accept()
        second.recv(1000)
        second.sendall(WHOLE)
        first.close()
        second.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    pool = Pool(f"http://127.0.0.1:{port}", most=1, connect_seconds=1.0, idle_seconds=5.0)
    try:
        assert await answer(pool) == (200, b"words")
        told.set()
        stray_is_out.wait(5)
        assert await answer(pool) == (200, b"words")
    finally:
        pool.close()
        listening.close()


async def test_a_connection_that_still_sends_an_answered_request_carries_no_other() -> None:
    async with upstream(saying(WHOLE), saying(WHOLE)) as (pool, counts):
        connection = await pool.take(by=soon())
        connection.ask(REQUEST.replace(b": 0", b": 50000000") + b"x" * 50_000_000)
        await connection.head(by=soon())
        assert await rest_of(connection) == b"words"
        pool.give_back(connection)
        assert await answer(pool) == (200, b"words")
        assert counts == [1, 1]


async def test_a_body_that_cannot_be_written_keeps_no_place() -> None:
    deep: list[Any] = []
    for _level in range(100_000):
        deep = [deep]
    limits = Limits(connect=1.0, first_byte=2.0, between_chunks=2.0, total=2.0, answer_bytes=1000, event_bytes=1000)
    async with upstream(saying(WHOLE)) as (pool, _counts):
        server = OpenAICompatible(
            name="x", base_url=pool._base_url, api_key="", limits=limits, trusts_model_ids=False, connections=1
        )
        with pytest.raises(CallFailed) as failed:
            await server.open(UpstreamRequest(endpoint="chat/completions", body={"deep": deep}, streamed=False))
        assert isinstance(failed.value.error, InvalidRequest)
        assert (failed.value.again, failed.value.may_cost) == (Again.NOWHERE, False)
        answered = await server.open(UpstreamRequest(endpoint="chat/completions", body={}, streamed=False))
        assert await answered.read() == b"words"
        await answered.close()
        await server.close()


async def test_silence_is_waited_for_no_longer_than_said() -> None:
    async with upstream(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nwords")) as (pool, _counts):
        connection = await pool.take(by=soon())
        connection.ask(REQUEST)
        await connection.head(by=soon())
        assert await connection.more(by=soon()) == b"words"
        with pytest.raises(TimeoutError):
            await connection.more(by=soon(0.05))
        pool.give_back(connection)
        assert not connection.is_reusable


async def test_what_nobody_reads_waits_with_the_upstream() -> None:
    size = 20_000_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with upstream(saying(head, b"x" * size)) as (pool, _counts):
        connection = await pool.take(by=soon())
        connection.ask(REQUEST)
        await connection.head(by=soon())
        await asyncio.sleep(0.1)
        assert not connection.is_complete
        first = connection.take()
        assert len(first) < 2_000_000
        assert len(first) + len(await rest_of(connection)) == size


async def test_whoever_comes_when_all_connections_are_in_use_waits_for_one() -> None:
    async with upstream(saying(WHOLE), saying(WHOLE), most=1) as (pool, counts):
        connection = await pool.take(by=soon())
        with pytest.raises(NotConnected):
            await pool.take(by=soon(0.05))
        waiting = asyncio.ensure_future(answer(pool))
        await asyncio.sleep(0)
        pool.give_back(connection)
        assert await waiting == (200, b"words")
        assert counts == [0, 1], "one that carried nothing is not known to be good"


async def test_connections_that_rest_too_long_are_ended() -> None:
    async with upstream(saying(WHOLE), saying(WHOLE), idle=0.05) as (pool, counts):
        assert await answer(pool) == (200, b"words")
        await asyncio.sleep(0.2)
        assert await answer(pool) == (200, b"words")
        assert counts == [1, 1]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.0.0.1:99999", "http://nobody.invalid", "http://"])
async def test_who_takes_no_connection_was_sent_nothing(url: str) -> None:
    pool = Pool(url, most=1, connect_seconds=2.0, idle_seconds=1.0)
    for _number in range(2):  # a failure gives its place back
        with pytest.raises(NotConnected):
            await pool.take(by=soon())
