"""The one door to recorded events, wherever they are by now: in the partitions of the database, or in the archive of their month.

Events of an archived month come back as the same (unsaved) objects. A look sees each event once, though its month may be archived
meanwhile: while it looks, no partition can be detached.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from heapq import merge
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Q

from accounts.tenancy import TenantQuerySet
from ledger.event_ids import ids_of_month
from metering.models import ArchivedMonth, UsageArchive, UsageEvent

Row = tuple[Any, ...]
CHUNK = 2_000
LAST_ID = (1 << 128) - 1
FIRST, END = UUID(int=0), UUID(int=LAST_ID)
EVERYTHING = Q()
HOLD_PARTITIONS = "LOCK TABLE ONLY metering_usageevent IN ACCESS SHARE MODE"
"""Detaching wants the table for itself, so it comes before the look or after it."""
EVENT_FIELDS = tuple(field.attname for field in UsageEvent._meta.concrete_fields)
"""In the order in which an event is made of them."""
_EVENT: Callable[..., UsageEvent] = UsageEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Which events: those with first <= id < end that match `where`, of one organization (None: of all, as `system` only)."""

    organization_id: int | None
    first: UUID = FIRST
    end: UUID = END
    where: Q = EVERYTHING

    def after(self, event_id: UUID) -> "Look":
        """What is left of it after that event."""
        return replace(self, first=max(self.first, _after(event_id)))

    def before(self, event_id: UUID) -> "Look":
        """What is left of it before that event."""
        return replace(self, end=min(self.end, event_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Ids that lie in one place: in the database, or in these archives (one an organization)."""

    first: UUID
    end: UUID
    archives: Sequence[UsageArchive] = ()


def look(asked: Look, *, limit: int, newest_first: bool = False, using: str = "default") -> list[UsageEvent]:
    """Up to `limit` of the events, in the order of their ids. Needs the tenant's scope. Raises ArchiveDamaged."""
    found: list[UsageEvent] = []
    with transaction.atomic(using=using, savepoint=False):
        for piece in _pieces(asked, using=using, newest_first=newest_first):
            left = limit - len(found)
            if piece.archives:
                rows = _archived(asked, piece, EVENT_FIELDS, newest_first=newest_first)
                found += [_EVENT(*row) for row in islice(rows, left)]
            else:
                found += _query(asked, piece, using=using).order_by("-id" if newest_first else "id")[:left]
            if len(found) == limit:
                break
    return found


def walk(asked: Look, *fields: str, using: str = "default") -> Iterator[Row]:
    """These fields of all the events, oldest first, with flat memory. Needs the tenant's scope in a transaction that lasts until
    the end. Raises ArchiveDamaged."""
    for piece in _pieces(asked, using=using, newest_first=False):
        if piece.archives:
            yield from _archived(asked, piece, fields, newest_first=False)
        else:
            rows = _query(asked, piece, using=using).order_by("id").values_list(*fields)
            yield from rows.iterator(chunk_size=CHUNK)


def archived_of(asked: Look, *fields: str, using: str = "default") -> Iterator[Row]:
    """The same, of those events only that are archived: for who lets the database add up its own."""
    for piece in _pieces(asked, using=using, newest_first=False):
        if piece.archives:
            yield from _archived(asked, piece, fields, newest_first=False)


def by_ids(event_ids: Collection[UUID], *, organization_id: int) -> dict[UUID, UsageEvent]:
    """Those events of the organization that there are, by id. Needs the tenant's scope. Raises ArchiveDamaged."""
    if not event_ids:
        return {}
    ids = sorted(event_ids)
    wanted = Look(organization_id=organization_id, first=ids[0], end=_after(ids[-1]), where=Q(id__in=ids))
    return {event.id: event for event in look(wanted, limit=len(ids))}


def in_database(asked: Look) -> TenantQuerySet[UsageEvent]:
    """Those of the events that are not archived."""
    return _query(asked, _Piece(first=asked.first, end=asked.end), using="default")


def is_archived(event: UsageEvent) -> bool:
    """Whether the event came out of an archive: no row can be made from it by the database."""
    return event._state.adding


def _query(asked: Look, piece: _Piece, *, using: str) -> TenantQuerySet[UsageEvent]:
    events = UsageEvent.objects.using(using)
    if asked.organization_id is not None:
        events = events.for_organization(asked.organization_id)
    return events.filter(asked.where, id__gte=piece.first, id__lt=piece.end)


def _archived(asked: Look, piece: _Piece, fields: Sequence[str], *, newest_first: bool) -> Iterator[Row]:
    from metering.archive_reading import rows_in  # brings pyarrow, which is heavy: only where something is archived

    names = ("id", *fields)
    parts: Iterable[Iterator[Row]] = (
        rows_in(archive, first=piece.first, end=piece.end, where=asked.where, names=names, newest_first=newest_first)
        for archive in piece.archives
    )
    return (row[1:] for row in merge(*parts, key=lambda row: row[0], reverse=newest_first))


def _pieces(asked: Look, *, using: str, newest_first: bool) -> list[_Piece]:
    """The ids asked for, cut where archived months begin and end, in the order in which they are read."""
    with connections[using].cursor() as cursor:
        cursor.execute(HOLD_PARTITIONS)
    pieces: list[_Piece] = []
    position = asked.first
    for month, archives in _archives(asked, using=using).items():
        first, following = ids_of_month(month)
        start, end = max(first, asked.first), min(following, asked.end)
        if position < start:
            pieces.append(_Piece(first=position, end=start))
        pieces.append(_Piece(first=start, end=end, archives=archives))
        position = end
    if position < asked.end:
        pieces.append(_Piece(first=position, end=asked.end))
    return pieces[::-1] if newest_first else pieces


def _archives(asked: Look, *, using: str) -> Mapping[date, list[UsageArchive]]:
    """The archives that may hold something of it, by month. Until its month is detached the database has the events too."""
    rows = UsageArchive.objects.using(using)
    if asked.organization_id is not None:
        rows = rows.for_organization(asked.organization_id)
    detached = ArchivedMonth.objects.using(using).values("month")
    found = rows.filter(first_id__lt=asked.end, last_id__gte=asked.first, month__in=detached).order_by("month")
    return {month: list(group) for month, group in groupby(found, key=lambda row: row.month)}


def _after(event_id: UUID) -> UUID:
    return UUID(int=min(event_id.int + 1, LAST_ID))
