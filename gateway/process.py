"""The gateway's process: what all its calls share, started before the first and stopped after the last."""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

from accounts.models import Source
from catalog import price_book
from catalog.model_routes import read_routes
from gateway.keys import KeyCache
from gateway.rate_limits import RateLimiter
from gateway.upstreams.selection import Upstreams
from gateway.writers import Writers

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
SECONDS_BETWEEN_REFRESHES = 1.0
LOOKUP_THREADS = 4


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
        self._stopping = threading.Event()
        self._refresher = threading.Thread(target=self._keep_fresh, name="gateway-prices", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether the price book and our own source have been read, and nothing is being shut down."""
        return bool(self.source_id) and price_book.is_loaded() and not self._stopping.is_set()

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run `work` to its end, whoever waits for it; a shutdown gives it time."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def start(self) -> None:
        """Begin to read prices. The database may still be away: then the gateway waits, unready."""
        price_book.leave_refreshing_to_a_thread()
        self._refresher.start()

    async def stop(self) -> None:
        """Let running calls end within the drain time, commit what waits, close everything."""
        deadline = asyncio.get_running_loop().time() + settings.GATEWAY_DRAIN_SECONDS
        while self._tasks and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - asyncio.get_running_loop().time())
        if self._tasks:
            logger.error("calls cut by shutdown; their holds remain", extra={"calls": len(self._tasks)})
        self._stopping.set()
        await asyncio.to_thread(self.writers.stop)
        await self.upstreams.close()
        await self.rates.close()
        self.threads.shutdown(wait=False, cancel_futures=True)

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
