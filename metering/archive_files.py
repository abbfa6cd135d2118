"""Where archived months lie: one Parquet file an organization and UTC month, below VAR_DIR/usage-archive.

Its path is made of the row that notes it (UsageArchive), never of anything that a reader sends.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from accounts import whole_files
from metering.models import UsageArchive

FOLDER = "usage-archive"


class ArchiveDamaged(Exception):
    """The file of an archived month is not there, or not what was written: it must come back from a backup."""


def folder() -> Path:
    return Path(settings.VAR_DIR) / FOLDER


def relative_path(organization_id: int, month: date) -> str:
    return f"{organization_id:d}/{month:%Y-%m}.parquet"


def path_of(archive: UsageArchive) -> Path:
    return folder() / relative_path(archive.organization_id, archive.month)


@contextmanager
def written(organization_id: int, month: date) -> Iterator[BinaryIO]:
    """The file of a month, to be written: it is there whole, and on disk, when the block ends."""
    with whole_files.written_whole(folder() / relative_path(organization_id, month)) as file:
        yield file


def size_and_hash(organization_id: int, month: date) -> tuple[int, str]:
    """Bytes and SHA-256 of the file as it is. Raises ArchiveDamaged if there is none that can be read."""
    name = relative_path(organization_id, month)
    try:
        with open(folder() / name, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return file.tell(), digest.hexdigest()
    except OSError as error:
        raise ArchiveDamaged(f"{name}: {error.strerror}") from error


def require_intact(archive: UsageArchive) -> None:
    """Read the whole file. Raises ArchiveDamaged if its bytes are not those that were noted."""
    if size_and_hash(archive.organization_id, archive.month) != (archive.size, archive.sha256):
        name = relative_path(archive.organization_id, archive.month)
        raise ArchiveDamaged(f"{name}: the file is not what was written")


def remove_leftovers(*, now: datetime) -> int:
    """Delete what killed exports left half-written; returns how many files."""
    return whole_files.remove_leftovers(folder(), now=now)
