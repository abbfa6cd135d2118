"""Invariant 37: the file of every archived month is there, and its bytes are those that were proven before its partition went."""

from accounts.invariants import LIMIT, Violations
from metering.archive_files import ArchiveDamaged, require_intact
from metering.models import ArchivedMonth, UsageArchive


def archives_that_differ() -> Violations:
    """One line a file; reads every one of them whole."""
    found: list[str] = []
    detached = ArchivedMonth.objects.using("system").values("month")
    archives = UsageArchive.objects.using("system").filter(month__in=detached).order_by("month", "organization_id")
    for archive in archives.iterator():
        try:
            require_intact(archive)
        except ArchiveDamaged as error:
            found.append(f"organization_id {archive.organization_id}, {error}")
        if len(found) >= LIMIT:
            break
    return found
