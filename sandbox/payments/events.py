"""Events: a snapshot of an object whenever something happened to it, and a delivery for whoever listens."""

import copy
import time
from dataclasses import dataclass

from sandbox.faults import FaultQueue
from sandbox.payments.books import Books, Object, new_id, public

API_VERSION = "2026-10-28.endive"
REORDER_SECONDS = 3.0
# Deliveries in this state wait for the event after them, which overtakes.
HELD, PENDING, DROPPED = "held", "pending", "dropped"


@dataclass(slots=True)
class Endpoint:
    """Where webhooks go; without a URL none are delivered."""

    url: str = ""
    secret: str = ""


class Journal:
    """Writes events into the books, inside the transaction of what they tell of."""

    def __init__(self, *, books: Books, queue: FaultQueue, endpoint: Endpoint) -> None:
        self._books = books
        self._queue = queue
        self._endpoint = endpoint
        # The call that causes the events; `api` sets it for as long as the call lasts.
        self.cause: dict[str, str | None] = {"id": None, "idempotency_key": None}

    def tell(self, kind: str, about: Object) -> None:
        """Record that `kind` happened to the object, and queue its delivery with the fault that waits for it."""
        event = self._books.put(
            {
                "id": new_id("evt"),
                "object": "event",
                "api_version": API_VERSION,
                "created": self._books.now(),
                "data": {"object": public(copy.deepcopy(about))},
                "livemode": False,
                "pending_webhooks": 1 if self._endpoint.url else 0,
                "request": dict(self.cause),
                "type": kind,
            }
        )
        if self._endpoint.url:
            self._queue_delivery(event)

    def _queue_delivery(self, event: Object) -> None:
        now, kind = time.time(), event["type"]
        due, state, copies = now, PENDING, 1
        fault = self._queue.take("drop-webhook", "delay-webhook", "repeat-webhook", "reorder-webhook", where=kind)
        if fault and fault.name == "drop-webhook":
            state = DROPPED
        elif fault and fault.name == "delay-webhook":
            due = now + fault.seconds(2.0)
        elif fault and fault.name == "repeat-webhook":
            copies = 1 + int(fault.seconds(1.0))
        elif fault:
            state, due = HELD, now + REORDER_SECONDS
        execute = self._books.connection.execute
        for _ in range(copies):
            execute(
                "INSERT INTO deliveries (event, type, due, state) VALUES (?, ?, ?, ?)", (event["id"], kind, due, state)
            )
        if state == PENDING:
            # Whatever was held back goes out behind this one.
            execute("UPDATE deliveries SET state = ?, due = ? WHERE state = ?", (PENDING, due + 0.2, HELD))
