"""Documents on disk: written whole or not at all, read only if their bytes are the ones that were noted."""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from accounts import whole_files

FOLDER = "documents"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.(pdf|csv|zip))")


class UnsafeName(ValueError):
    """A number of an invoice or another paper that is no file name."""


class WrongBytes(Exception):
    """The file is not there, or not what was written."""


def relative_path(organization_id: int, name: str) -> str:
    """Where a document lies below VAR_DIR/documents. Raises UnsafeName."""
    if not _SAFE.fullmatch(name):
        raise UnsafeName(f"{name!r} cannot be a file name")
    return f"{organization_id}/{name}"


def absolute(path: str) -> Path:
    return Path(settings.VAR_DIR) / FOLDER / path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(path: str, *, sha256: str) -> bytes:
    """The bytes of a document. Raises WrongBytes."""
    try:
        content = absolute(path).read_bytes()
    except OSError as error:
        raise WrongBytes(f"{path}: {error.strerror}") from error
    if digest(content) != sha256:
        raise WrongBytes(f"{path}: the file is not what was written")
    return content


def write(path: str, content: bytes) -> None:
    """Put `content` at `path` for good: after a crash at any point the old file is there, or the new one, but never a part."""
    with whole_files.written_whole(absolute(path)) as file:
        file.write(content)


def is_intact(path: str, *, sha256: str) -> bool:
    """Whether the file is there and what was written; read in pieces, for it may be long."""
    try:
        with absolute(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class PutAside:
    """A file that is whole, but not in its place yet."""

    path: str
    sha256: str
    size: int

    def take_its_place(self) -> None:
        """Put it where it belongs, for good, instead of what was there."""
        whole_files.move(_aside(self.path), absolute(self.path))


@contextmanager
def put_aside(path: str, pieces: Iterable[bytes]) -> Iterator[PutAside]:
    """Write `pieces` to a file beside `path`, which takes its place when that is called, and else is gone afterwards."""
    aside, hashed, size = _aside(path), hashlib.sha256(), 0
    with whole_files.written_whole(aside) as file:
        for piece in pieces:
            hashed.update(piece)
            size += file.write(piece)
    try:
        yield PutAside(path, hashed.hexdigest(), size)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def written_aside(path: str, write: Callable[[BinaryIO], None]) -> Iterator[PutAside]:
    """As `put_aside`, of what `write` does to a file in which it may go back and forth."""
    aside = _aside(path)
    with whole_files.written_whole(aside) as file:
        write(file)
    try:
        with aside.open("rb") as whole:
            yield PutAside(path, hashlib.file_digest(whole, "sha256").hexdigest(), aside.stat().st_size)
    finally:
        aside.unlink(missing_ok=True)


def _aside(path: str) -> Path:
    """Named after process and thread, so that two that write the same do not write into each other; swept up as a leftover."""
    target = absolute(path)
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")


def remove_leftovers(*, now: datetime) -> int:
    """Delete what killed processes left half-written; returns how many files."""
    return whole_files.remove_leftovers(absolute(""), now=now)
