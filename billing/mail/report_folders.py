"""The folder that reports of mail servers come to, as BOUNCE_MAILBOX names it: a Maildir on this machine, or a folder over IMAP.

Both hand out what nobody has read yet, and mark it when it was dealt with, so that a process that is killed before reads it again.
What could not be used is flagged for a person, too. Nothing is ever deleted.
"""

import imaplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from billing.mail.delivery_reports import LARGEST

A_RUN = 500
"""Reports that one run reads; the next goes on."""
SECONDS = 30.0
DEFAULT_FOLDER = "INBOX"
INFO, SEEN, FLAGGED = ":2,", "S", "F"
"""Of a Maildir: its file names end in such flags."""


class FolderUnusable(Exception):
    """BOUNCE_MAILBOX cannot be read: the message says why, without its password."""


@dataclass(frozen=True, slots=True)
class Unread:
    """One mail; `mark(usable)` says that it was dealt with."""

    raw: bytes
    mark: Callable[[bool], None]


@contextmanager
def unread_in(url: str) -> Iterator[Iterator[Unread]]:
    """The unread mails of the folder, at most A_RUN. Raises FolderUnusable."""
    parts = urlsplit(url)
    if parts.scheme == "maildir":
        try:
            yield _of_maildir(Path(unquote(parts.path)))
        except OSError as error:
            raise FolderUnusable(str(error)) from error
    elif parts.scheme in ("imaps", "imap"):
        try:
            with _conversation(url) as server:
                yield _of_server(server)
        except (OSError, imaplib.IMAP4.error) as error:
            raise FolderUnusable(f"{parts.hostname}: {error}") from error
    else:
        raise FolderUnusable("BOUNCE_MAILBOX must begin with imaps://, imap:// or maildir://")


def _of_maildir(folder: Path) -> Iterator[Unread]:
    if not all((folder / name).is_dir() for name in ("new", "cur")):
        raise FolderUnusable(f"{folder} is no Maildir")
    files = [path for name in ("new", "cur") for path in (folder / name).iterdir() if path.is_file()]
    unread = sorted((path for path in files if SEEN not in _flags(path)), key=lambda path: path.name)
    for path in unread[:A_RUN]:

        def mark(usable: bool, path: Path = path) -> None:
            flags = "".join(sorted({*_flags(path), SEEN, *("" if usable else FLAGGED)}))
            path.rename(folder / "cur" / f"{path.name.partition(INFO)[0]}{INFO}{flags}")

        with path.open("rb") as file:
            yield Unread(file.read(LARGEST + 1), mark)


def _flags(path: Path) -> str:
    return path.name.partition(INFO)[2]


@contextmanager
def _conversation(url: str) -> Iterator[imaplib.IMAP4]:
    parts = urlsplit(url)
    kind = imaplib.IMAP4_SSL if parts.scheme == "imaps" else imaplib.IMAP4
    with kind(
        parts.hostname or "", parts.port or (993 if kind is imaplib.IMAP4_SSL else 143), timeout=SECONDS
    ) as server:
        server.login(unquote(parts.username or ""), unquote(parts.password or ""))
        name = unquote(parts.path.strip("/")) or DEFAULT_FOLDER
        _asked(server.select(f'"{name}"'))
        yield server


def _of_server(server: imaplib.IMAP4) -> Iterator[Unread]:
    [found] = _asked(server.uid("SEARCH", "UNSEEN"))
    for uid in (found or b"").decode().split()[:A_RUN]:

        def mark(usable: bool, uid: str = uid) -> None:
            _asked(server.uid("STORE", uid, "+FLAGS", r"(\Seen)" if usable else r"(\Seen \Flagged)"))

        fetched = _asked(server.uid("FETCH", uid, f"(BODY.PEEK[]<0.{LARGEST + 1}>)"))
        raw = next((part[1] for part in fetched if isinstance(part, tuple)), None)
        if raw is not None:  # else somebody removed it meanwhile
            yield Unread(raw, mark)


def _asked(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"{status}: {data}")
    return data
