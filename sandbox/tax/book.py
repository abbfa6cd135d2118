"""Everything the provider and the tax office know, in one SQLite file. It outlives a kill."""

import json
import sqlite3
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

SEOUL = timezone(timedelta(hours=9))
ISSUER = "41000203"
ISSUED, SENT, SEND_FAILED, CANCELED = 300, 304, 305, 600
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sheets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, mgt_key TEXT UNIQUE NOT NULL, approval TEXT UNIQUE NOT NULL, state INTEGER NOT NULL,
    issued REAL NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS businesses (number TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


class Book:
    """The open file. It is used from one thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(directory / "tax.sqlite3", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript(_SCHEMA)

    def is_ready(self) -> bool:
        try:
            return self.connection.execute("SELECT 1").fetchone() is not None
        except sqlite3.Error:
            return False

    def find(self, mgt_key: str) -> sqlite3.Row | None:
        return self._one("SELECT * FROM sheets WHERE mgt_key = ?", mgt_key)

    def find_approval(self, number: str) -> sqlite3.Row | None:
        return self._one("SELECT * FROM sheets WHERE approval = ?", number)

    def _one(self, query: str, value: str) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self.connection.execute(query, (value,)).fetchone()
        return found

    def keep(self, mgt_key: str, body: dict[str, Any]) -> str:
        """A new sheet, issued now. Returns the approval number that it gets: day, issuer, serial number."""
        now = time.time()
        serial = self.connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM sheets").fetchone()[0]
        approval = f"{datetime.fromtimestamp(now, SEOUL):%Y%m%d}{ISSUER}{serial:08d}"
        self.connection.execute(
            "INSERT INTO sheets (mgt_key, approval, state, issued, body) VALUES (?, ?, ?, ?, ?)",
            (mgt_key, approval, ISSUED, now, json.dumps(body, ensure_ascii=False)),
        )
        return approval

    def count_attempt(self, mgt_key: str) -> None:
        self.connection.execute("UPDATE sheets SET attempts = attempts + 1 WHERE mgt_key = ?", (mgt_key,))

    def set_state(self, mgt_key: str, state: int) -> None:
        self.connection.execute("UPDATE sheets SET state = ? WHERE mgt_key = ?", (state, mgt_key))

    def transmit(self, *, older_than: float, state: int = SENT) -> int:
        """Send what was issued so many seconds ago to the tax office, which takes it over unless `state` says otherwise."""
        done = self.connection.execute(
            "UPDATE sheets SET state = ? WHERE state = ? AND issued <= ?", (state, ISSUED, time.time() - older_than)
        )
        return done.rowcount

    def sheets(self, *, limit: int = 1_000_000) -> list[sqlite3.Row]:
        """Newest first."""
        return self.connection.execute("SELECT * FROM sheets ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()

    def business(self, number: str) -> dict[str, Any] | None:
        row = self._one("SELECT body FROM businesses WHERE number = ?", number)
        return json.loads(row["body"]) if row else None

    def set_business(self, number: str, body: dict[str, Any]) -> None:
        self.connection.execute(
            "INSERT INTO businesses (number, body) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET body = excluded.body",
            (number, json.dumps(body, ensure_ascii=False)),
        )

    def wipe(self) -> None:
        self.connection.execute("DELETE FROM sheets")
        self.connection.execute("DELETE FROM businesses")
