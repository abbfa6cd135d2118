"""The books are audited: every invariant is asked, what it found and whose it is kept, and an operator is alarmed.

Nightly by beat, by hand with `manage.py audit`, and before a month is closed if the last audit is too old (`require_clean_audit`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connections

from accounts.alarms import clear_alarm, raise_alarm
from accounts.invariants import Invariant, Violations, all_invariants
from accounts.models import Organization
from billing.models import AuditRun
from ledger.retrying import is_transient

ALARM, BOOKS = "audit", "books"
"""Kind and subject of the alarm while an audit is not clean."""
OF_PAPERS = frozenset({"19", "23", "37", "48", "49", "50", "53", "59"})
"""Stored PDFs and evidence, overdue mails, archived months, tax invoices, money left with closed organizations: they are alarmed
about, but say nothing about what is to be charged."""
NAMED = 10
"""Organizations that the alarm names; the rest are counted, and the audit lists them all."""
LOCK_KEY = 4_107_260_914
"""Any number that nothing else locks."""

NEWEST = "SELECT id FROM billing_auditrun ORDER BY started_at DESC, id DESC LIMIT 1"

Told = Callable[[Invariant, Violations], None]


class BooksNotClean(Exception):
    """The last audit found what would make the organization's invoices wrong, so none is made until one is clean."""


class AuditRunning(Exception):
    """Somebody else has been auditing the books for longer than we wait."""


def run_audit(*, now: datetime, tell: Told = lambda _invariant, _found: None) -> AuditRun:
    """Ask every invariant as the `system` role, keep the outcome, raise or clear the alarm. Raises AuditRunning."""
    with _alone():
        return _run(now=now, tell=tell)


def last_audit() -> AuditRun | None:
    """The one that was started last."""
    return AuditRun.objects.using("system").order_by("-started_at", "-pk").first()


def is_fresh(run: AuditRun, *, now: datetime) -> bool:
    """Whether it was started less than AUDIT_MAX_AGE_HOURS ago."""
    return abs(now - run.started_at) < timedelta(hours=settings.AUDIT_MAX_AGE_HOURS)


def require_clean_audit(*, organization_id: int, now: datetime) -> None:
    """Of the last audit, run now if it is too old, nothing may concern what is charged to the organization (decision 0039).

    Raises BooksNotClean, AuditRunning. After a repair the next audit lets its months close again, at the latest the nightly one.
    """
    _refuse(fresh_audit(now=now), organization_id)


def fresh_audit(*, now: datetime) -> AuditRun:
    """The last audit, or one of now if that is too old. Raises AuditRunning."""
    run = last_audit()
    if run is None or not is_fresh(run, now=now):
        with _alone():
            run = last_audit()
            if run is None or not is_fresh(run, now=now):
                run = _run(now=now, tell=lambda _invariant, _found: None)
    return run


def concerned(run: AuditRun) -> frozenset[int] | None:
    """The organizations whose months stay open because of what the audit found; None if that is everybody."""
    found: set[int] = set()
    for number in _of_charges(run):
        if number not in run.organizations:
            return None
        found.update(run.organizations[number])
    return frozenset(found)


def _of_charges(run: AuditRun) -> list[str]:
    return [number for number in run.violations if number not in OF_PAPERS]


def _refuse(run: AuditRun, organization_id: int) -> None:
    wrong = [
        number for number in _of_charges(run) if organization_id in run.organizations.get(number, [organization_id])
    ]
    if wrong:
        raise BooksNotClean(
            f"The audit of {run.started_at:%Y-%m-%d %H:%M} UTC found {len(wrong)} violated invariant(s): {', '.join(wrong)}. "
            "No month that they concern is closed until they are repaired and `manage.py audit` is clean."
        )


class CleanBooks:
    """`require_clean_audit` for many closes in a row: it looks again once there is a newer audit, or the last got too old."""

    def __init__(self) -> None:
        self._last: AuditRun | None = None

    def require(self, *, organization_id: int, now: datetime) -> None:
        """Raises as `require_clean_audit`."""
        with connections["system"].cursor() as cursor:
            cursor.execute(NEWEST)
            newest = cursor.fetchone()
        if self._last is None or newest != (self._last.pk,) or not is_fresh(self._last, now=now):
            self._last = fresh_audit(now=now)
        _refuse(self._last, organization_id)


def _run(*, now: datetime, tell: Told) -> AuditRun:
    began, asked = time.monotonic(), 0
    violations: dict[str, list[str]] = {}
    organizations: dict[str, list[int]] = {}
    for invariant in all_invariants():
        found = invariant.find()
        tell(invariant, found)
        asked += 1
        if found:
            violations[invariant.number] = list(found)
            if (whose := invariant.whose()) is not None:
                organizations[invariant.number] = sorted(whose)
    run = AuditRun.objects.using("system").create(
        started_at=now,
        finished_at=now + timedelta(seconds=time.monotonic() - began),
        is_clean=not violations,
        invariants=asked,
        violations=violations,
        organizations=organizations,
    )
    if violations:
        summary = f"Violated invariants: {', '.join(violations)}. {who_waits(run)}"
        summary += "Look at the audit, repair, and run `manage.py audit`."
        raise_alarm(kind=ALARM, subject=BOOKS, summary=summary, now=now, detail={"audit": run.pk})
    else:
        clear_alarm(kind=ALARM, subject=BOOKS, now=now)
    return run


def who_waits(run: AuditRun) -> str:
    """Whose months stay open because of it, in a sentence and a space; nothing if nobody's do."""
    whose = concerned(run)
    if whose is None:
        return "No month is closed. "
    slugs = Organization.objects.using("system").filter(pk__in=whose).order_by("slug").values_list("slug", flat=True)
    more = f" +{len(whose) - NAMED}" if len(whose) > NAMED else ""
    return f"Only the months of {', '.join(slugs[:NAMED])}{more} stay open. " if whose else ""


@contextmanager
def _alone() -> Iterator[None]:
    """One audit at a time: who comes second waits, as long as any lock is waited for, and finds what the first one kept.

    A session's lock, not a transaction's: an audit of millions of rows must not keep a transaction open.
    """
    with connections["system"].cursor() as cursor:
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        except OperationalError as error:
            if not is_transient(error):
                raise
            raise AuditRunning("The books are being audited. Try again when that is over.") from None
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])
