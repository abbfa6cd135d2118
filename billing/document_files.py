"""Documents on disk: written whole or not at all, read only if their bytes are the ones that were noted."""

import hashlib
import re
from datetime import datetime
from pathlib import Path

from django.conf import settings

from accounts import whole_files

FOLDER = "documents"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


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
    with whole_files.written_whole(absolute(path)) as file:
        file.write(content)


def remove_leftovers(*, now: datetime) -> int:
    """Delete what killed processes left half-written; returns how many files."""
    return whole_files.remove_leftovers(absolute(""), now=now)
