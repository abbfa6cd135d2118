"""Old months leave the database for files, and nobody who reads can tell: not by a byte."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from django.test import Client
from pyarrow import parquet

from accounts.models import Alarm
from accounts.tenancy import tenant_scope
from billing.corrections.credit_proposals import propose_credit_note
from billing.replay.simulation import simulate_period
from catalog.hypothetical_prices import Hypothesis
from catalog.markups import set_markup
from config.launch.places import CHECKOUT
from ledger import holds, partitions
from ledger.event_ids import ids_of_month, new_id
from ledger.models import BillingPeriod
from ledger.partitions import MonthArchived, ensure_partitions
from metering import archive_columns, archive_files, archive_proof, archiving, stored_events, tasks
from metering.correcting_usage import correct_usage
from metering.correction_decisions import Asked, AskedBy
from metering.models import ArchivedMonth, ArchivedSum, UsageArchive, UsageEvent, UsageRollup
from metering.pushed_corrections import Action
from metering.recording import record
from metering.reports import Status
from metering.reversing import Correction, NotReversible, reverse
from metering.stored_events import Look, look
from tests import stories
from tests.billing.test_audit import break_books
from tests.billing.test_guards import closing_connections, wait_until_somebody_waits_for_a_lock
from tests.metering.archived import AUGUST, DAY, HOUR, archive, everything_seen, grow_history, partitions_left
from tests.stories import NOON, usage_report

AUGUST_ONLY = ("--older-than-months", "2")
MONTH = date(2026, 8, 1)


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON, tick=False):
        yield grow_history()


def files() -> list[str]:
    return sorted(str(path.relative_to(archive_files.folder())) for path in archive_files.folder().glob("*/*"))


def audit() -> str:
    output = StringIO()
    call_command("audit", stdout=output)
    return output.getvalue()


def events_of(company: stories.Company, **bounds: Any) -> list[UsageEvent]:
    with tenant_scope([company.organization.pk]):
        return look(Look(organization_id=company.organization.pk, **bounds), limit=100)


def values(events: list[UsageEvent]) -> list[dict[str, Any]]:
    return [{name: getattr(event, name) for name in stored_events.EVENT_FIELDS} for event in events]


def test_everything_reads_the_same_before_and_after(cast: stories.Cast) -> None:
    before = {company.organization.slug: dict(everything_seen(company)) for company in (cast.acme, cast.globex)}
    stored = {company.organization.slug: values(events_of(company)) for company in (cast.acme, cast.globex)}
    assert len(before["acme"]) > 50
    told = archive()
    assert "2026-08: 16 event(s) became 2 file(s)" in told and "2 month(s) archived" in told
    assert partitions_left() == ["metering_usageevent_y2026m10", "metering_usageevent_y2026m11"]
    for company in (cast.acme, cast.globex):
        for what, answer in everything_seen(company):
            assert answer == before[company.organization.slug][what], what
        assert values(events_of(company)) == stored[company.organization.slug]
    assert "All invariants hold" in audit()
    assert "0 month(s) archived" in archive(), "there is nothing left to do"


def test_what_is_worked_out_from_single_calls_stays_the_same(cast: stories.Cast) -> None:
    """A simulation that must read calls one by one, the credit that a corrected price calls for, a sum by an undeclared tag."""
    acme = cast.acme.organization
    period = BillingPeriod.objects.using("system").get(
        organization=acme, starts_at=datetime(2026, 8, 1, tzinfo=stories.SEOUL)
    )
    set_markup(
        markup=Decimal("0.05"),
        effective_from=AUGUST + 2 * DAY + HOUR / 2,
        now=NOON,
        organization=acme,
        reason="Agreed.",
    )

    def worked_out() -> tuple[object, ...]:
        replayed = simulate_period(
            organization_id=acme.pk, period_id=period.pk, hypothesis=Hypothesis(markups={(None, None, ""): Decimal(1)})
        )
        with time_machine.travel(NOON + HOUR, tick=False):
            outcome, _proposal = propose_credit_note(
                organization=acme, period_id=period.pk, reason="Agreed.", actor=None, now=NOON + HOUR
            )
        return replayed.after, replayed.events_read, outcome.looked_at, outcome.before, outcome.after

    before = worked_out()
    archive()
    assert worked_out() == before


def test_a_dry_run_writes_nothing(cast: stories.Cast) -> None:
    told = archive("--dry-run", "--older-than-months", "1")
    assert "2026-08: 16 event(s) would become 2 file(s)" in told and "2 month(s) would be archived" in told
    assert len(partitions_left()) == 4 and files() == [] and not UsageArchive.objects.using("system").exists()


def test_months_that_may_still_change_stay(cast: stories.Cast, settings: LazySettings) -> None:
    acme = cast.acme.organization
    with pytest.raises(CommandError, match="usage may be reported or corrected for 60 days"):
        settings.USAGE_CORRECTION_DAYS = 60
        archive("--older-than-months", "1")
    stories.use(acme, at=AUGUST, now=NOON, model="acme-labs/unknown")
    assert "2026-08 stays in the database: usage of it waits for a price (acme)" in archive(*AUGUST_ONLY)
    break_books("DELETE FROM metering_unratedusage")
    hold = holds.HoldRequest(
        organization_id=acme.pk,
        id=new_id(AUGUST),
        created_at=AUGUST,
        expires_at=AUGUST + HOUR,
        api_key_id=cast.acme.key.pk,
        model_id=1,
        amount=Decimal(1),
        request_id="req",
        upstream="test",
    )
    ensure_partitions("ledger_hold", [MONTH])
    assert holds.reserve([hold]) == [None]
    assert "2026-08 stays in the database: a call of it is not resolved (acme)" in archive(*AUGUST_ONLY)
    break_books("DELETE FROM ledger_hold; UPDATE ledger_billingperiod SET status = 'closing' WHERE id = 1")
    assert "2026-08 stays in the database: a period that bills its usage is not closed (acme)" in archive(*AUGUST_ONLY)
    assert len(partitions_left()) == 4 and files() == []


def test_nothing_can_be_added_to_an_archived_month(cast: stories.Cast) -> None:
    acme = cast.acme.organization
    archive(*AUGUST_ONLY)
    before = values(events_of(cast.acme))
    late, fine = usage_report(acme, at=AUGUST), usage_report(acme, at=NOON + HOUR / 60)
    refused, accepted = record([late, fine], now=NOON)
    assert (refused.status, refused.reason) == (Status.REJECTED, "the usage of 2026-08 is archived")
    assert accepted.status is Status.ACCEPTED
    with pytest.raises(MonthArchived):
        ensure_partitions("metering_usageevent", [MONTH])
    assert "metering_usageevent_y2026m08" not in partitions_left()
    assert values(events_of(cast.acme))[:-1] == before
    assert "All invariants hold" in audit()


def test_an_archived_call_is_not_corrected_any_more(cast: stories.Cast, settings: LazySettings) -> None:
    acme = cast.acme.organization
    archive(*AUGUST_ONLY)
    settings.USAGE_CORRECTION_DAYS = 500
    [event, *_others] = events_of(cast.acme)
    asked = Asked(organization_id=acme.pk, call=event.id, action=Action.VOID, reason="Wrong.")
    [outcome] = correct_usage([asked], by=AskedBy(source_id=event.source_id, api_key_id=cast.acme.key.pk), now=NOON)
    assert (outcome.status, outcome.reason) == (Status.REJECTED, "the usage of its month is archived")
    with pytest.raises(NotReversible, match="archived"), tenant_scope([acme.pk]):
        reverse([Correction(event=event)], reason="Wrong.", actor=None, now=NOON)


def test_a_neighbour_finds_no_archive(cast: stories.Cast) -> None:
    archive()
    acme = cast.acme.organization
    [theirs, *_others] = events_of(cast.acme)
    with tenant_scope([cast.globex.organization.pk]):
        assert not UsageArchive.objects.filter(organization_id=acme.pk).exists()
        assert not ArchivedSum.objects.filter(organization_id=acme.pk).exists()
        assert look(Look(organization_id=acme.pk), limit=10) == []
        assert {event.organization_id for event in look(Look(organization_id=None), limit=100)} == {
            cast.globex.organization.pk
        }
    client = Client(headers=cast.globex.headers)
    assert client.get(f"/api/v1/usage/events/{theirs.id}").status_code == 404
    assert client.get("/api/v1/usage/events", {"from": "2026-08-01", "q": str(theirs.id)}).json()["data"] == []
    for month in ("2026-08", "2026-09"):
        for company in (cast.acme, cast.globex):
            path = archive_files.folder() / f"{company.organization.pk}/{month}.parquet"
            assert set(parquet.read_table(path)["organization_id"].to_pylist()) == {company.organization.pk}


def test_the_console_reads_archives_of_everybody_in_order(cast: stories.Cast) -> None:
    def day() -> list[Any]:
        (first, _), (end, _) = ids_of_month(MONTH), ids_of_month(date(2026, 11, 1))
        asked = Look(organization_id=None, first=first, end=end)
        return [event.id for event in look(asked, limit=15, newest_first=True, using="system")]

    before = day()
    archive()
    assert day() == before == sorted(before, reverse=True)


@pytest.mark.parametrize("damage", ["lost", "cut", "altered", "another's"])
def test_a_file_that_is_not_what_was_written_is_found_and_never_read(cast: stories.Cast, damage: str) -> None:
    archive(*AUGUST_ONLY)
    [event, *_others] = events_of(cast.acme)
    path, other = (
        archive_files.folder() / f"{company.organization.pk}/2026-08.parquet" for company in (cast.acme, cast.globex)
    )
    good = path.read_bytes()
    if damage == "lost":
        path.unlink()
    elif damage == "another's":
        path.write_bytes(other.read_bytes())
    else:
        at = len(good) // 4
        path.write_bytes(good[:-9] if damage == "cut" else good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(CommandError, match="violated"):
        audit()
    client = Client(headers=cast.acme.headers)
    answer = client.get(f"/api/v1/usage/events/{event.id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "archive_unavailable")
    export = b"".join(client.get("/api/v1/usage/export", {"from": "2026-08-01"}))  # type: ignore[arg-type]
    assert b"THE EXPORT BROKE OFF" in export
    assert client.get("/api/v1/usage/events", {"from": "2026-10-01"}).status_code == 200
    path.write_bytes(good)
    assert "All invariants hold" in audit()


def test_rollups_of_archived_days_are_proven_and_come_back_from_the_files(cast: stories.Cast) -> None:
    def kept() -> list[dict[str, Any]]:
        rows = UsageRollup.objects.using("system").order_by("organization_id", "hour", "period_id", "applied_rate_id")
        return [dict(row) for row in rows.order_by("amount", "event_digest").values()]

    def rebuild(*words: str) -> str:
        output = StringIO()
        call_command("rebuild_rollups", *words, stdout=output)
        return output.getvalue()

    before = kept()
    archive(*AUGUST_ONLY)  # the first of September begins in it in Seoul
    assert "every rollup is what its events make it" in rebuild("--dry-run")
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE metering_usagerollup SET amount = amount * 2 WHERE hour < '2026-08-05'")
        cursor.execute("DELETE FROM metering_usagerollup WHERE hour >= '2026-08-05' AND hour < '2026-09-02'")
    with pytest.raises(CommandError, match="violated"):
        audit()
    rebuild()
    assert kept() == before
    assert "All invariants hold" in audit()


def test_what_is_noted_of_an_archive_is_history(cast: stories.Cast) -> None:
    archive(*AUGUST_ONLY)
    for model in (UsageArchive, ArchivedSum):
        with pytest.raises(DatabaseError, match="is all there is"):
            model.objects.using("system").all().delete()
        with pytest.raises(DatabaseError, match="permission denied"):
            model.objects.using("system").update(month=date(2026, 7, 1))
    with pytest.raises(DatabaseError, match="permission denied"):
        ArchivedMonth.objects.using("system").all().delete()


def test_what_changed_since_the_export_keeps_the_month(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody writes to the month, against all bounds, when its files are proven: it stays, and the next run is right."""
    noted = archive_proof._note

    def add_meanwhile(found: UsageArchive) -> None:
        noted(found)
        monkeypatch.setattr(archive_proof, "_note", noted)
        stories.use(cast.acme.organization, at=AUGUST, now=NOON)

    monkeypatch.setattr(archive_proof, "_note", add_meanwhile)
    with pytest.raises(CommandError, match="the events of 2026-08 are not those that were archived"):
        archive(*AUGUST_ONLY)
    assert len(partitions_left()) == 4 and not ArchivedMonth.objects.using("system").exists()
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE ledger_billingperiod SET status = 'closed', closed_at = now() WHERE status = 'open'")
    assert "2026-08: 17 event(s) became 2 file(s)" in archive(*AUGUST_ONLY)


