"""A client that pushes usage over keep-alive connections, as cheaply as Python can: it shares the processors with the site.

Run as a process (`python -m bench.pushing`): bodies are made beforehand, every event with an id of its own; then one request
is under way on each connection until the time is over. What counts is what was answered as accepted.
"""

import argparse
import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

PATH = "/api/v1/usage/events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one client process does. `organizations` are slugs with the ids of their keys."""

    port: int
    secret: str
    organizations: Mapping[str, Sequence[int]]
    models: int
    models_used: int
    batch: int
    connections: int
    events: int
    seed: int
    start: float
    seconds: float


@dataclass(slots=True)
class Tally:
    """What came of it: events accepted, when the first request was sent and the last answered, seconds of each request, and of
    processor time."""

    events: int = 0
    began: float = 0.0
    ended: float = 0.0
    latencies: list[float] = field(default_factory=list)
    spent: float = 0.0


class Refused(RuntimeError):
    """The site answered something else than that all events are accepted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    load = Load(**json.load(sys.stdin))
    tally = push(load, requests_of(load))
    json.dump(asdict(tally), sys.stdout)


def requests_of(load: Load) -> deque[bytes]:
    """Whole HTTP requests, ready to send."""
    dice = random.Random(load.seed)
    now = datetime.now(UTC)
    slugs = list(load.organizations)
    events = []
    for number in range(load.events):
        place = dice.randrange(len(slugs))
        events.append(
            {
                "id": f"gen-{int(now.timestamp())}-{load.seed:x}{number:06x}",
                "organization": slugs[place],
                "model": f"bench/model-{((place + 1) * 7 + dice.randrange(load.models_used)) % load.models}",
                "occurred_at": (now - timedelta(milliseconds=load.events - number)).isoformat(),
                "input_tokens": dice.randrange(1, 8000),
                "cache_read_tokens": dice.randrange(2000),
                "output_tokens": dice.randrange(1, 1000),
                "api_key": str(dice.choice(load.organizations[slugs[place]])),
                "upstream": "openrouter",
                "cost_usd": f"0.{dice.randrange(1, 10_000):07}",
            }
        )
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nAuthorization: Bearer {load.secret}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    return deque(
        f"{head}{len(body)}\r\n\r\n".encode() + body
        for position in range(0, load.events, load.batch)
        for body in [json.dumps(events[position : position + load.batch], separators=(",", ":")).encode()]
    )


def push(load: Load, requests: deque[bytes]) -> Tally:
    """Send them, one at a time on each connection. Raises Refused."""
    selector = selectors.DefaultSelector()
    for _number in range(load.connections):
        connection = socket.create_connection(("127.0.0.1", load.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
    idle = [key.fileobj for key in selector.get_map().values()]
    sent: dict[object, float] = {}
    received: dict[object, bytearray] = {}
    expected = f'{{"accepted":{load.batch},'.encode()
    tally = Tally()
    time.sleep(max(0.0, load.start - time.time()))
    tally.began, spent_before = time.time(), time.process_time()
    over = tally.began + load.seconds
    while True:
        while idle and requests and time.time() < over:
            connection = idle.pop()
            assert isinstance(connection, socket.socket)
            sent[connection] = time.time()
            received[connection] = bytearray()
            connection.sendall(requests.popleft())
        if not sent:
            break
        for key, _events in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            answer = received[connection]
            answer += (piece := connection.recv(1 << 18))
            body = _body(answer, is_closed=not piece)
            if body is None:
                continue
            if not body.startswith(expected):
                raise Refused(bytes(answer[:1000]).decode(errors="replace"))
            tally.ended = time.time()
            tally.latencies.append(tally.ended - sent.pop(connection))
            tally.events += load.batch
            idle.append(connection)
    tally.spent = time.process_time() - spent_before
    return tally


def _body(answer: bytearray, *, is_closed: bool) -> bytearray | None:
    """The body, once it is whole."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if found:
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or -1)
        if head.startswith(b"HTTP/1.1 200") and len(body) == length:
            return body
    if is_closed or (found and not head.startswith(b"HTTP/1.1 200")):
        raise Refused(bytes(answer[:1000]).decode(errors="replace"))
    return None


if __name__ == "__main__":
    main()
