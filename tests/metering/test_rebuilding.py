"""Rollups are made anew from events: what differs is put right and said, and what is recorded meanwhile counts once."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connections

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from metering import rebuilding
from metering.models import UsageRollup
from metering.recording import record
from tests import environment, stories
from tests.billing.test_guards import closing_connections, wait_until_somebody_waits_for_a_lock
from tests.stories import NOON, usage_report, use

DAY = timedelta(days=1)
TODAY = date(2026, 11, 22)


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        cast = stories.meet_the_cast(now=NOON)
        for company in (cast.acme, cast.globex):
            for days in (0, 1, 2):
                use(company.organization, at=NOON - days * DAY, now=NOON, api_key_id=company.key.pk)
        stories.correct_usage(cast.acme.organization, now=NOON)
        yield cast


def sums() -> list[dict[str, Any]]:
    rows = UsageRollup.objects.using("system").order_by("organization_id", "hour", "applied_rate_id")
    return [dict(row) for row in rows.values()]


def run(*words: str) -> str:
    output = StringIO()
    call_command("rebuild_rollups", *words, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE metering_usagerollup SET input_tokens = input_tokens + 1",
        "UPDATE metering_usagerollup SET event_digest = event_digest # 1",
        "UPDATE metering_usagerollup SET event_count = event_count + 1, amount = amount * 2",
        "DELETE FROM metering_usagerollup",
        "UPDATE metering_usagerollup SET hour = hour + interval '1 hour'",
        "UPDATE metering_usagerollup SET api_key_id = 999",
    ],
)
def test_rollups_come_back_as_they_were_whatever_happened_to_them(cast: stories.Cast, damage: str) -> None:
    before = sums()
    with connections["system"].cursor() as cursor:
        cursor.execute(damage)
    assert sums() != before
    assert "6 of 6 day(s) differed and were made anew" in run()
    assert sums() == before
    assert "6 day(s) compared: every rollup is what its events make it." in run()


def test_what_differed_is_told_and_audited(cast: stories.Cast) -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute("DELETE FROM metering_usagerollup WHERE organization_id = %s", [cast.globex.organization.pk])
    told = run("--from", "2026-11-21", "--to", "2026-11-21")
    assert "globex 2026-11-21: 1 rollup(s) differ, with 0 event(s) for 1, amount 0 for 0.099\n" in told
    assert "1 of 2 day(s) differed" in told
    [entry] = AuditEntry.objects.using("system").filter(action="rollups.rebuilt")
    assert (entry.organization_id, entry.target) == (cast.globex.organization.pk, "2026-11-21")
    assert entry.detail["events"] == [0, 1]


def test_a_dry_run_compares_only(cast: stories.Cast) -> None:
    assert "6 day(s) compared" in run("--dry-run")
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE metering_usagerollup SET cost = cost + 1 WHERE hour >= %s", [NOON - DAY / 2])
    damaged = sums()
    with pytest.raises(CommandError, match=r"2 of 6 day\(s\) differ; nothing was written"):
        run("--dry-run")
    assert sums() == damaged and not AuditEntry.objects.using("system").filter(action="rollups.rebuilt").exists()


def test_only_what_was_asked_for_is_touched(cast: stories.Cast) -> None:
    before = sums()
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE metering_usagerollup SET requests = 0")
    run("--organization", "acme", "--period", "2026-11")
    right = [row for row in sums() if row in before]
    assert {row["organization_id"] for row in right} == {cast.acme.organization.pk}
    assert "0 day(s) compared" in run("--period", "2026-05")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--period", "2026-13"), "is not a month"),
        (("--period", "2026-10", "--from", "2026-10-01"), "either --period"),
        (("--from", "2026-10-02", "--to", "2026-10-01"), "before"),
        (("--organization", "nobody"), "no organization 'nobody'"),
    ],
)
def test_what_cannot_be_asked_for(cast: stories.Cast, words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        run(*words)


def test_killed_halfway_it_leaves_whole_days(cast: stories.Cast) -> None:
    before = sums()
    with connections["system"].cursor() as cursor:
        cursor.execute("DELETE FROM metering_usagerollup")
    going = rebuilding.rebuild_all(organizations=[cast.acme.organization], first=None, last=None, now=NOON)
    next(going)
    del going
    assert [row for row in before if row in sums()] == sums() != []
    run()
    assert sums() == before


def test_an_event_that_is_being_recorded_counts_once(cast: stories.Cast) -> None:
    """Recorded but not committed when the day is rebuilt: neither forgotten nor counted twice."""
    acme = cast.acme.organization
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE metering_usagerollup SET amount = amount + 1 WHERE organization_id = %s", [acme.pk])
    with ThreadPoolExecutor(1) as threads:
        with tenant_scope([acme.pk]):
            record([usage_report(acme, at=NOON, api_key_id=cast.acme.key.pk)], now=NOON)
            other = threads.submit(
                closing_connections(lambda _house: rebuilding.rebuild(organization=acme, day=TODAY, now=NOON)), None
            )
            wait_until_somebody_waits_for_a_lock()
        found = other.result(timeout=60)
    assert found.events == 4, "two calls, a reversal and its replacement"
    assert "every rollup is what its events make it" in run("--from", "2026-11-22")


def test_everything_recorded_while_days_are_rebuilt_counts_once(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    url = environment.with_path(os.environ["DATABASE_URL"], connections["default"].settings_dict["NAME"])

    def keep_recording(_house: None) -> None:
        for number in range(40):
            record([usage_report(acme, at=NOON, key=f"{number}-{one}") for one in range(5)], now=NOON)

    with ThreadPoolExecutor(2) as threads, psycopg.connect(url, autocommit=True) as superuser:
        jobs = [threads.submit(closing_connections(keep_recording), None) for _ in range(2)]
        while not all(job.done() for job in jobs):
            superuser.execute("DELETE FROM metering_usagerollup WHERE organization_id = %s", [acme.pk])
            rebuilding.rebuild(organization=acme, day=TODAY, now=NOON)
        assert [job.result() for job in jobs] == [None, None]
    run()
    assert sum(row["event_count"] for row in sums() if row["organization_id"] == acme.pk) == 5 + 200
    call_command("audit", stdout=StringIO())
