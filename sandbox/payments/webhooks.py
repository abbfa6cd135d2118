"""Delivers events to the listener: signed as Stripe signs, one after the other, tried again with growing pauses."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import aiohttp

from sandbox.payments.books import Books, Object
from sandbox.payments.events import HELD, PENDING, Endpoint

TIMEOUT_SECONDS = 10.0
MAX_ATTEMPTS = 15
LONGEST_PAUSE_SECONDS = 300.0
IDLE_SECONDS = 0.05
DELIVERED, GIVEN_UP = "delivered", "given_up"


def sign(payload: bytes, *, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header: HMAC-SHA256 over the timestamp, a dot and the raw body."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


class Deliverer:
    """Works through the queue of deliveries until it is cancelled."""

    def __init__(self, *, books: Books, endpoint: Endpoint, first_pause: float) -> None:
        self._books = books
        self._endpoint = endpoint
        self._first_pause = first_pause

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                row = self._next()
                if row is None:
                    await asyncio.sleep(IDLE_SECONDS)
                else:
                    await self._deliver(session, dict(row))

    def _next(self) -> Any:
        if not self._endpoint.url:
            return None
        return self._books.connection.execute(
            "SELECT * FROM deliveries WHERE state IN (?, ?) AND due <= ? ORDER BY due, seq LIMIT 1",
            (PENDING, HELD, time.time()),
        ).fetchone()

    async def _deliver(self, session: aiohttp.ClientSession, row: dict[str, Any]) -> None:
        event = self._books.find(row["event"])
        if event is None:
            self._note(row["seq"], state=GIVEN_UP, attempts=row["attempts"], answer="the event is gone")
            return
        answer = await self._post(session, event)
        attempts = row["attempts"] + 1
        if answer.startswith("2"):
            with self._books.transaction():
                self._note(row["seq"], state=DELIVERED, attempts=attempts, answer=answer)
                self._books.put(event | {"pending_webhooks": 0})
            return
        state = GIVEN_UP if attempts >= MAX_ATTEMPTS else PENDING
        pause = min(self._first_pause * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
        self._note(row["seq"], state=state, attempts=attempts, answer=answer, due=time.time() + pause)

    async def _post(self, session: aiohttp.ClientSession, event: Object) -> str:
        """The listener's status code, or the kind of network error."""
        payload = json.dumps(event, ensure_ascii=False, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (sandbox)",
            "Stripe-Signature": sign(payload, secret=self._endpoint.secret, timestamp=int(time.time())),
        }
        try:
            async with session.post(
                self._endpoint.url, data=payload, headers=headers, allow_redirects=False
            ) as response:
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__

    def _note(self, seq: int, *, state: str, attempts: int, answer: str, due: float | None = None) -> None:
        self._books.connection.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, last_answer = ?, due = coalesce(?, due) WHERE seq = ?",
            (state, attempts, answer, due, seq),
        )


def list_deliveries(books: Books, *, limit: int = 200) -> list[dict[str, Any]]:
    """The newest deliveries, newest first."""
    rows = books.connection.execute(
        "SELECT event, type, due, state, attempts, last_answer FROM deliveries ORDER BY seq DESC LIMIT ?", (limit,)
    )
    return [dict(row) for row in rows]


def deliver_again(books: Books, *, event: str = "") -> int:
    """Make an event's deliveries due now, whatever became of them; without an event, all that did not arrive."""
    condition, values = ("event = ?", (event,)) if event else ("state <> ?", (DELIVERED,))
    cursor = books.connection.execute(
        f"UPDATE deliveries SET state = ?, attempts = 0, due = ? WHERE {condition}", (PENDING, time.time(), *values)
    )
    return cursor.rowcount
