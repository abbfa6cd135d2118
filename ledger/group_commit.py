"""One writer a process for the hot path: whatever waits while a commit runs shares the next one (DESIGN §2, §5.3).

`GroupCommit` owns a thread with its own database connections. Callers hand it items and wait for their results; a future is
resolved only after the commit that contains its item.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
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
    future: "Future[list[Result]]"


class WriterStopped(RuntimeError):
    """The process is shutting down; nothing was written."""


class GroupCommit(Generic[Item, Result]):
    """Collects submissions and writes them with `write`, which commits one transaction and returns a result per item.

    If a shared commit fails, every submission is tried once more by itself, so that a poisoned one fails alone.
    """

    def __init__(self, write: Callable[[Sequence[Item]], list[Result]], *, name: str, max_items: int = 1000) -> None:
        self._write = write
        self._name = name
        self._max_items = max_items
        self._waiting: deque[_Submission[Item, Result]] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def submit(self, items: Sequence[Item]) -> "Future[list[Result]]":
        """Queue `items`, to be written together; the future holds their results after the commit."""
        submission: _Submission[Item, Result] = _Submission(items, Future())
        with self._condition:
            if self._stopped:
                raise WriterStopped(self._name)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._waiting.append(submission)
            self._condition.notify()
        return submission.future

    def stop(self, *, timeout: float = 30.0) -> None:
        """Write what waits, then end the thread. Later submissions are refused."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        try:
            checked = 0.0
            while group := self._next_group():
                if time.monotonic() - checked > SECONDS_BETWEEN_CHECKS:
                    close_old_connections()
                    checked = time.monotonic()
                self._commit(group)
        finally:
            connections.close_all()

    def _next_group(self) -> list[_Submission[Item, Result]]:
        with self._condition:
            while not self._waiting and not self._stopped:
                self._condition.wait()
            group: list[_Submission[Item, Result]] = []
            size = 0
            while self._waiting and (not group or size + len(self._waiting[0].items) <= self._max_items):
                submission = self._waiting.popleft()
                if submission.future.set_running_or_notify_cancel():
                    group.append(submission)
                    size += len(submission.items)
            return group or ([] if self._stopped and not self._waiting else self._next_group())

    def _commit(self, group: list[_Submission[Item, Result]]) -> None:
        try:
            results = self._write([item for submission in group for item in submission.items])
        except Exception as error:
            if len(group) == 1:
                group[0].future.set_exception(error)
                return
            logger.warning(
                "shared commit failed, writing one by one",
                extra={"writer": self._name, "error_type": type(error).__name__},
            )
            for submission in group:
                self._commit([submission])
            return
        position = 0
        for submission in group:
            count = len(submission.items)
            submission.future.set_result(results[position : position + count])
            position += count
