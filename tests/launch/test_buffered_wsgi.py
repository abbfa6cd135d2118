"""The site's process against slow and boundless senders: threads work on complete requests only."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from config.buffered_wsgi import MOST_BYTES, PIECE, BufferedWsgi
from config.launch.places import CHECKOUT
from config.launch.ports import free_port
from tests.gateway.running import wait_until


@pytest.fixture
def port(process_environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--no-ws"]
    child = subprocess.Popen([*command, "config.site_asgi:app"], cwd=CHECKOUT, env=process_environment | {"DEBUG": "1"})
    try:
        wait_until(lambda: answers(port), seconds=60)
        yield port
    finally:
        child.terminate()
        child.wait(timeout=15)


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).ok
    except requests.RequestException:
        return False


def test_slow_senders_keep_nobody_waiting(port: int) -> None:
    with ExitStack() as stack:
        for _number in range(100):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            slow.sendall(b"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nlogin=")
        assert answers(port)


def test_a_body_beyond_all_limits_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as opened:
        opened.sendall(b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % 2**30)
        part, sent = b"a" * 1024 * 1024, 0
        try:
            while sent < 2 * MOST_BYTES:
                opened.sendall(part)
                sent += len(part)
        except ConnectionError:
            pass
        assert sent < 2 * MOST_BYTES or opened.recv(20).startswith(b"HTTP/1.1 413")
    assert answers(port)


def test_pages_forms_files_and_errors_come_through(port: int) -> None:
    site = f"http://127.0.0.1:{port}"
    page = requests.get(f"{site}/", timeout=30)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert requests.head(f"{site}/", timeout=30).content == b""
    assert requests.get(f"{site}/없는-쪽?q=값", timeout=30).status_code == 404
    assert requests.post(f"{site}/accounts/login/", data={"login": "a"}, timeout=30).status_code == 403
    assert requests.get(f"{site}/", headers={"Cookie": "a=b", "X_Forwarded_Host": "evil"}, timeout=30).ok


def sent_by(application: Any, *parts: bytes) -> list[Any]:
    """What goes out for a request whose body comes in these parts."""
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x_forwarded_host", b"evil.example")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "headers": headers,
    }
    asyncio.run(BufferedWsgi(application, threads=1)(scope, receive, send))
    return sent


def test_a_body_without_a_length_arrives_whole_and_an_answer_in_pieces_leaves_whole() -> None:
    def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])),
            b"x" * PIECE,
            environ["HTTP_COOKIE"].encode(),
        ]

    sent = sent_by(echo, b"a", b"bc")
    assert [message.get("status") for message in sent] == [200, None, None]
    assert b"".join(message.get("body", b"") for message in sent) == b"abc" + b"x" * PIECE + b"a=1; b=2"
    assert [message.get("more_body") for message in sent] == [None, True, False]


def test_an_answer_that_is_one_piece_keeps_no_thread_waiting_however_big_it_is() -> None:
    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x" * 3 * PIECE]

    assert [message.get("more_body") for message in sent_by(answer, b"")] == [None, False]
