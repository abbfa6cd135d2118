"""Audits are kept and alarmed about, and no month is closed on books that are not clean."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
import time_machine
from celery import current_app
from celery.schedules import crontab
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from accounts.invariants import LIMIT, all_invariants
from accounts.models import Alarm
from billing import auditing, cycle, invoicing, tasks
from billing.models import AuditRun, Invoice
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from tests import stories
from tests.billing.test_audit import break_books
from tests.billing.test_guards import closing_connections, wait_until_somebody_waits_for_a_lock
from tests.stories import NOON, SELLER, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
DRIFT = "UPDATE metering_usagerollup SET input_tokens = input_tokens + 1"


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        cast = stories.meet_the_cast(now=OCTOBER)
        set_seller(now=OCTOBER, **SELLER)
        for company in (cast.acme, cast.globex):
            use(company.organization, at=OCTOBER)
        yield cast


@pytest.fixture
def worker() -> Iterator[None]:
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def runs() -> list[AuditRun]:
    return list(AuditRun.objects.using("system").order_by("pk"))


def open_alarms() -> list[tuple[str, str]]:
    return list(Alarm.objects.using("system").filter(kind="audit", cleared_at=None).values_list("subject", "summary"))


def period_of(company: stories.Company) -> BillingPeriod:
    return BillingPeriod.objects.using("system").get(organization=company.organization)


def close(company: stories.Company, *, now: datetime = NOON) -> Invoice | None:
    return cycle.close(organization_id=company.organization.pk, period_id=period_of(company).pk, now=now)


def repair() -> None:
    call_command("rebuild_rollups", stdout=StringIO())


def test_a_run_is_kept_and_alarms_until_one_is_clean(cast: stories.Cast) -> None:
    call_command("audit", stdout=StringIO())
    break_books(DRIFT)
    with pytest.raises(CommandError, match="violated"):
        call_command("audit", stdout=StringIO())
    clean, unclean = runs()
    assert (clean.is_clean, clean.violations, clean.invariants) == (True, {}, len(list(all_invariants())))
    assert (unclean.is_clean, list(unclean.violations)) == (False, ["12"])
    assert len(unclean.violations["12"]) == 2 and unclean.started_at == NOON <= unclean.finished_at
    [(subject, summary)] = open_alarms()
    assert subject == "books" and "Violated invariants: 12. Only the months of acme, globex stay open." in summary
    repair()
    tasks.audit()
    assert runs()[-1].is_clean and open_alarms() == []


def test_what_an_audit_found_stays(cast: stories.Cast) -> None:
    auditing.run_audit(now=NOON)
    with pytest.raises(DatabaseError, match="history"):
        AuditRun.objects.using("system").update(is_clean=True)
    with pytest.raises(DatabaseError, match="permission denied"):
        AuditRun.objects.using("default").exists()


def test_beat_audits_every_night() -> None:
    [entry] = [one for one in settings.CELERY_BEAT_SCHEDULE.values() if one["task"] == "billing.tasks.audit"]
    assert entry["schedule"] == crontab(hour=18, minute=10)


def test_a_month_is_closed_after_an_audit_of_its_own_or_a_fresh_one(cast: stories.Cast) -> None:
    assert close(cast.acme) is not None
    assert close(cast.globex) is not None
    assert len(runs()) == 1, "the first found none, the second one that was fresh"


@pytest.mark.parametrize(("age", "audits"), [(29, 1), (31, 2), (-31, 2)])
def test_an_audit_that_is_too_old_is_repeated(cast: stories.Cast, age: int, audits: int) -> None:
    auditing.run_audit(now=NOON - age * HOUR)
    assert close(cast.acme) is not None
    assert len(runs()) == audits


def test_nothing_is_closed_on_unclean_books_and_everything_after_their_repair(cast: stories.Cast, worker: None) -> None:
    break_books("UPDATE ledger_balance SET unbilled = unbilled + 1")
    with pytest.raises(auditing.BooksNotClean, match=r"2 violated invariant.*3, 30.*manage.py audit"):
        close(cast.acme)
    tasks.close_due_periods()
    assert len(runs()) == 1, "what was found stays true until somebody audits again"
    with pytest.raises(CommandError, match=r"Nothing was closed\. The audit of"):
        call_command("close_period", period="2026-10", stdout=StringIO())
    assert not Invoice.objects.using("system").exists()

    break_books("UPDATE ledger_balance SET unbilled = unbilled - 1")
    tasks.audit()
    tasks.close_due_periods()
    assert Invoice.objects.using("system").count() == 2


def test_one_organizations_damage_keeps_only_its_own_month_open(cast: stories.Cast, worker: None) -> None:
    break_books(f"{DRIFT} WHERE organization_id = {cast.acme.organization.pk}")
    with pytest.raises(CommandError, match=r"1 invariant.* violated\. Only the months of acme stay open\."):
        call_command("audit", stdout=StringIO())
    with pytest.raises(auditing.BooksNotClean, match=r"1 violated invariant\(s\): 12\."):
        close(cast.acme)
    tasks.close_due_periods()
    assert [one.organization_id for one in Invoice.objects.using("system")] == [cast.globex.organization.pk]
    [(subject, summary)] = open_alarms()
    assert subject == "books" and summary == (
        "Violated invariants: 12. Only the months of acme stay open. Look at the audit, repair, and run `manage.py audit`."
    )
    repair()
    tasks.audit()
    tasks.close_due_periods()
    assert Invoice.objects.using("system").count() == 2 and open_alarms() == []


def test_by_hand_everybody_else_is_closed_and_who_is_left_open_is_named(cast: stories.Cast, worker: None) -> None:
    break_books(f"{DRIFT} WHERE organization_id = {cast.acme.organization.pk}")
    told = StringIO()
    with pytest.raises(CommandError, match=r"^Left open: acme\. The audit of .* found 1 violated invariant"):
        call_command("close_period", period="2026-10", stdout=told)
    assert "globex" in told.getvalue() and "acme" not in told.getvalue()
    assert period_of(cast.acme).status == "open" and period_of(cast.globex).status == "closed"


@pytest.mark.parametrize(
    ("number", "damage"),
    [
        ("17", "UPDATE billing_invoiceseries SET next_number = next_number + 1"),
        (
            "31",
            "UPDATE metering_usageevent SET period_id = 0 WHERE organization_id = (SELECT min(id) FROM accounts_organization)",
        ),
    ],
)
def test_what_concerns_nobody_in_particular_keeps_every_month_open(
    cast: stories.Cast, number: str, damage: str
) -> None:
    assert close(cast.acme) is not None
    break_books(damage)
    assert number in auditing.run_audit(now=NOON).violations
    [(_subject, summary)] = open_alarms()
    assert "No month is closed." in summary
    with pytest.raises(auditing.BooksNotClean, match=rf"found .*: .*\b{number}\b"):
        close(cast.globex)


def test_the_damage_of_more_than_can_be_listed_is_whose_it_is(cast: stories.Cast) -> None:
    """Twenty lines are shown, in no order: whom they concern is asked of all."""
    for number in range(LIMIT + 2):
        use(cast.acme.organization, at=OCTOBER + number * HOUR)
    break_books("UPDATE metering_usageevent SET amount = amount + 1")
    run = auditing.run_audit(now=NOON)
    assert len(run.violations["9a"]) == LIMIT
    assert set(run.organizations["9a"]) == {cast.acme.organization.pk, cast.globex.organization.pk}


def test_an_older_audit_that_names_nobody_concerns_everybody(cast: stories.Cast) -> None:
    AuditRun.objects.using("system").create(
        started_at=NOON, finished_at=NOON, is_clean=False, invariants=1, violations={"12": ["organization_id 1"]}
    )
    with pytest.raises(auditing.BooksNotClean):
        close(cast.globex)


def test_papers_that_are_wrong_keep_no_month_open(cast: stories.Cast) -> None:
    assert close(cast.acme) is not None
    break_books("UPDATE billing_outboxmail SET next_attempt_at = '1900-01-01'")
    assert list(auditing.run_audit(now=NOON).violations) == ["23"]
    assert close(cast.globex) is not None


@pytest.mark.parametrize(
    "damage",
    [
        DRIFT,
        "UPDATE metering_usagerollup SET event_digest = event_digest # 1",
        "UPDATE metering_usageevent SET amount = amount + 1",
        "DELETE FROM metering_usagerollup",
        "DELETE FROM metering_usageevent",
    ],
)
def test_a_period_whose_usage_drifted_since_the_audit_stays_open(cast: stories.Cast, worker: None, damage: str) -> None:
    auditing.run_audit(now=NOON)
    break_books(f"{damage} WHERE organization_id = {cast.acme.organization.pk}")
    with pytest.raises(invoicing.UsageDisagrees, match=r"acme: 1 sum.*rebuild_rollups --organization acme"):
        close(cast.acme)
    assert period_of(cast.acme).status == "open" and not Invoice.objects.using("system").exists()
    [(subject, summary)] = open_alarms()
    assert subject == "acme 2026-10" and summary.startswith("acme: 1 sum")
    with pytest.raises(CommandError, match=r"Left open: acme\. acme: 1 sum"):
        call_command("close_period", period="2026-10", stdout=StringIO())
    [invoice] = Invoice.objects.using("system").all()
    assert invoice.organization_id == cast.globex.organization.pk, "the neighbour's is closed"


def test_the_sweep_closes_what_was_repaired(cast: stories.Cast, worker: None) -> None:
    auditing.run_audit(now=NOON)
    break_books(DRIFT)
    tasks.close_due_periods()
    assert not Invoice.objects.using("system").exists() and len(open_alarms()) == 2
    repair()
    tasks.close_due_periods()
    assert Invoice.objects.using("system").count() == 2 and open_alarms() == []


def test_late_usage_is_proven_in_the_period_that_bills_it(cast: stories.Cast) -> None:
    close(cast.acme)
    use(cast.acme.organization, at=OCTOBER + HOUR, now=NOON)
    [november] = BillingPeriod.objects.using("system").filter(organization=cast.acme.organization, status="open")
    ids = {"organization_id": cast.acme.organization.pk, "period_id": november.pk}
    invoicing.prove_usage(**ids)
    break_books(f"DELETE FROM metering_usagerollup WHERE period_id = {november.pk}")
    with pytest.raises(invoicing.UsageDisagrees):
        invoicing.prove_usage(**ids)


def test_two_who_find_no_fresh_audit_run_one(cast: stories.Cast) -> None:
    with ThreadPoolExecutor(1) as threads:
        with auditing._alone():
            other = threads.submit(closing_connections(lambda: auditing.fresh_audit(now=NOON)))
            wait_until_somebody_waits_for_a_lock()
            auditing._run(now=NOON, tell=lambda _invariant, _found: None)
        assert other.result(timeout=60) == runs()[0]
    assert len(runs()) == 1


def test_who_waits_too_long_for_an_audit_is_told(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient() -> None:
        with connections["system"].cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        auditing.fresh_audit(now=NOON)

    with ThreadPoolExecutor(1) as threads, auditing._alone(), pytest.raises(auditing.AuditRunning):
        threads.submit(closing_connections(impatient)).result(timeout=60)
