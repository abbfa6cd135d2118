"""Idempotency keys, as Stripe keeps them: the first answer under a key, whatever it was, is the answer for 24 hours.

Kept is an answer whose call had begun to execute, a 500 included; a request refused for its parameters leaves its key free.
Other parameters under a known key are an error.
"""

import hashlib
import json
import time
from typing import Any, NamedTuple

from sandbox.payments.books import Books
from sandbox.payments.errors import ApiError

MAX_KEY_LENGTH = 255


class Answer(NamedTuple):
    """What a call answered: HTTP status, JSON body, the id of the request that executed."""

    status: int
    body: str
    request_id: str


class Keys:
    """The keys in the books, and those whose calls are being executed at this moment."""

    def __init__(self, books: Books, *, hours: float) -> None:
        self._books = books
        self._seconds = hours * 3600
        self._running: set[str] = set()

    def earlier(self, key: str, fingerprint: str) -> Answer | None:
        """The kept answer under this key, or None when the call is to be executed. Raises when the key cannot be used."""
        if len(key) > MAX_KEY_LENGTH:
            raise ApiError("Idempotency keys have at most 255 characters.", kind="idempotency_error")
        if key in self._running:
            raise ApiError(
                "Another request with this idempotency key is being executed.",
                status=409,
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        row = self._row(key)
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise ApiError(
                "This idempotency key was first used with other parameters; use a new key for a new request.",
                kind="idempotency_error",
            )
        return Answer(row["status"], row["body"], row["request_id"])

    def _row(self, key: str) -> Any:
        self._books.connection.execute("DELETE FROM answers WHERE created < ?", (time.time() - self._seconds,))
        return self._books.connection.execute("SELECT * FROM answers WHERE key = ?", (key,)).fetchone()

    def begin(self, key: str) -> None:
        self._running.add(key)

    def end(self, key: str) -> None:
        self._running.discard(key)

    def keep(self, key: str, fingerprint: str, answer: Answer) -> None:
        """Write the answer down, inside the transaction of its call."""
        self._books.connection.execute(
            "INSERT INTO answers (key, fingerprint, status, body, request_id, created) VALUES (?, ?, ?, ?, ?, ?)",
            (key, fingerprint, answer.status, answer.body, answer.request_id, time.time()),
        )

    def forget(self) -> int:
        """Prune all keys now, as a day without them would."""
        return self._books.connection.execute("DELETE FROM answers").rowcount


def fingerprint_of(method: str, path: str, values: dict[str, Any]) -> str:
    """A digest of what is asked; the order in which the parameters are written does not matter."""
    text = json.dumps([method, path, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
