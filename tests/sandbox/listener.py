"""A listener for webhooks: keeps what arrives and answers with the statuses it was given, then 200."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

import stripe

SECRET = "whsec_test"
T = TypeVar("T")


class Listener:
    """`arrived` holds every delivery that was answered, verified by Stripe's own code."""

    def __init__(self) -> None:
        self.arrived: list[stripe.Event] = []
        self.answers: list[int] = []
        self.url = ""

    def take(self, payload: bytes, signature: str) -> int:
        event = stripe.Webhook.construct_event(payload, signature, SECRET)
        status = self.answers.pop(0) if self.answers else 200
        self.arrived.append(event)
        return status

    def types(self) -> list[str]:
        return [event.type for event in self.arrived]

    def wait_for(self, kind: str, *, times: int = 1) -> list[stripe.Event]:
        return wait_until(lambda: self._of(kind) if len(self._of(kind)) >= times else None) or []

    def _of(self, kind: str) -> list[stripe.Event]:
        return [event for event in self.arrived if event.type == kind]


def wait_until(probe: Callable[[], T], *, seconds: float = 4.0) -> T:
    deadline = time.monotonic() + seconds
    while not (found := probe()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(listener.take(payload, self.headers["Stripe-Signature"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_port}/webhooks"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
