"""The demo, grown through the real functions: catalog and terms, companies, three months of usage, invoices, the visitor's secrets.

When it began is kept in the audit log, so that an interrupted seeding draws the same calls when it goes on, and a finished
one is recognized. Later starts only see to what time wears out: exchange rates of new months, and lost secrets.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import AuditEntry
from catalog.seeding import seed_catalog
from demo.access import Facts, write_access
from demo.cast import ZONE
from demo.closing import close_first_month
from demo.history import first_day, record_history
from demo.opening import open_companies, set_terms
from demo.progress import Progress

BEGUN, FINISHED = "demo.begun", "demo.seeded"
OPENED_BEFORE = timedelta(days=12)
"""The companies had an account for a while before their first call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`calls` is None where the data stood already."""

    calls: int | None
    access: Facts


def seed_demo(*, now: datetime, write: Path, progress: Progress | None = None, scale: float = 1.0) -> Outcome:
    """Make what is missing of the demo, and write the secrets for visitors and scripts to `write`.

    `scale` multiplies the number of calls, for tests.
    """
    progress = progress or Progress()
    anchor = _anchor(now)
    start = first_day(anchor)
    with progress.step("Demo: catalog"):
        seeded = seed_catalog(now=now)
        set_terms(first_month=start, now=now)
        progress.note(f"{seeded.models:,} models, {seeded.prices:,} prices" if seeded.prices else "kept")
    calls = None
    if not AuditEntry.objects.using("system").filter(action=FINISHED).exists():
        with progress.step("Demo: companies"):
            open_companies(now=datetime.combine(start, time(10), tzinfo=ZONE) - OPENED_BEFORE)
        with progress.step("Demo: usage"):
            calls = record_history(anchor=anchor, scale=scale, progress=progress)
        with progress.step("Demo: invoices"):
            progress.note(f"{close_first_month(first_day=start, now=now)} for {start:%Y-%m}")
        write_audit_entry(action=FINISHED, now=now, detail={"calls": calls}, using="system")
    return Outcome(calls=calls, access=write_access(path=write, installation=anchor.isoformat(), now=now))


def _anchor(now: datetime) -> datetime:
    """When this demo was first seeded: the end of its history, and what tells it from another."""
    with transaction.atomic(using="system"):
        begun = AuditEntry.objects.using("system").filter(action=BEGUN).order_by("pk").first()
        if begun is None:
            write_audit_entry(action=BEGUN, now=now, using="system")
            return now
        return begun.at
