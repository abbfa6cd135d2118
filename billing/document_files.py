"""Documents on disk: written whole or not at all, read only if their bytes are the ones that were noted."""

import hashlib
import os
import re
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

FOLDER = "documents"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
LEFT_OVER_AFTER = timedelta(hours=1)


class UnsafeName(ValueError):
    """An invoice number that is no file name."""


class WrongBytes(Exception):
    """The file is not there, or not what was written."""


def relative_path(organization_id: int, number: str) -> str:
    """Where a document lies below VAR_DIR/documents. Raises UnsafeName."""
    if not _SAFE.fullmatch(number):
        raise UnsafeName(f"{number!r} cannot be a file name")
    return f"{organization_id}/{number}.pdf"


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
    target = absolute(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    _sync_folder(target.parent.parent)


def remove_leftovers(*, now: datetime) -> int:
    """Delete what killed processes left half-written; returns how many files. What is being written now is younger."""
    removed = 0
    for temporary in absolute("").glob("*/.*.tmp"):
        try:
            if temporary.stat().st_mtime < (now - LEFT_OVER_AFTER).timestamp():
                temporary.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
