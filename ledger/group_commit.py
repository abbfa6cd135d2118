"""One writer a process for the hot path: whatever waits while a commit runs shares the next one.

`GroupCommit` owns a thread with its own database connections. Callers hand it items and wait for their results; a future is
resolved only after the commit that contains its item.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from django.db import close_old_connections, connections

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_CHECKS = 1.0
"""A look whether the connection lives costs a round trip. Within this time `write` finds out by itself, and tries again."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Submission(Generic[Item, Result]):
    items: Sequence[Item]
    future: "Future[list[Result]] | asyncio.Future[list[Result]]"

    def is_wanted(self) -> bool:
        """Whether anybody still waits; from now on nobody can cancel it."""
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()


class WriterStopped(RuntimeError):
    """The process is shutting down; nothing was written."""


class GroupCommit(Generic[Item, Result]):
    """Collects submissions and writes them with `write`, which commits one transaction and returns a result per item.

    If a shared commit fails, every submission is tried once more by itself, so that a poisoned one fails alone.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], list[Result]],
        *,
        name: str,
        max_items: int = 1000,
        seconds_to_gather: float = 0.0,
        gathers_after: int = 0,
    ) -> None:
        """`seconds_to_gather`: how long the first of a group waits for others, if the group before had `gathers_after` items or
        more: where many call at once, fewer and larger commits leave more of the processor to the calls."""
        self._write = write
        self._name = name
        self._max_items = max_items
        self._seconds_to_gather = seconds_to_gather
        self._gathers_after = gathers_after
        self._size_before = 0
        self._queue: SimpleQueue[_Submission[Item, Result] | None] = SimpleQueue()
        self._left_over: _Submission[Item, Result] | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def submit(self, items: Sequence[Item]) -> "Future[list[Result]]":
        """Queue `items`, to be written together; the future holds their results after the commit."""
        future: Future[list[Result]] = Future()
        self._queue_up(_Submission(items, future))
        return future

    def ask(self, items: Sequence[Item]) -> "asyncio.Future[list[Result]]":
        """As `submit`, for the running event loop, which is woken once for all that share a commit."""
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._queue_up(_Submission(items, future))
        return future

    def stop(self, *, timeout: float = 30.0) -> None:
        """Write what waits, then end the thread. Later submissions are refused."""
        with self._lock:
            self._stopped = True
            self._queue.put(None)
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _queue_up(self, submission: _Submission[Item, Result]) -> None:
        with self._lock:  # so that nothing is queued behind the end
            if self._stopped:
                raise WriterStopped(self._name)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._queue.put(submission)

    def _run(self) -> None:
        try:
            checked = 0.0
            while (group := self._next_group()) is not None:
                if time.monotonic() - checked > SECONDS_BETWEEN_CHECKS:
                    close_old_connections()
                    checked = time.monotonic()
                if group:
                    self._commit(group)
        finally:
            connections.close_all()

    def _next_group(self) -> list[_Submission[Item, Result]] | None:
        """What waits, as far as it fits into one commit; None at the end."""
        first = self._left_over or self._queue.get()
        self._left_over = None
        if first is None:
            return None
        if self._seconds_to_gather and self._size_before >= self._gathers_after:
            time.sleep(self._seconds_to_gather)
        waiting, size = [first], len(first.items)
        with suppress(Empty):
            while (other := self._queue.get_nowait()) is not None:
                if size + len(other.items) > self._max_items:
                    self._left_over = other
                    break
                waiting.append(other)
                size += len(other.items)
            else:
                self._queue.put(None)  # for the next look: what came before the end is written first
        self._size_before = size
        return [submission for submission in waiting if submission.is_wanted()]

    def _commit(self, group: list[_Submission[Item, Result]]) -> None:
        try:
            results = self._write([item for submission in group for item in submission.items])
        except Exception as error:
            if len(group) == 1:
                _tell(group, [error])
                return
            logger.warning(
                "shared commit failed, writing one by one",
                extra={"writer": self._name, "error_type": type(error).__name__},
            )
            for submission in group:
                self._commit([submission])
            return
        position = 0
        shares = []
        for submission in group:
            shares.append(results[position : position + len(submission.items)])
            position += len(submission.items)
        _tell(group, shares)


def _tell(group: Sequence[_Submission[Item, Result]], outcomes: Sequence[list[Result] | Exception]) -> None:
    """Resolve the futures of a group: those of an event loop all in one wake-up of it."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[list[Result]], list[Result] | Exception]]] = {}
    for submission, outcome in zip(group, outcomes, strict=True):
        if isinstance(submission.future, Future):
            _resolve(submission.future, outcome)
        else:
            of_loops.setdefault(submission.future.get_loop(), []).append((submission.future, outcome))
    for loop, told in of_loops.items():
        with suppress(RuntimeError):  # it was closed, so nobody waits
            loop.call_soon_threadsafe(_resolve_all, told)


def _resolve_all(told: Sequence[tuple[asyncio.Future[list[Result]], list[Result] | Exception]]) -> None:
    for future, outcome in told:
        if not future.done():
            _resolve(future, outcome)


def _resolve(future: "Future[list[Result]] | asyncio.Future[list[Result]]", outcome: list[Result] | Exception) -> None:
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
