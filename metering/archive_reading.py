"""Read an archived month as its partition was read: by id, forwards or backwards, only what is asked for.

A file is sorted by id and says for each of its row groups from which id to which it goes, so one event or a page costs one or two
row groups; of those the fields of the condition are read first, and the others only where something matched.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import pyarrow as arrow
from django.db.models import Q
from pyarrow import compute, parquet

from metering import archive_files
from metering.archive_columns import Row, rows_of
from metering.archive_conditions import fields_of, mask_of
from metering.archive_files import ArchiveDamaged
from metering.models import UsageArchive
from metering.stored_events import END, EVERYTHING, FIRST

AT_ONCE = 500
"""Rows that become Python objects together: a page wants few of a row group's."""


def rows_in(
    archive: UsageArchive, *, first: UUID, end: UUID, where: Q, names: Sequence[str], newest_first: bool = False
) -> Iterator[Row]:
    """The fields `names` of the archive's events with first <= id < end that match, in the order of their ids.

    Raises ArchiveDamaged.
    """
    wanted = Q(id__gte=first, id__lt=end) & where
    try:
        with parquet.ParquetFile(_intact_path(archive), page_checksum_verification=True) as file:
            groups = _groups(file.metadata, str(first), str(end))
            for number in reversed(groups) if newest_first else groups:
                yield from _rows_of_group(file, number, wanted, names, newest_first=newest_first)
    except (OSError, arrow.ArrowException) as error:
        raise ArchiveDamaged(f"{archive_files.path_of(archive).name}: {error}") from error


def _intact_path(archive: UsageArchive) -> Any:
    """Bytes are checked page by page as they are read, and all of them by the audit; a file that was exchanged has another size."""
    path = archive_files.path_of(archive)
    if path.stat().st_size != archive.size:
        raise ArchiveDamaged(f"{path.name}: the file is not what was written")
    return path


def _groups(metadata: Any, first: str, end: str) -> list[int]:
    """The row groups that may hold ids of [first, end)."""
    names = [metadata.schema.column(number).name for number in range(metadata.num_columns)]
    column = names.index("id")
    found = []
    for number in range(metadata.num_row_groups):
        ids = metadata.row_group(number).column(column).statistics
        if ids.max >= first and ids.min < end:
            found.append(number)
    return found


def _rows_of_group(file: Any, number: int, wanted: Q, names: Sequence[str], *, newest_first: bool) -> Iterator[Row]:
    present = set(file.schema_arrow.names)
    asked = file.read_row_group(number, columns=sorted(set(fields_of(wanted)) & present), use_threads=False)
    places = compute.indices_nonzero(mask_of(wanted, asked).combine_chunks())
    if not len(places):
        return
    if newest_first:
        places = places[::-1]
    table = file.read_row_group(
        number, columns=[name for name in dict.fromkeys(names) if name in present], use_threads=False
    )
    for start in range(0, len(places), AT_ONCE):
        yield from rows_of(table.take(places[start : start + AT_ONCE]), names)


def pages_in(archive: UsageArchive, *, names: Sequence[str], size: int) -> Iterator[list[Row]]:
    """All that the file holds in the order of the ids, so many rows at a time. Raises ArchiveDamaged."""
    rows = rows_in(archive, first=FIRST, end=END, where=EVERYTHING, names=names)
    while page := list(islice(rows, size)):
        yield page
