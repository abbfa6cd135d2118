"""Everything the processor knows, in one SQLite file: objects, answers under their keys, events, webhook deliveries.

A call's whole effect is one transaction. It outlives the process: what was committed before a kill is there after it.
"""

import json
import secrets
import sqlite3
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.payments.errors import ApiError, missing

Object = dict[str, Any]
_LETTERS = string.ascii_letters + string.digits
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, created INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, seq);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    request_id TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, type TEXT NOT NULL, due REAL NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_answer TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due);
"""


def new_id(prefix: str) -> str:
    return f"{prefix}_" + "".join(secrets.choice(_LETTERS) for _ in range(24))


def public(value: Any) -> Any:
    """The object as callers see it: fields that start with an underscore are the processor's own."""
    if isinstance(value, dict):
        return {name: public(part) for name, part in value.items() if not name.startswith("_")}
    return [public(part) for part in value] if isinstance(value, list) else value


class Books:
    """The open file. It is used from one thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(directory / "payments.sqlite3", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, and also when the error says that the call had begun to execute: a refused card leaves traces."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException as error:
            kept = isinstance(error, ApiError) and error.began
            self.connection.execute("COMMIT" if kept else "ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def is_ready(self) -> bool:
        try:
            return self.connection.execute("SELECT 1").fetchone() is not None
        except sqlite3.Error:
            return False

    def now(self) -> int:
        return int(time.time())

    # objects

    def put(self, value: Object) -> Object:
        """Insert the object, or write its new state; returns it."""
        self.connection.execute(
            "INSERT INTO objects (id, kind, created, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (value["id"], value["object"], value["created"], json.dumps(value, ensure_ascii=False)),
        )
        return value

    def find(self, object_id: str) -> Object | None:
        row = self.connection.execute("SELECT body FROM objects WHERE id = ?", (object_id,)).fetchone()
        return json.loads(row["body"]) if row else None

    def unlist(self, object_id: str) -> None:
        """Keep the object under its id, but out of the lists of its kind."""
        self.connection.execute("UPDATE objects SET kind = kind || ', deleted' WHERE id = ?", (object_id,))

    def get(self, kind: str, object_id: str, *, param: str = "id") -> Object:
        found = self.find(object_id)
        if found is None or found["object"] != kind:
            raise missing(kind, object_id, param=param)
        return found

    def newest(self, kind: str, *, limit: int = 100, where: dict[str, Any] | None = None) -> list[Object]:
        """Objects of a kind, newest first, whose fields have the given values."""
        return self.page(kind, where=where or {}, limit=limit)[0]

    def page(
        self,
        kind: str,
        *,
        where: dict[str, Any],
        limit: int,
        after: str | None = None,
        before: str | None = None,
        created: dict[str, int] | None = None,
    ) -> tuple[list[Object], bool]:
        """One page, newest first, and whether there is more beyond it. Keys of `where` are dotted field paths."""
        clauses: list[str] = ["kind = ?"]
        values: list[Any] = [kind]
        for name, value in where.items():
            clauses.append("json_extract(body, ?) = ?")
            values += ["$." + ".".join(f'"{step}"' for step in name.split(".")), value]
        for sign, moment in (created or {}).items():
            clauses.append(f"created {sign} ?")
            values.append(moment)
        for sign, cursor in (("<", after), (">", before)):
            if cursor:
                clauses.append(f"seq {sign} (SELECT seq FROM objects WHERE id = ?)")
                values.append(self.get(kind, cursor)["id"])
        order = "ASC" if before else "DESC"
        rows = self.connection.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(clauses)} ORDER BY seq {order} LIMIT ?", (*values, limit + 1)
        ).fetchall()
        found = [json.loads(row["body"]) for row in rows[:limit]]
        return (found[::-1] if before else found), len(rows) > limit

    def wipe(self) -> None:
        for table in ("objects", "answers", "deliveries"):
            self.connection.execute(f"DELETE FROM {table}")


def expand(books: Books, value: Object, paths: list[str]) -> Object:
    """Put objects in place of their ids along each path (`latest_charge.balance_transaction`, `data.customer`)."""
    for path in paths:
        _expand(books, value, path.split("."), path)
    return value


def _expand(books: Books, value: Any, steps: list[str], path: str) -> None:
    if isinstance(value, list):
        for item in value:
            _expand(books, item, steps, path)
        return
    step, *rest = steps
    if not isinstance(value, dict) or step not in value:
        raise ApiError(f"This property cannot be expanded: {path}", param="expand")
    if isinstance(value[step], str):
        value[step] = public(books.find(value[step])) or value[step]
    if rest and value[step] is not None:
        _expand(books, value[step], rest, path)
