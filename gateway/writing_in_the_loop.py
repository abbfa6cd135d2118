"""The hot path's writer: the event loop itself sends what waits as one message, and goes on with other calls until it is committed.

Where waking a thread is dear, waking two for each commit, with Python's lock between them, costs as much as the commit itself
(docs/decisions/0045).
What must ask the database before it can be written – an organization's terms, once a minute; a rate that nobody has used yet – goes
through a thread.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from django.core.exceptions import SynchronousOnlyOperation
from django.utils import timezone

from accounts.loop_connection import LoopConnection
from gateway.writing_together import Item, Written, failed, foresee, undecided
from ledger.group_commit import GroupCommit, WriterStopped

MOST_AT_ONCE = 100
"""Items of a message. The loop does nothing else while it is put together, some 50 µs an item."""
SECONDS_TO_STOP = 10.0
_Submission = tuple[Sequence[Item], "asyncio.Future[list[Written]]"]


class LoopWriter:
    """Whatever waits while a message is under way shares the next one. To be used on one event loop."""

    def __init__(self, *, asking: GroupCommit[Item, Written]) -> None:
        """`asking` writes what cannot be foreseen from memory."""
        self._asking = asking
        self._connection: LoopConnection | None = None
        self._waiting: deque[_Submission] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._stopped = False

    def ask(self, items: Sequence[Item]) -> "asyncio.Future[list[Written]]":
        """Write these items together with whatever else waits; their answers, UNDECIDED where nothing is known to be committed."""
        if self._stopped:
            raise WriterStopped("gateway-together")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Written]] = loop.create_future()
        self._waiting.append((items, future))
        if self._writing is None:
            self._writing = loop.create_task(self._write_all())
        return future

    async def stop(self) -> None:
        """Write what waits and close the connection, also if the database does not answer. Later submissions are refused."""
        self._stopped = True
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=SECONDS_TO_STOP)
        await self._hang_up()

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whoever is ready to run may come along
                group = self._next_group()
                items = [item for some, _future in group for item in some]
                answers = await self._write(items)
                position = 0
                for some, future in group:
                    if not future.done():
                        future.set_result(answers[position : position + len(some)])
                    position += len(some)
        finally:
            self._writing = None

    def _next_group(self) -> list[_Submission]:
        """What waits, as far as it fits into one message, without what nobody waits for any longer."""
        group: list[_Submission] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0][0]) <= MOST_AT_ONCE):
            some, future = self._waiting.popleft()
            if not future.cancelled():
                group.append((some, future))
                size += len(some)
        return group

    async def _write(self, items: Sequence[Item]) -> list[Written]:
        """Never raises: whoever is UNDECIDED asks a writer that does."""
        try:
            try:
                write = foresee(items, now=timezone.now())
            except SynchronousOnlyOperation:  # Django refuses to have the loop wait for the database, before it asks
                return await self._asking.ask(items)
            if not write.steps:
                return undecided(items)
            if self._connection is None:
                self._connection = await LoopConnection.open()
            return write.answers(await self._connection.in_tenant_scope(write.organization_ids, write.steps))
        except Exception as error:
            if self._connection is not None and not self._connection.is_usable:
                await self._hang_up()
            return failed(items, error)

    async def _hang_up(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