def test_rollups_that_are_wrong_keep_the_month(cast: stories.Cast) -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE metering_usagerollup SET cost = cost + 1 WHERE hour < '2026-08-20'")
    with pytest.raises(CommandError, match="the rollups of acme on 2026-08-03 are not its events"):
        archive(*AUGUST_ONLY)
    assert len(partitions_left()) == 4


@pytest.mark.parametrize("page", [{}, {"where": stored_events.Q(key="call-far")}])
def test_one_event_costs_one_row_group_of_its_file(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch, page: dict[str, Any]
) -> None:
    monkeypatch.setattr(archive_proof, "ROWS_A_GROUP", 2)
    archive(*AUGUST_ONLY)
    acme = cast.acme.organization
    path = archive_files.folder() / f"{acme.pk}/2026-08.parquet"
    assert parquet.ParquetFile(path).metadata.num_row_groups == 6
    read: list[int] = []
    real = parquet.ParquetFile.read_row_group

    def counted(self: Any, number: int, **options: Any) -> Any:
        read.append(number)
        return real(self, number, **options)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", counted)
    [event, *_others] = events_of(cast.acme)
    read.clear()
    with tenant_scope([acme.pk]):
        assert len(stored_events.by_ids([event.id], organization_id=acme.pk)) == 1
    assert set(read) == {0}


