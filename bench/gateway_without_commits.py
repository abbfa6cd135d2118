"""The gateway with writers that write nothing: what is left when durability is taken away. For `make bench-gateway` only.

Everything else is the product's own: keys, prices, worst case, forwarding, the usage report. A call is admitted and recorded at
once, by futures that are already resolved.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from gateway import process  # noqa: E402  (Django must be set up first)
from gateway.app import create_app  # noqa: E402
from gateway.writers import Writers  # noqa: E402
from metering.reports import Outcome, Status, UsageReport  # noqa: E402


class Nothing:
    """A GroupCommit that says yes to all."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def submit(self, items: Sequence[Any]) -> "Future[list[Any]]":
        future: Future[list[Any]] = Future()
        future.set_result([self._answer] * len(items))
        return future

    def ask(self, items: Sequence[Any]) -> "asyncio.Future[list[Any]]":
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        future.set_result([self._answer] * len(items))
        return future

    def stop(self, *, timeout: float = 0) -> None:
        pass


class Yes:
    """To holds as to reports."""

    def ask(self, items: Sequence[Any]) -> "asyncio.Future[list[Any]]":
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        future.set_result([Outcome(Status.ACCEPTED) if isinstance(item, UsageReport) else None for item in items])
        return future

    async def stop(self) -> None:
        pass


class WithoutCommits(Writers):
    """As `gateway.writers.Writers`."""

    def __init__(self) -> None:
        super().__init__()
        for name in [name for name in vars(self) if hasattr(getattr(self, name), "submit")]:
            setattr(self, name, Nothing(None))
        self.together = Yes()  # type: ignore[assignment]
        self.releases = Nothing(True)  # type: ignore[assignment]


process.Writers = WithoutCommits  # type: ignore[attr-defined]
app = create_app()
