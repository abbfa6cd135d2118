"""Keeps mails as files, one each: a first line of JSON (the envelope), then the mail as it came over the wire."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SUFFIX = ".mail"


@dataclass(slots=True, frozen=True)
class Envelope:
    """What the SMTP conversation said; the recipients include the blind copies. Times are in UTC."""

    id: int
    sender: str
    recipients: tuple[str, ...]
    received_at: datetime
    size: int

    def is_for(self, address: str) -> bool:
        return address.casefold() in (recipient.casefold() for recipient in self.recipients)


class Store:
    """The newest mails of a directory, oldest first; beyond `limit` the oldest file is removed."""

    def __init__(self, directory: Path, *, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        directory.mkdir(parents=True, exist_ok=True)
        for left_over in directory.glob("*.tmp"):
            left_over.unlink()
        self._envelopes = {}
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            envelope = _read_envelope(path)
            if envelope:
                self._envelopes[envelope.id] = envelope

    def is_writable(self) -> bool:
        return os.access(self._directory, os.W_OK | os.X_OK)

    def keep(self, *, sender: str, recipients: tuple[str, ...], content: bytes) -> Envelope:
        """Write the mail to disk for good, and only then list it."""
        now = time.time()
        # An id is the moment of arrival in milliseconds, so that ids grow even when the directory was emptied before.
        newest = next(reversed(self._envelopes), 0)
        envelope = Envelope(
            id=max(int(now * 1000), newest + 1),
            sender=sender,
            recipients=recipients,
            received_at=datetime.fromtimestamp(now, UTC),
            size=len(content),
        )
        first_line = {
            "id": envelope.id,
            "sender": sender,
            "recipients": recipients,
            "received_at": envelope.received_at.isoformat(),
        }
        path = self._path(envelope.id)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(json.dumps(first_line).encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._envelopes[envelope.id] = envelope
        while len(self._envelopes) > self._limit:
            self.remove(next(iter(self._envelopes)))
        return envelope

    def newest_first(self, *, to: str = "", after: int = 0, since: datetime | None = None) -> list[Envelope]:
        """The mails for an address (any, when empty) with a higher id than `after`, received later than `since`."""
        return [
            envelope
            for envelope in reversed(self._envelopes.values())
            if envelope.id > after
            and (not to or envelope.is_for(to))
            and (since is None or envelope.received_at > since)
        ]

    def find(self, mail_id: int) -> Envelope | None:
        return self._envelopes.get(mail_id)

    def content(self, envelope: Envelope) -> bytes:
        with self._path(envelope.id).open("rb") as file:
            file.readline()
            return file.read()

    def remove(self, mail_id: int) -> None:
        self._envelopes.pop(mail_id, None)
        self._path(mail_id).unlink(missing_ok=True)

    def clear(self) -> int:
        count = len(self._envelopes)
        for mail_id in list(self._envelopes):
            self.remove(mail_id)
        return count

    def _path(self, mail_id: int) -> Path:
        return self._directory / f"{mail_id:015d}{SUFFIX}"


def _read_envelope(path: Path) -> Envelope | None:
    """The envelope of a kept mail, or None when the file is not one of ours."""
    with path.open("rb") as file:
        line = file.readline(1024 * 1024)
    try:
        fields = json.loads(line)
        return Envelope(
            id=int(fields["id"]),
            sender=str(fields["sender"]),
            recipients=tuple(fields["recipients"]),
            received_at=datetime.fromisoformat(fields["received_at"]),
            size=path.stat().st_size - len(line),
        )
    except (ValueError, KeyError, TypeError):
        return None
