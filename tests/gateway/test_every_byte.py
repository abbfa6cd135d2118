"""A caller may vanish after any byte of a stream: whatever it saw, the upstream's own bill is what it is charged."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from tests import stories
from tests.gateway.conftest import furnished_house
from tests.gateway.running import CAPTURED, House, wait_until
from tests.gateway.sweeping import billed, charged, sweeper

AT_ONCE = 24
RESET = struct.pack("ii", 1, 0)
"""With it a socket is closed by a reset, as by a computer that crashed, instead of by a farewell."""


@pytest.fixture(scope="module")
def shared_house(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Its upstream writes slowly enough that most callers are gone before it is done."""
    folder = tmp_path_factory.mktemp("gateway")
    with furnished_house(module_database, folder, "--chunk-delay-ms", "4") as house:
        yield house


@pytest.fixture
def began() -> datetime:
    return timezone.now()


def request_of(house: House) -> bytes:
    body = json.dumps(
        {
            "model": stories.DEVSTRAL,
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 12,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {house.cast.acme.secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def read_and_drop(house: House, request: bytes, *, after: int | None, reset: bool = False) -> bytes:
    """What arrived before the caller dropped the connection `after` so many bytes; all of it for None."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.port)
    writer.write(request)
    await writer.drain()
    try:
        return await (reader.read() if after is None else reader.readexactly(after))
    except asyncio.IncompleteReadError as early:
        return early.partial
    finally:
        if reset:
            plain: socket.socket = writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort() if reset else writer.close()


def test_dropping_at_every_byte(house: House, settings: Settings, began: datetime) -> None:
    request = request_of(house)
    held = house.balance()["held"]

    async def all_offsets() -> tuple[int, list[bytes]]:
        whole = await read_and_drop(house, request, after=None)
        assert whole.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in whole
        turns = asyncio.Semaphore(AT_ONCE)

        async def drop(after: int) -> bytes:
            async with turns:
                return await read_and_drop(house, request, after=after, reset=after % 2 == 1)

        return len(whole), await asyncio.gather(*(drop(after) for after in range(len(whole) + 1)))

    length, seen = asyncio.run(all_offsets())
    lengths: list[Any] = [len(part) for part in seen]
    assert max(lengths) <= length + 8, "the test reads what it was recorded to be"
    assert sum(read == after for after, read in enumerate(lengths)) > 0.95 * length, "nearly every offset was reached"

    sweep = sweeper(house, settings)
    wait_until(lambda: not house.rows("SELECT 1 FROM ledger_hold WHERE status = 1"), seconds=30)
    assert sweep() == 0, "every answer was read to its usage, whoever had gone"
    bill = billed(house)
    assert len(bill) >= length, "each was a call of its own"
    assert charged(house, since=began) == bill
    assert not house.rows("SELECT 1 FROM ledger_hold WHERE created_at >= %s AND status NOT IN (2, 3)", began)
    assert house.balance()["held"] == held
    captured = house.rows(
        "SELECT count(*) AS number FROM ledger_hold WHERE created_at >= %s AND status = %s", began, CAPTURED
    )
    assert captured[0]["number"] == len(bill)
    call_command("audit")
