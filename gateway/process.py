"""The gateway's process: what all its calls share, started before the first and stopped after the last."""

import asyncio
import logging
import signal
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

from accounts.models import Source
from catalog import price_book
from catalog.model_routes import read_routes
from gateway.calls import Call
from gateway.keys import KeyCache
from gateway.rate_limits import RateLimiter
from gateway.upstreams.selection import Upstreams
from gateway.writers import Writers

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
SECONDS_BETWEEN_REFRESHES = 1.0
LOOKUP_THREADS = 4
SECONDS_TO_BE_READY = 10.0
"""For the first look at the database. Afterwards the server listens all the same."""
SECONDS_TO_SETTLE = 3.0
"""For calls that were cut by a shutdown."""


class Gateway:
    """Upstreams, writers, caches and the tasks under way. `source_id` is known once `is_ready`."""

    def __init__(self, *, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self.writers = Writers()
        self.threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="gateway-lookup")
        self.keys = KeyCache(seconds=settings.GATEWAY_KEY_CACHE_SECONDS, threads=self.threads)
        self.rates = RateLimiter()
        self.source_id = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls: dict[asyncio.Task[Any], Call] = {}
        self._drained_at: float | None = None
        self._stopping = threading.Event()
        self._refresher = threading.Thread(target=self._keep_fresh, name="gateway-prices", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether the price book and our own source have been read, and nothing is being shut down."""
        return bool(self.source_id) and price_book.is_loaded() and self._drained_at is None

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run `work` to its end, whoever waits for it; a shutdown gives it time."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @contextmanager
    def running(self, call: Call) -> Iterator[None]:
        """While it lasts, the running task makes this call: a shutdown that cannot wait longer cuts it."""
        task = asyncio.current_task()
        assert task is not None
        self._calls[task] = call
        try:
            yield
        finally:
            del self._calls[task]

    async def start(self) -> None:
        """Read prices, before the server listens: no call comes to a process that would only send it away.

        The database may still be away: then the gateway listens and says that it is not ready.
        """
        price_book.leave_refreshing_to_a_thread()
        self._refresher.start()
        await self.rates.start()
        self._hear_the_signal()
        loop = asyncio.get_running_loop()
        latest = loop.time() + SECONDS_TO_BE_READY
        while not self.is_ready and self._drained_at is None and loop.time() < latest:
            await asyncio.sleep(0.02)

    def begin_drain(self) -> None:
        """Take no further call. Those that run have the drain time; the server waits for them before it lets us `stop`."""
        if self._drained_at is None:
            loop = asyncio.get_running_loop()
            self._drained_at = loop.time() + settings.GATEWAY_DRAIN_SECONDS
            loop.call_at(self._drained_at, self.cut)

    def cut(self) -> None:
        """End the calls that still run: what is known of them is recorded, the rest becomes questions."""
        if self._calls:
            logger.error("calls cut by shutdown", extra={"calls": len(self._calls)})
        for task, call in list(self._calls.items()):
            if call.answer is None:
                task.cancel()
            else:
                call.answer.cut()

    async def stop(self) -> None:
        """Let calls end whose callers left, within the drain time; commit what waits, close everything."""
        loop = asyncio.get_running_loop()
        self.begin_drain()
        assert self._drained_at is not None
        await self._wait_for_tasks(until=self._drained_at)
        self.cut()
        await self._wait_for_tasks(until=loop.time() + SECONDS_TO_SETTLE)
        self._stopping.set()
        await self.writers.stop()
        await self.upstreams.close()
        await self.rates.close()
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_tasks(self, *, until: float) -> None:
        loop = asyncio.get_running_loop()
        while self._tasks and loop.time() < until:
            await asyncio.wait(self._tasks, timeout=until - loop.time())

    def _hear_the_signal(self) -> None:
        """Drain from SIGTERM on: the server tells us to stop only when all its requests have ended, however long that takes.

        The server's own handler is called as well: it listens no longer, and closes what is idle.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            servers_own = signal.getsignal(number)

            def hear(number: int, frame: FrameType | None, servers_own: Any = servers_own) -> None:
                loop.call_soon_threadsafe(self.begin_drain)
                if callable(servers_own):
                    servers_own(number, frame)

            try:
                signal.signal(number, hear)
            except ValueError:  # not the main thread: whoever started us there ends us in its own way
                logger.info("signals are left to the server")
                return

    def _keep_fresh(self) -> None:
        """The thread that reads prices, so that the event loop never has to."""
        while not self._stopping.is_set():
            try:
                close_old_connections()
                if not self.source_id:
                    self.source_id = (
                        Source.objects.using("system").values_list("pk", flat=True).get(slug=Source.GATEWAY)
                    )
                self.upstreams.table = read_routes(self.upstreams.table)
                price_book.refresh()
            except Exception as error:  # whatever it is, prices must go on being read
                logger.warning("prices could not be read", extra={"error_type": type(error).__name__})
            self._stopping.wait(SECONDS_BETWEEN_REFRESHES)
        connections.close_all()
