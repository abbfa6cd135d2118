"""A data export from the wish to the file: asked for, made by a later job, kept with its hash, and thrown away after its time.

Who makes one shows that it is at it; after a while of silence (it was killed) another begins anew, and the first can finish nothing
any more. A file is there whole or not at all.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.exports.archive import count_parts, write_archive
from billing.models import DataExport
from billing.papers import document_files

logger = logging.getLogger(__name__)
Status = DataExport.Status
Clock = Callable[[], datetime]
SILENCE = timedelta(minutes=5) * settings.SWEEP_PACE
"""Whoever was not seen for so long is not at it any more."""
MOST_ATTEMPTS, MOST_A_DAY = 5, 5
NAME = "export-{id}.zip"


class TooManyExports(Exception):
    """An organization asks for so many exports a day and no more."""


class Superseded(Exception):
    """Another makes this export by now."""


def ask_for_export(*, organization_id: int, now: datetime, actor: User | None) -> DataExport:
    """An export that will be made soon; the one that is being made if there is one. Raises TooManyExports."""
    from billing import tasks  # which run the steps of this module

    with tenant_scope([organization_id]):
        organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
        exports = DataExport.objects.for_organization(organization)
        known = exports.filter(status__in=DataExport.OPEN_STATUSES).first()
        if known is not None:
            return known
        if exports.filter(asked_at__gt=now - timedelta(days=1)).count() >= MOST_A_DAY:
            raise TooManyExports
        export = DataExport.objects.create(organization=organization, asked_at=now, asked_by=actor)
        _note(export, "export.asked", now=now, actor=actor)
        transaction.on_commit(
            lambda: tasks.ring(tasks.make_export, organization_id=organization_id, export_id=str(export.pk)),
            robust=True,
        )
    return export


def make_export(*, organization_id: int, export_id: UUID | str, clock: Clock) -> DataExport | None:
    """Make the file; None if another is at it, or it is made. Raises what reading and writing raise; it is tried again then."""
    now = clock()
    export = _take(organization_id, export_id, now=now)
    if export is None:
        return None
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        total = count_parts(organization)
    path = document_files.relative_path(organization_id, NAME.format(id=export.pk))

    def progress(part: str, rows: int) -> None:
        export.part, export.done = part, export.done + rows
        _write_down(export, seen_at=clock(), part=part[:60], done=export.done, total=max(total, export.done))

    def write(file: BinaryIO) -> None:
        write_archive(file, organization=organization, now=now, progress=progress)

    try:
        with document_files.written_aside(path, write) as written, tenant_scope([organization_id]):
            _write_down(
                export,
                status=Status.READY,
                path=path,
                sha256=written.sha256,
                size=written.size,
                failure="",
                finished_at=clock(),
                expires_at=clock() + timedelta(days=settings.EXPORT_DAYS),
            )
            written.take_its_place()
    except Superseded:
        logger.warning("an export was taken over", extra={"export": str(export.pk)})
        return None
    except Exception as error:
        _write_down(
            export,
            status=Status.FAILED if export.attempts >= MOST_ATTEMPTS else Status.WAITING,
            failure=type(error).__name__,
            seen_at=clock(),
        )
        raise
    return export


def waiting_exports(*, now: datetime) -> list[tuple[int, UUID]]:
    """Exports that nobody is at, as (organization, export). Looks at all tenants."""
    rows = DataExport.objects.using("system").filter(status__in=DataExport.OPEN_STATUSES).order_by("asked_at", "pk")
    return [(row.organization_id, row.pk) for row in rows if _is_free(row, now=now)]


def throw_away(*, now: datetime) -> int:
    """Delete the files whose time is over; returns how many. Looks at all tenants."""
    over = DataExport.objects.using("system").filter(status=Status.READY, expires_at__lte=now)
    for row in over:
        document_files.absolute(row.path).unlink(missing_ok=True)
        DataExport.objects.using("system").filter(pk=row.pk).update(status=Status.EXPIRED)
    return len(over)


def exports_of(organization: Organization) -> list[DataExport]:
    """The newest first. Needs the tenant scope."""
    rows = DataExport.objects.for_organization(organization).select_related("asked_by")
    return list(rows.order_by("-asked_at", "-pk")[:20])


def open_export(export: DataExport, *, now: datetime, actor: User | None) -> BinaryIO:
    """The file, to be sent in pieces, its hash checked before. Raises `document_files.WrongBytes`."""
    if export.status != Status.READY or not document_files.is_intact(export.path, sha256=export.sha256):
        raise document_files.WrongBytes(f"export {export.pk}: the file is not there")
    _note(export, "export.downloaded", now=now, actor=actor)
    return document_files.absolute(export.path).open("rb")


def _take(organization_id: int, export_id: UUID | str, *, now: datetime) -> DataExport | None:
    with tenant_scope([organization_id]):
        rows = DataExport.objects.select_for_update().for_organization(organization_id)
        export = rows.get(pk=export_id)
        if export.status not in DataExport.OPEN_STATUSES or not _is_free(export, now=now):
            return None
        export.status, export.seen_at, export.done = Status.RUNNING, now, 0
        export.attempts += 1
        export.save(update_fields=["status", "seen_at", "done", "attempts"])
    return export


def _is_free(export: DataExport, *, now: datetime) -> bool:
    if export.status == Status.WAITING and export.attempts == 0:
        return True
    return export.seen_at is None or export.seen_at <= now - SILENCE


def _write_down(export: DataExport, **fields: object) -> None:
    """What became of an export, as long as this attempt is the one that makes it. Raises Superseded."""
    with tenant_scope([export.organization_id]):
        mine = DataExport.objects.for_organization(export.organization_id).filter(
            pk=export.pk, attempts=export.attempts, status=Status.RUNNING
        )
        if not mine.update(**fields):
            raise Superseded(str(export.pk))


def _note(export: DataExport, action: str, *, now: datetime, actor: User | None) -> None:
    write_audit_entry(action=action, target=str(export.pk), organization=export.organization, actor=actor, now=now)
