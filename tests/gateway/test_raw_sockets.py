"""What no client sends: broken, ambiguous, endless, slow and too many requests. Each is refused or bounded; the gateway goes on."""

import gzip
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import openai
import pytest

from tests import stories
from tests.gateway.conftest import furnished_house
from tests.gateway.running import House, wait_until

MIB = 1024 * 1024
MORE_MEMORY = 150 * MIB
"""What the worst of these may cost for a while: a few bodies or events of the largest allowed size, and their decoding."""


@pytest.fixture(scope="module")
def shared_house(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """As the launcher starts it, but with less patience for headers and bodies."""
    folder, impatient = tmp_path_factory.mktemp("gateway"), ["--head-seconds", "1"]
    with furnished_house(module_database, folder, server=impatient, GATEWAY_BODY_SECONDS="2") as house:
        yield house


@pytest.fixture(autouse=True)
def afterwards_it_lives_and_has_not_grown(house: House) -> Iterator[None]:
    works(house)
    before = memory(house)
    yield
    works(house)
    assert memory(house) < before + MORE_MEMORY


def works(house: House) -> None:
    answer = house.acme.chat.completions.create(
        model=stories.DEVSTRAL, messages=[{"role": "user", "content": "안녕하세요"}]
    )
    assert answer.choices


def memory(house: House) -> int:
    """Resident bytes of the gateway."""
    status = Path(f"/proc/{house.gateway.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def connection(house: House, *, seconds: float = 20.0) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=seconds) as opened:
        yield opened


def exchange(house: House, raw: bytes) -> bytes:
    """All that comes back until the gateway closes the connection, or stays silent for a second after an answer."""
    answer = b""
    with connection(house) as opened:
        try:
            opened.sendall(raw)
            while part := opened.recv(65_536):
                answer += part
                opened.settimeout(1.0)
        except (TimeoutError, ConnectionError):
            pass
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def post(house: House, *headers: bytes, body: bytes = b"", path: bytes = b"/v1/chat/completions") -> bytes:
    """A request with acme's key and these header lines; a body's length is one of them, or it has none."""
    lines = [b"Host: gateway.example", b"Authorization: Bearer " + house.cast.acme.secret.encode(), *headers]
    return b"POST " + path + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body


def hello(**more: object) -> bytes:
    return json.dumps({"model": stories.DEVSTRAL, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def smuggled(house: House) -> bytes:
    body = hello()
    return post(house, length(body), body=body)


AMBIGUOUS = {
    "a length and a coding": (400, [b"Content-Length: 5", b"Transfer-Encoding: chunked"]),
    "a coding and a length": (400, [b"Transfer-Encoding: chunked", b"Content-Length: 5"]),
    "a coding alone": (411, [b"Transfer-Encoding: chunked"]),
    "two codings in one header": (411, [b"Transfer-Encoding: gzip, chunked"]),
    "a coding after a bare LF": (400, [b"X: 1\nTransfer-Encoding: chunked", b"Content-Length: 5"]),
    "two lengths": (400, [b"Content-Length: 5", b"Content-Length: 6"]),
    "two lengths by a bare LF": (400, [b"X: 1\nContent-Length: 6", b"Content-Length: 5"]),
    "a list of lengths": (400, [b"Content-Length: 5, 5"]),
    "a signed length": (400, [b"Content-Length: +5"]),
    "a negative length": (400, [b"Content-Length: -5"]),
    "a length that is none": (400, [b"Content-Length: 0x5"]),
    "an enormous length": (400, [b"Content-Length: 99999999999999999999999999"]),
    "an unknown coding": (411, [b"Transfer-Encoding: xchunked"]),
    "no coding at all": (411, [b"Transfer-Encoding: identity"]),
    "chunked not last": (400, [b"Transfer-Encoding: chunked, identity"]),
    "two headers of codings": (400, [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"]),
    "a blank before the colon": (400, [b"Transfer-Encoding : chunked"]),
    "a control character before the value": (400, [b"Transfer-Encoding: \x0bchunked"]),
    "a folded header": (400, [b"X: 1\r\n 2", b"Content-Length: 5"]),
    "a coding on a folded line": (400, [b"Transfer-Encoding:\r\n chunked", b"Content-Length: 5"]),
    "a bare CR in a value": (400, [b"X: 1\rContent-Length: 5"]),
    "a NUL in a value": (400, [b"X: a\0b"]),
    "two hosts": (400, [b"Host: other.example", b"Content-Length: 0"]),
}


@pytest.mark.parametrize("case", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_two_servers_could_read_differently_is_refused_and_nothing_after_it_is_read(
    house: House, case: tuple[int, list[bytes]]
) -> None:
    expected, headers = case
    charges = house.charges()
    answer = exchange(house, post(house, *headers, body=b"0\r\n\r\n") + smuggled(house))
    assert statuses(answer) == [expected]
    assert house.charges() == charges


def test_a_request_without_a_host_or_with_a_body_on_a_get_is_refused(house: House) -> None:
    for raw in (
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n",
    ):
        assert statuses(exchange(house, raw + smuggled(house))) == [400]


def test_an_old_protocol_with_a_coding_another_protocol_and_a_tunnel_are_refused(house: House) -> None:
    old = b"POST /v1/chat/completions HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert statuses(exchange(house, old)) == [411]
    for raw in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ):
        assert 200 not in statuses(exchange(house, raw))
    assert 200 not in statuses(exchange(house, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200)))


def test_too_many_and_too_long_headers_are_refused(house: House) -> None:
    many = [b"X-%d: y" % number for number in range(500)]
    assert statuses(exchange(house, post(house, *many))) == [431]
    assert statuses(exchange(house, post(house, b"X: " + b"a" * MIB))) == [431]
    assert statuses(exchange(house, b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: a\r\n\r\n"))[0] in (414, 431)


@pytest.mark.parametrize(
    "model", ["a\r\nX-Injected: yes", "a\nb\0", "\u2028" * 300, "../../etc/passwd", "'; DROP TABLE x"]
)
def test_no_model_name_becomes_a_header(house: House, model: str) -> None:
    body = json.dumps({"model": model, "messages": []}).encode()
    answer = exchange(house, post(house, length(body), body=body))
    assert statuses(answer) == [404]
    assert b"X-Injected: yes\r\n" not in answer
    in_path = exchange(
        house, b"GET /v1/models/a%0d%0aX-Injected:%20yes HTTP/1.1\r\nHost: a\r\n" + bearer(house) + b"\r\n\r\n"
    )
    assert statuses(in_path) == [404]
    assert b"\r\nX-Injected" not in in_path


def bearer(house: House) -> bytes:
    return b"Authorization: Bearer " + house.cast.acme.secret.encode()


@pytest.mark.parametrize("pair", [b"[]", b'{"a":}'], ids=["lists", "objects"])
def test_json_nested_a_hundred_thousand_deep_is_refused(house: House, pair: bytes) -> None:
    opening, closing = (b"[", b"]") if pair == b"[]" else (b'{"a":', b"}")
    deep = opening * 100_000 + b"1" + closing * 100_000
    for body in (deep, b'{"model":"x","messages":' + deep + b"}", opening * 100_000):
        assert statuses(exchange(house, post(house, length(body), body=body))) == [400]


def test_a_compressed_bomb_is_refused_unopened(house: House) -> None:
    bomb = gzip.compress(b'{"model":"' + b"a" * 64 * MIB + b'"}')
    for coding in (b"gzip", b"deflate", b"br", b"gzip, identity"):
        answer = exchange(house, post(house, b"Content-Encoding: " + coding, length(bomb), body=bomb))
        assert statuses(answer) == [400]


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1073741824", b"Transfer-Encoding: chunked"], ids=["plain", "chunked"]
)
def test_a_body_of_a_gigabyte_is_refused_without_being_kept(house: House, framing: bytes) -> None:
    part = b"a" * MIB if framing.startswith(b"Content") else b"100000\r\n" + b"a" * MIB + b"\r\n"
    before, peak, sent, answer = memory(house), 0, 0, b""
    with connection(house) as opened:
        try:
            opened.sendall(post(house, framing))
            while sent < 1024:
                opened.sendall(part)
                sent += 1
                peak = max(peak, memory(house))
        except ConnectionError:
            pass
        with suppress(ConnectionError):
            answer = opened.recv(65_536)
    assert sent < 200
    assert peak < before + MORE_MEMORY
    assert statuses(answer) in ([413], [411], [])  # a reset may overtake the answer


def test_a_line_without_end_from_the_upstream_is_cut(house: House) -> None:
    for stream in (False, True):
        house.llm.order("endless-line")
        with pytest.raises(openai.APIError):
            list(house.acme.chat.completions.create(
                model=stories.DEVSTRAL, messages=[{"role": "user", "content": "hi"}], stream=stream
            ))  # fmt: skip


def test_a_header_that_drips_and_a_body_that_drips_are_given_up(house: House) -> None:
    with connection(house) as headers, connection(house) as body:
        headers.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX: ")
        body.sendall(post(house, b"Content-Length: 1000"))
        deadline = time.monotonic() + 20
        while not has_answer(headers) and time.monotonic() < deadline:
            drip(headers, b"a")
        while not has_answer(body) and time.monotonic() < deadline:
            drip(body, b"{")
        assert statuses(read_rest(headers)) in ([408], [])
        answer = read_rest(body)
    assert statuses(answer) == [400]
    assert b"did not arrive" in answer


def has_answer(opened: socket.socket) -> bool:
    """Whether something, or the end, can be read."""
    opened.settimeout(0.1)
    try:
        opened.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def drip(opened: socket.socket, byte: bytes) -> None:
    with suppress(ConnectionError):
        opened.sendall(byte)


def read_rest(opened: socket.socket) -> bytes:
    opened.settimeout(1.0)
    answer = b""
    try:
        while part := opened.recv(65_536):
            answer += part
    except (TimeoutError, ConnectionError):
        pass
    return answer


def test_thousands_of_idle_connections_keep_nobody_out_and_are_closed(house: House) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    try:
        with ExitStack() as stack:
            idle = [stack.enter_context(connection(house)) for _number in range(3000)]
            works(house)
            wait_until(lambda: all(has_answer(opened) for opened in (idle[0], idle[-1])), seconds=10)
            assert read_rest(idle[0]) == b""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_requests_in_a_row_are_answered_in_order_and_each_is_charged(house: House) -> None:
    charges = house.charges()
    bodies = [hello(max_tokens=number) for number in (1, 2, 3)]
    answer = exchange(house, b"".join(post(house, length(body), body=body) for body in bodies))
    assert statuses(answer) == [200, 200, 200]
    assert [answer.count(b'"completion_tokens":%d,' % number) for number in (1, 2, 3)] == [1, 1, 1]
    assert house.charges() == charges + 3


def test_a_caller_who_leaves_within_its_body_costs_nothing(house: House) -> None:
    held, charges = house.balance()["held"], house.charges()
    for _number in range(50):
        with connection(house) as opened:
            opened.sendall(post(house, b"Content-Length: 100000", body=b'{"model":'))
    works(house)
    assert (house.balance()["held"], house.charges()) == (held, charges + 1)
