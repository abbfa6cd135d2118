"""A database connection of an event loop, for transactions that travel as one message (`round_trips`).

No thread waits for the answer, so none has to be woken, twice, and to ask for Python's lock. Only what needs no answer in between
can go this way. psycopg connects, and reads values; sending and waiting is done here with its libpq, because what its cursors do
around each costs as much as the rest.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Self

from django.db import connections
from psycopg import AsyncConnection, Error, OperationalError
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from accounts.round_trips import Rows, Step, whole_transaction


class LoopConnection:
    """Carries one transaction at a time."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._socket = connection.pgconn.socket
        self._reader = Transformer(connection)
        self._prepared: set[str] = set()
        self._results: list[PGresult] = []
        self._waiter: asyncio.Future[list[PGresult]] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    @classmethod
    async def open(cls, *, using: str = "default") -> Self:
        """With Django's settings of `using`. Raises psycopg.Error."""
        parameters = connections[using].get_connection_params()
        del parameters["cursor_factory"]  # Django's is not one of a loop
        parameters["options"] = f"{parameters.get('options', '')} -c TimeZone=UTC"
        return cls(await AsyncConnection.connect(**parameters, autocommit=True))

    @property
    def is_usable(self) -> bool:
        """Whether another transaction can begin."""
        return self._libpq.status == ConnStatus.OK and self._libpq.transaction_status == TransactionStatus.IDLE

    async def in_tenant_scope(self, organization_ids: Iterable[int], steps: Sequence[Step]) -> list[Rows]:
        """A whole transaction in one round trip; what its steps returned.

        Raises psycopg.Error, and django.db.DataError for a text that no database holds. If the connection `is_usable` then, nothing
        was committed.
        """
        for statement, _parameters in steps:
            if statement.name not in self._prepared:
                await self._ask(statement.preparation)
                self._prepared.add(statement.name)
        message = whole_transaction(organization_ids, steps, self._libpq)
        results = await self._ask(message.text)
        return [self._rows(result) for result in results[message.steps]]

    async def close(self) -> None:
        """What is under way ends, and nobody knows how."""
        self._let_go(OperationalError("the connection was closed"))
        await self._connection.close()

    async def _ask(self, text: str) -> list[PGresult]:
        """A result for each statement, all of which went through."""
        results = await self._answer_to(text)
        failure = next((result for result in results if result.status == ExecStatus.FATAL_ERROR), None)
        if failure is None:
            return results
        if self._libpq.transaction_status == TransactionStatus.INERROR:
            await self._answer_to("ROLLBACK")
        raise error_from_result(failure)

    async def _answer_to(self, text: str) -> list[PGresult]:
        self._results = []
        self._libpq.send_query(text.encode())
        self._waiter = self._loop.create_future()
        self._send()
        return await self._waiter

    def _send(self) -> None:
        """Send what the socket takes, and the rest when it takes more."""
        try:
            if self._libpq.flush():
                self._loop.add_writer(self._socket, self._send)
            else:
                self._loop.remove_writer(self._socket)
        except Error as error:
            self._let_go(error)

    def _read(self) -> None:
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    self._tell()
                    return
                self._results.append(result)
        except Error as error:
            self._let_go(error)

    def _tell(self) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            if not waiter.done():
                waiter.set_result(self._results)

    def _let_go(self, error: Error) -> None:
        """The connection is lost: whoever waits hears it, and nobody listens any longer."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            if not waiter.done():
                waiter.set_exception(error)

    def _rows(self, result: PGresult) -> Rows:
        if not result.ntuples:
            return []
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)
