"""Transactions of the hot path in as few round trips as they have decisions to make: several statements travel together.

They go as one text, `BEGIN; SET LOCAL …; EXECUTE …; EXECUTE …`, in one message, and come back in one; a thread that waits for
answers once instead of eight times also has to ask for Python's lock once instead of eight times. Each statement is parsed once a
connection (PREPARE), and planned once (PLANS). Row security stands behind all of it, as in `tenancy`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DataError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection
from psycopg.pq import Escaping, TransactionStatus
from psycopg.pq.abc import PGconn

from accounts.array_literals import array_of
from accounts.row_security import SETTING

PLANS = ("SET LOCAL plan_cache_mode = force_generic_plan", "SET LOCAL enable_seqscan = off")
"""Planning takes as long as the work itself, so it is done once a connection. What is looked up here is looked up by its key: the
plan needs no statistics, and one that was made for an empty table does not read a full one through."""
BEGINNING = ("BEGIN", *PLANS)


class Statement:
    """SQL with `%s` for its parameters, whose types PostgreSQL must be able to tell: cast what it cannot."""

    def __init__(self, sql: str) -> None:
        pieces = sql.split("%s")
        self.name = f"hot_{blake2b(sql.encode(), digest_size=8).hexdigest()}"
        self.preparation = (
            f"PREPARE {self.name} AS "
            + pieces[0]
            + "".join(f"${number}{piece}" for number, piece in enumerate(pieces[1:], start=1))
        )


Step = tuple[Statement, Sequence[object]]
"""A statement and its parameters."""
Rows = list[tuple[Any, ...]]
_prepared: WeakKeyDictionary[Connection[Any], set[str]] = WeakKeyDictionary()
"""What each connection has parsed; a connection belongs to one thread."""


class HotTransaction:
    """A transaction that has begun. `rows` is what its first steps returned, a list for each step."""

    def __init__(self, connection: BaseDatabaseWrapper, rows: list[Rows], *, is_outermost: bool) -> None:
        self._connection = connection
        self._is_outermost = is_outermost
        self.rows = rows

    def run(self, steps: Sequence[Step]) -> list[Rows]:
        """Run steps in one round trip."""
        return _run(self._connection, steps)

    def finish(self, steps: Sequence[Step]) -> list[Rows]:
        """Run the last steps and commit, in one round trip. Inside a transaction of the caller, that one commits."""
        return _run(self._connection, steps, last="COMMIT" if self._is_outermost else "")


@contextmanager
def tenant_transaction(
    organization_ids: Iterable[int], steps: Sequence[Step], *, using: str = "default", commits: bool = False
) -> Iterator[HotTransaction]:
    """A tenant scope that begins with `steps`, in one round trip. It is committed at the end, if `finish` has not done so, or with
    its first steps if there are no others (`commits`)."""
    scope = _scope(organization_ids)
    connection = connections[using]
    with transaction.atomic(using=using):
        raw = connection.connection
        is_outermost = raw.info.transaction_status is TransactionStatus.IDLE
        if is_outermost:
            raw.autocommit = True  # else psycopg sends a BEGIN of its own, and waits for the answer
        first = [*BEGINNING, scope] if is_outermost else [scope]
        rows = _run(connection, steps, first=first, last="COMMIT" if commits and is_outermost else "")
        yield HotTransaction(connection, rows, is_outermost=is_outermost)


def in_tenant_scope(organization_ids: Iterable[int], steps: Sequence[Step], *, using: str = "default") -> list[Rows]:
    """A whole transaction in one round trip."""
    with tenant_transaction(organization_ids, steps, using=using, commits=True) as hot:
        return hot.rows


def run(steps: Sequence[Step], *, using: str = "default") -> list[Rows]:
    """Run steps in one round trip, inside the running transaction."""
    return _run(connections[using], steps)


def whole_transaction(organization_ids: Iterable[int], steps: Sequence[Step], connection: PGconn) -> "Message":
    """A transaction in a tenant scope, from its BEGIN to its COMMIT, for a connection that has its statements prepared."""
    return _message(steps, connection, first=[*BEGINNING, _scope(organization_ids)], last="COMMIT")


@dataclass(frozen=True, slots=True)
class Message:
    """What travels at once. Of the results that come back, `steps` are those of the steps."""

    text: str
    steps: slice


def _message(steps: Sequence[Step], connection: PGconn, *, first: Sequence[str] = (), last: str = "") -> Message:
    escape = Escaping(connection).escape_literal
    executions = [
        f"EXECUTE {statement.name}({', '.join([_literal(one, escape) for one in parameters])})"
        for statement, parameters in steps
    ]
    text = "; ".join([*first, *executions, last] if last else [*first, *executions])
    return Message(text, slice(len(first), len(first) + len(steps)))


def _scope(organization_ids: Iterable[int]) -> str:
    organizations = ",".join(str(int(number)) for number in organization_ids)
    return f"SET LOCAL {SETTING} = '{{{organizations}}}'"


def _run(
    connection: BaseDatabaseWrapper, steps: Sequence[Step], *, first: Sequence[str] = (), last: str = ""
) -> list[Rows]:
    with connection.cursor() as cursor:
        _prepare(connection, cursor, [statement for statement, _parameters in steps])
        message = _message(steps, connection.connection.pgconn, first=first, last=last)
        cursor.execute(message.text)
        found: list[Rows] = [cursor.fetchall() if cursor.description else []]
        while cursor.nextset():
            found.append(cursor.fetchall() if cursor.description else [])
    return found[message.steps]


def _literal(value: object, escape: Callable[[bytes], bytes]) -> str:
    """A parameter as SQL. A text may be an array's literal; lists become one."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    text = array_of(value) if isinstance(value, list | tuple) else str(value)
    if "\x00" in text:
        raise DataError("PostgreSQL's texts hold no NUL")
    return bytes(escape(text.encode())).decode()


def _prepare(connection: BaseDatabaseWrapper, cursor: Any, statements: Iterable[Statement]) -> None:
    """Have parsed what this connection has not seen yet. What is prepared outlives a transaction that fails."""
    known = _prepared.setdefault(connection.connection, set())
    for statement in statements:
        if statement.name not in known:
            cursor.execute(statement.preparation)
            known.add(statement.name)
