"""Files that are there whole or not at all, whatever is killed or cut off while they are written: temporary, synced, renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

LEFT_OVER_AFTER = timedelta(hours=1)


@contextmanager
def written_whole(target: Path) -> Iterator[BinaryIO]:
    """A file to write to, which stands at `target` for good when the block ends. Should the block fail, the old one stays.

    The folders between are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    _sync_folder(target.parent.parent)


def move(source: Path, target: Path) -> None:
    """Let a whole file stand at `target` for good, in a folder that both share."""
    os.replace(source, target)
    _sync_folder(target.parent)


def remove_leftovers(folder: Path, *, now: datetime) -> int:
    """Delete what killed processes left half-written in the folders below; returns how many files. What is being written now
    is younger."""
    removed = 0
    for temporary in folder.glob("*/.*.tmp"):
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