def test_detaching_waits_for_who_looks_and_is_seen_whole_by_who_comes_after(cast: stories.Cast) -> None:
    acme, before = cast.acme.organization, [event.id for event in events_of(cast.acme)]
    with ThreadPoolExecutor(1) as threads:
        with tenant_scope([acme.pk]):
            assert [event.id for event in look(Look(organization_id=acme.pk), limit=100)] == before
            other = threads.submit(closing_connections(lambda _house: archive(*AUGUST_ONLY)), None)
            wait_until_somebody_waits_for_a_lock()
            assert [event.id for event in look(Look(organization_id=acme.pk), limit=100)] == before
        other.result(timeout=60)
    assert [event.id for event in events_of(cast.acme)] == before
    assert "metering_usageevent_y2026m08" not in partitions_left()


def test_a_month_is_not_detached_between_looking_for_archives_and_for_rows(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, before = cast.acme.organization, [event.id for event in events_of(cast.acme)]
    real, others = stored_events._archives, []

    def detach_meanwhile(*arguments: Any, **named: Any) -> Any:
        found = real(*arguments, **named)
        if not others and named["using"] == "default":
            others.append(threads.submit(closing_connections(lambda _house: archive(*AUGUST_ONLY)), None))
            wait_until_somebody_waits_for_a_lock()
        return found

    monkeypatch.setattr(stored_events, "_archives", detach_meanwhile)
    with ThreadPoolExecutor(1) as threads:
        with tenant_scope([acme.pk]):
            assert [event.id for event in look(Look(organization_id=acme.pk), limit=100)] == before
        assert "1 month(s) archived" in others[0].result(timeout=60)


def test_rows_that_the_file_does_not_hold_exactly_are_kept(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        real = archive_columns.table_of
        patched.setattr(archive_columns, "table_of", lambda rows: real([_altered(row) for row in rows]))
        with pytest.raises(CommandError, match="does not hold the events of acme"):
            archive(*AUGUST_ONLY)
    with monkeypatch.context() as patched:
        write = archive_proof._write

        def write_after_another(*arguments: Any, **named: Any) -> UsageArchive:
            stories.use(cast.acme.organization, at=AUGUST, now=NOON)
            return write(*arguments, **named)

        patched.setattr(archive_proof, "_write", write_after_another)
        with pytest.raises(CommandError, match="changed while they were exported"):
            archive(*AUGUST_ONLY)
    assert len(partitions_left()) == 4 and not UsageArchive.objects.using("system").exists()


def _altered(row: tuple[Any, ...]) -> tuple[Any, ...]:
    place = archive_columns.NAMES.index("request_id")
    return (*row[:place], "another", *row[place + 1 :])


def test_a_file_that_is_damaged_between_the_steps_is_made_again_or_keeps_the_rows(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def stop(*_arguments: Any, **_named: Any) -> None:
        raise Killed

    path = archive_files.folder() / f"{cast.acme.organization.pk}/2026-08.parquet"
    for step in ("_detach", "_drop"):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(archiving, step, stop)
            archive(*AUGUST_ONLY)
        good = path.read_bytes()
        path.write_bytes(good[:-1])
    with pytest.raises(CommandError, match=r"2026-08\.parquet: the file is not what was written"):
        archive(*AUGUST_ONLY)
    assert "metering_usageevent_y2026m08" in partitions_left(), "the rows are still there to be rescued"
    path.write_bytes(good)
    archive(*AUGUST_ONLY)
    assert "metering_usageevent_y2026m08" not in partitions_left()


def test_who_reads_for_too_long_keeps_the_month_until_the_next_run(
    cast: stories.Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "SHORT_WAIT", "SET LOCAL lock_timeout = '10ms'")
    with ThreadPoolExecutor(1) as threads, tenant_scope([cast.acme.organization.pk]):
        look(Look(organization_id=cast.acme.organization.pk), limit=1)
        other = threads.submit(closing_connections(lambda _house: archive(*AUGUST_ONLY)), None)
        with pytest.raises(CommandError, match="somebody still reads usage, so 2026-08 cannot be taken out"):
            other.result(timeout=60)
    assert "2026-08: 16 event(s) became 2 file(s)" in archive(*AUGUST_ONLY)


KILLED = """
import os, signal, sys
import django, time_machine
from datetime import datetime, UTC
django.setup()
from django.core.management import call_command
from metering import archive_proof, archiving
from tests.stories import NOON
module, name, number = sys.argv[1:]
module = dict(archive_proof=archive_proof, archiving=archiving)[module]
real, left = getattr(module, name), [int(number)]
def deadly(*arguments, **named):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)
setattr(module, name, deadly)
with time_machine.travel(NOON, tick=True):
    call_command("archive_usage", "--older-than-months", "1")
"""


def test_killed_at_any_step_it_goes_on_where_it_was(cast: stories.Cast, process_environment: dict[str, str]) -> None:
    """Half a file, a file without its row, a row, a detached month: each is there once, and the next run makes the best of it."""
    before = {company.organization.slug: values(events_of(company)) for company in (cast.acme, cast.globex)}
    deaths = (
        ("archive_proof", "_pages", "2"),  # while acme's file is read back
        ("archive_proof", "_note", "1"),  # acme's file is proven, not noted
        ("archive_proof", "_note", "2"),  # the same of globex', acme's is noted
        ("archiving", "_detach", "1"),  # both are noted
        ("archiving", "_drop", "1"),  # August is detached
        ("archive_proof", "_note", "1"),  # September begins
        ("archiving", "_drop", "1"),
    )
    seen = []
    for death in deaths:
        command = [sys.executable, "-c", KILLED, *death]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=process_environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        partitions.forget()
        for company in (cast.acme, cast.globex):
            assert values(events_of(company)) == before[company.organization.slug], death
        assert "All invariants hold" in audit(), death
        seen.append((UsageArchive.objects.using("system").count(), ArchivedMonth.objects.using("system").count()))
    assert seen == [(0, 0), (0, 0), (1, 0), (2, 0), (2, 1), (2, 1), (4, 2)]
    assert "0 month(s) archived" in archive()
    assert partitions_left() == ["metering_usageevent_y2026m10", "metering_usageevent_y2026m11"]
    assert not ArchivedMonth.objects.using("system").filter(dropped_at=None).exists()
    assert len(files()) == 4


def test_beat_archives_only_where_an_age_is_set(cast: stories.Cast, settings: LazySettings) -> None:
    tasks.archive_old_months()
    assert len(partitions_left()) == 4
    settings.USAGE_ARCHIVE_MONTHS = 2
    with connections["system"].cursor() as cursor:
        cursor.execute("UPDATE metering_usagerollup SET cost = cost + 1")
    tasks.archive_old_months()
    [alarm] = Alarm.objects.using("system").filter(kind="archive", cleared_at=None)
    assert "run rebuild_rollups" in alarm.summary
    call_command("rebuild_rollups", stdout=StringIO())
    tasks.archive_old_months()
    assert not Alarm.objects.using("system").filter(kind="archive", cleared_at=None).exists()
    assert len(partitions_left()) == 3


def test_one_process_archives_at_a_time(cast: stories.Cast) -> None:
    with archiving._alone(), ThreadPoolExecutor(1) as threads:
        other = threads.submit(closing_connections(lambda _house: archive()), None)
        with pytest.raises(CommandError, match="by another process"):
            other.result(timeout=60)
    assert "2 month(s) archived" in archive()
