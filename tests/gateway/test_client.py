"""A caller who leaves or stops reading holds nothing up."""

import asyncio
from typing import Any

import pytest

from gateway import client as client_module
from gateway.client import Client


async def test_a_caller_who_stops_reading_is_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SECONDS_OF_PATIENCE", 2.0)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await asyncio.sleep((0.0, 0.8, 1.6)[len(sent)])
        sent.append(message)

    client = Client(send, request_id="req_1")
    await client.start(200, content_type="text/plain")
    await client.write(b"slow, but there")
    assert not client.gone
    await client.write(b"patience is for the whole answer")
    assert client.gone
    await client.end()
    assert len(sent) == 2


async def test_a_broken_connection_is_no_error() -> None:
    async def send(message: Any) -> None:
        raise OSError

    client = Client(send, request_id="req_1")
    await client.answer(200, b"{}")
    assert client.gone


async def test_disconnecting_is_noticed() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent to who left")

    client = Client(send, request_id="req_1")
    await client.watch(receive)
    assert client.gone
    await client.write(b"x")
