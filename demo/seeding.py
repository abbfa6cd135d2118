"""The demo, grown through the real functions: catalog and terms, companies, three months of usage, invoices, the visitor's secrets.

When it began is kept in the audit log, so that an interrupted seeding draws the same calls when it goes on, and a finished
one is recognized. Later starts only see to what time wears out: exchange rates of new months, and lost secrets. Data that an older
edition of the demo made is left as it is, and said to be old: it lacks what has come since.
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
EDITION = 3
"""Counts up whenever the demo comes to contain something that a start does not add to data that stands already."""
OLD_EDITION = (
    "  The demo's data was made by another edition and may lack what is new. Nothing was changed.\n"
    "  To begin anew, without what you have added: make reset\n"
)
OPENED_BEFORE = timedelta(days=12)
"""The companies had an account for a while before their first call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`calls` is None where the data stood already; `outdated` if another edition of the demo made it."""

    calls: int | None
    outdated: bool
    access: Facts


def seed_demo(*, now: datetime, write: Path, progress: Progress | None = None, scale: float = 1.0) -> Outcome:
    """Make what is missing of the demo, and write the secrets for visitors and scripts to `write`.

    `scale` multiplies the number of calls, for tests.
    """
    progress = progress or Progress()
    anchor, edition = _anchor(now)
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
    if edition != EDITION:
        progress.say(OLD_EDITION)
    return Outcome(
        calls=calls,
        outdated=edition != EDITION,
        access=write_access(path=write, installation=anchor.isoformat(), now=now),
    )


def _anchor(now: datetime) -> tuple[datetime, object]:
    """When this demo was first seeded: the end of its history, and what tells it from another. And by which edition."""
    with transaction.atomic(using="system"):
        begun = AuditEntry.objects.using("system").filter(action=BEGUN).order_by("pk").first()
        if begun is None:
            write_audit_entry(action=BEGUN, now=now, detail={"edition": EDITION}, using="system")
            return now, EDITION
        return begun.at, begun.detail.get("edition")
