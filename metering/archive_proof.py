"""One organization's month as a file: written, read back, and noted only if it is what the database holds, row by row and in sum.

Nothing is taken out of the database here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import zip_longest
from operator import xor
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connections, transaction

from accounts.models import Organization
from ledger.event_ids import ids_of_month, moment_of
from metering import archive_files, rebuilding
from metering.event_rows import digest_of
from metering.models import UsageArchive, UsageEvent
from metering.rollup_comparison import DIGEST
from metering.rollups import SUMMED, TAGS
from pricing.exact import ZERO, exact_sum

ROWS_A_GROUP = 4_000
"""Rows of a Parquet row group: what is read for one event, and held in memory for each reader."""
_GROUPED = {"api_key_id": "coalesce(api_key_id, 0)"} | {name: f"coalesce({name}, '')" for name in TAGS}
_KEY = ("organization_id", "period_id", "api_key_id", "model_id", "applied_rate_id", *TAGS)
ADD_SUMS = f"""
INSERT INTO metering_archivedsum (month, {", ".join(_KEY)}, event_count, event_digest, {", ".join(SUMMED)})
SELECT %s, {", ".join(_GROUPED.get(name, name) for name in _KEY)}, count(*), {DIGEST},
    {", ".join(f"coalesce(sum({name}), 0)" for name in SUMMED)}
FROM metering_usageevent WHERE organization_id = %s AND id >= %s AND id < %s
GROUP BY {", ".join(_GROUPED.get(name, name) for name in _KEY)}
"""
FORGET = (
    "DELETE FROM metering_archivedsum WHERE organization_id = %s AND month = %s",
    "DELETE FROM metering_usagearchive WHERE organization_id = %s AND month = %s",
)


class NotProven(Exception):
    """A file, or the rollups, are not what the database holds; the month stays where it is."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of some events: how many, the XOR of the low 64 bits of their ids, and their exact sums."""

    events: int
    digest: int
    cost: Decimal
    amount: Decimal


def archive_of(organization: Organization, month: date, totals: Totals, *, now: datetime) -> UsageArchive:
    """The proven archive of the month; `totals` are those of its events in the database. Raises NotProven.

    What an earlier run left is kept if it is whole and right, else made anew.
    """
    kept = UsageArchive.objects.using("system").for_organization(organization).filter(month=month).first()
    if kept is not None and totals_of([kept]) == totals and _is_intact(kept):
        return kept
    drafted = _write(organization, month, now=now)
    _prove(organization, drafted, totals)
    _note(drafted)
    return drafted


def totals_of(archives: Sequence[UsageArchive]) -> Totals:
    return Totals(
        sum(archive.event_count for archive in archives),
        reduce(xor, (archive.event_digest for archive in archives), 0),
        exact_sum(archive.cost for archive in archives),
        exact_sum(archive.amount for archive in archives),
    )


def _is_intact(archive: UsageArchive) -> bool:
    try:
        archive_files.require_intact(archive)
    except archive_files.ArchiveDamaged:
        return False
    return True


def _write(organization: Organization, month: date, *, now: datetime) -> UsageArchive:
    """Put the file on disk, whole; what it holds is not known yet."""
    from pyarrow import parquet  # heavy, and every worker imports this module

    from metering.archive_columns import SCHEMA, table_of

    about = {"organization": organization.slug, "month": f"{month:%Y-%m}"}
    with (
        archive_files.written(organization.pk, month) as file,
        parquet.ParquetWriter(
            file,
            SCHEMA.with_metadata(about),
            compression="zstd",
            write_statistics=["id"],
            write_page_checksum=True,
        ) as writer,
    ):
        for rows in _pages(organization.pk, month):
            writer.write_table(table_of(rows))
    size, sha256 = archive_files.size_and_hash(organization.pk, month)
    return UsageArchive(
        organization_id=organization.pk,
        month=month,
        archived_at=now,
        currency=organization.billing_currency,
        size=size,
        sha256=sha256,
    )


def _prove(organization: Organization, archive: UsageArchive, totals: Totals) -> None:
    """Read the file back: fills in what it holds. Raises NotProven."""
    from metering.archive_columns import NAMES
    from metering.archive_reading import pages_in

    event_id, cost, amount = (NAMES.index(name) for name in ("id", "cost", "amount"))
    ids: list[UUID] = []
    read = Totals(0, 0, ZERO, ZERO)
    for stored, rows in zip_longest(
        _pages(organization.pk, archive.month), pages_in(archive, names=NAMES, size=ROWS_A_GROUP)
    ):
        if stored != rows:
            raise NotProven(f"{archive_files.path_of(archive)} does not hold the events of {organization.slug}")
        ids = [ids[0] if ids else rows[0][event_id], rows[-1][event_id]]
        read = Totals(
            read.events + len(rows),
            reduce(xor, (digest_of(row[event_id]) for row in rows), read.digest),
            exact_sum((read.cost, *(row[cost] for row in rows))),
            exact_sum((read.amount, *(row[amount] for row in rows))),
        )
    if read != totals:
        raise NotProven(f"the events of {organization.slug} in {archive.month:%Y-%m} changed while they were exported")
    archive.first_id, archive.last_id = ids
    archive.event_count, archive.event_digest, archive.cost, archive.amount = astuple(read)
    _prove_rollups(organization, archive)


def _prove_rollups(organization: Organization, archive: UsageArchive) -> None:
    """The hourly sums of the month's days are those of the events. Raises NotProven."""
    zone = ZoneInfo(organization.zone)
    first, last = (moment_of(event_id).astimezone(zone).date() for event_id in (archive.first_id, archive.last_id))
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if rebuilding.rebuild(organization=organization, day=day, now=archive.archived_at, dry_run=True).different:
            raise NotProven(f"the rollups of {organization.slug} on {day} are not its events: run rebuild_rollups")


def _note(archive: UsageArchive) -> None:
    """The row of the file and its sums, in place of those of an earlier export, in one transaction."""
    named: tuple[int, date] = (archive.organization_id, archive.month)
    with transaction.atomic(using="system"), connections["system"].cursor() as cursor:
        for statement in FORGET:
            cursor.execute(statement, named)
        cursor.execute(ADD_SUMS, [archive.month, archive.organization_id, *ids_of_month(archive.month)])
        archive.save(using="system", force_insert=True)


def _pages(organization_id: int, month: date) -> Iterator[list[tuple[Any, ...]]]:
    """The events of the month in the database, a row group at a time."""
    from metering.archive_columns import NAMES

    position, end = ids_of_month(month)
    events = UsageEvent.objects.using("system").for_organization(organization_id).order_by("id")
    while rows := list(events.filter(id__gte=position, id__lt=end).values_list(*NAMES)[:ROWS_A_GROUP]):
        yield rows
        position = UUID(int=rows[-1][NAMES.index("id")].int + 1)
