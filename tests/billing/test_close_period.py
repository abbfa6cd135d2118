"""`manage.py close_period` as its user meets it: what it shows, what it refuses, and what it says when nobody works."""

from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
import time_machine
from celery import current_app
from django.conf import settings
from django.core.management import CommandError, call_command
from kombu.exceptions import OperationalError

from accounts.models import Currency
from billing import tasks
from billing.management.commands import close_period
from billing.models import Invoice
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import NOON, SELLER, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)


@pytest.fixture
def cast(db: None) -> Iterator[stories.Cast]:
    with time_machine.travel(NOON):
        cast = stories.meet_the_cast(now=OCTOBER)
        set_seller(now=OCTOBER, **SELLER)
        for company in (cast.acme, cast.globex):
            use(company.organization, at=OCTOBER, usage=MILLION)
        yield cast


@pytest.fixture
def worker() -> Iterator[None]:
    """Jobs are done where they are asked for; real workers work in tests/scenarios."""
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def run(*words: str, output: StringIO | None = None) -> list[str]:
    told = output or StringIO()
    call_command("close_period", *words, stdout=told)
    return told.getvalue().splitlines()


class CtrlC(StringIO):
    """What somebody reads who presses Ctrl-C as soon as it says how far the jobs are."""

    def write(self, text: str) -> int:
        if text.startswith("closed"):
            raise KeyboardInterrupt
        return super().write(text)


def test_a_dry_run_shows_what_would_be_and_writes_nothing(cast: stories.Cast) -> None:
    dollars = stories.make_company("initech", now=OCTOBER, currency=Currency.USD)
    use(dollars.organization, at=OCTOBER, usage=MILLION)
    lines = run("--period", "2026-10", "--dry-run")
    assert [line.split() for line in lines[:2]] == [
        [slug, "2", "lines", "supply", "66", "tax", "6", "total", "72", "KRW"] for slug in ("acme", "globex")
    ]
    assert lines[2].split()[-4:] == ["0.00", "total", "0.04", "USD"]
    assert lines[3] == "3 period(s) would be closed; nothing was written."
    assert not Invoice.objects.using("system").exists()


def test_it_shows_progress_and_the_invoices(cast: stories.Cast, worker: None) -> None:
    lines = run("--period", "2026-10")
    assert lines[0] == "closed 2 of 2"
    assert [line.split() for line in lines[-2:]] == [
        ["acme", "INV-000001", "72", "KRW", "paid"],
        ["globex", "INV-000002", "72", "KRW", "paid"],
    ]
    assert "\r" not in "".join(lines), "no terminal"


def test_again_it_changes_nothing(cast: stories.Cast, worker: None) -> None:
    run("--period", "2026-10")
    assert run("--period", "2026-10") == ["Nothing to close: no organization has an open period in 2026-10."]
    assert run("--period", "2026-05") == ["Nothing to close: no organization has an open period in 2026-05."]
    assert Invoice.objects.using("system").count() == 2


@pytest.mark.parametrize(
    ("month", "reason"),
    [
        ("2026-13", "is not a month"),
        ("October", "is not a month"),
        ("2026-12", "is in the future"),
        ("2026-11", "has not ended yet"),
    ],
)
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_what_is_no_month_to_close(cast: stories.Cast, month: str, reason: str, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=reason):
        run("--period", month, *words)


def test_a_month_ends_where_the_customer_is(cast: stories.Cast) -> None:
    late = stories.make_company("honolulu", now=OCTOBER, zone="Pacific/Honolulu")
    use(late.organization, at=OCTOBER)
    with time_machine.travel(datetime(2026, 10, 31, 16, tzinfo=UTC)):
        assert [line.split()[0] for line in run("--period", "2026-10", "--dry-run")[:-1]] == ["acme", "globex"]
    BillingPeriod.objects.using("system").exclude(organization=late.organization).update(
        status="closed", closed_at=NOON
    )
    with time_machine.travel(datetime(2026, 10, 31, 16, tzinfo=UTC)), pytest.raises(CommandError, match="time zones"):
        run("--period", "2026-10")


def test_without_a_seller_it_says_what_to_do(db: None) -> None:
    with time_machine.travel(NOON):
        cast = stories.meet_the_cast(now=OCTOBER)
        use(cast.acme.organization, at=OCTOBER)
        with pytest.raises(CommandError, match="setup_production"):
            run("--period", "2026-10")


def test_without_a_worker_it_waits_and_says_what_to_do(
    cast: stories.Cast, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(close_period, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(close_period, "PING_SECONDS", 0.2)
    errors = StringIO()
    with pytest.raises(CommandError, match=r"Not closed yet: acme, globex.*run this again"):
        call_command("close_period", period="2026-10", timeout=1.5, stdout=StringIO(), stderr=errors)
    assert errors.getvalue().count("No worker answers.") == 1


def test_ctrl_c_stops_only_the_waiting(cast: stories.Cast, redis_url: str) -> None:
    with pytest.raises(CommandError, match="the jobs go on"):
        run("--period", "2026-10", output=CtrlC())


def test_without_a_broker_nothing_is_asked(cast: stories.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(**_options: object) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(tasks.close_periods, "apply_async", nobody)
    with pytest.raises(CommandError, match="REDIS_URL"):
        run("--period", "2026-10")


def test_a_month_without_usage_has_no_invoice(cast: stories.Cast, worker: None) -> None:
    organization = stories.make_company("initech", now=OCTOBER).organization
    BillingPeriod.objects.using("system").create(
        organization=organization,
        starts_at=datetime(2026, 9, 30, 15, tzinfo=UTC),
        ends_at=datetime(2026, 10, 31, 15, tzinfo=UTC),
        zone="Asia/Seoul",
    )
    assert "initech                        nothing to charge, no invoice" in run("--period", "2026-10")


def test_beat_closes_months_by_itself() -> None:
    schedule = settings.CELERY_BEAT_SCHEDULE.values()
    assert any(entry["task"] == "billing.tasks.close_due_periods" for entry in schedule)
