"""What the benchmark of the close does with a database, each step in a process of its own that knows it from its environment."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

ROLLUPS = 10
"""Of each organization: other days, keys and models."""
BIG_MODELS, BIG_KEYS, BIG_DAYS = 100, 50, 4
"""Of the big organization, each with each."""
BATCH = 2_000


def main() -> None:
    import django

    django.setup()
    name, *numbers = sys.argv[1:]
    print(json.dumps(STEPS[name](*map(int, numbers))))


def last_month() -> datetime:
    """When it began in Seoul."""
    from ledger.periods import month_bounds

    start, _end = month_bounds(datetime.now(UTC), zone="Asia/Seoul")
    return month_bounds(start - timedelta(hours=1), zone="Asia/Seoul")[0]


def found(organizations: int) -> None:
    """The catalog, the seller and the organizations, the last of which is the big one, used by nobody yet."""
    from django.db import transaction

    from accounts.models import BillingProfile
    from bench import record
    from bench.data import set_bench_seller
    from billing.onboarding import open_account

    before = last_month() - timedelta(days=10)
    record.make_catalog(since=before - timedelta(days=60), now=datetime.now(UTC), models=BIG_MODELS)
    set_bench_seller(now=before)
    for first in range(0, organizations + 1, BATCH):
        with transaction.atomic(using="system"):  # the disk is waited for once a batch
            for number in range(first, min(first + BATCH, organizations + 1)):
                open_account(name=f"Bench {number}", slug=f"bench-{number}", owner=None, now=before)
    BillingProfile.objects.using("system").update(grace_hours=0)


def fill(organizations: int, events: int, worker: int, workers: int) -> None:
    """Record so many events behind each of ROLLUPS rollups of every organization."""
    from accounts.models import Organization

    ids = list(Organization.objects.using("system").order_by("pk").values_list("pk", flat=True))[:organizations]
    start = last_month()
    _record(
        (organization_id, 1 + place % 3, (organization_id + place) % 30, start + timedelta(days=place * 2, hours=1, seconds=number))
        for organization_id in ids[worker::workers]
        for place in range(ROLLUPS)
        for number in range(events)
    )  # fmt: skip


def fill_big() -> None:
    """Record one event for each of the big organization's keys, models and days."""
    from accounts.models import Organization

    newest = Organization.objects.using("system").latest("pk").pk
    start = last_month()
    each = itertools.product(range(BIG_DAYS), range(1, BIG_KEYS + 1), range(BIG_MODELS))
    _record((newest, key, model, start + timedelta(days=day, hours=2)) for day, key, model in each)


def _record(calls: Iterable[tuple[int, int, int, datetime]]) -> None:
    """Calls of (organization, key, number of the model, moment), with commits that do not wait for the disk."""
    from django.db import connections

    from metering.recording import record
    from metering.reports import UsageReport
    from pricing.tokens import TokenUsage

    connections["default"].ensure_connection()
    with connections["default"].cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    reports: Iterator[UsageReport] = (
        UsageReport(
            organization_id=organization_id,
            source_id=2,
            key=f"gen-{organization_id}-{key}-{model}-{at.timestamp():.0f}",
            model=f"bench/model-{model}",
            occurred_at=at,
            usage=TokenUsage(input_tokens=50_000 + organization_id, cache_read_tokens=model, output_tokens=9_000 + key),
            api_key_id=key,
        )
        for organization_id, key, model, at in calls
    )
    while batch := list(itertools.islice(reports, BATCH)):
        outcomes = record(batch, now=max(report.occurred_at for report in batch))
        if any(outcome.amount is None for outcome in outcomes):
            raise SystemExit(f"not charged: {next(outcome for outcome in outcomes if outcome.amount is None)}")


def prove() -> float:
    """Audit the books and prove the days. Seconds that the proof took."""
    from billing.auditing import concerned, fresh_audit
    from metering.proven_days import prove_days

    now = datetime.now(UTC)
    if concerned(fresh_audit(now=now)) != frozenset():
        raise SystemExit("the books are not clean")
    began = time.monotonic()
    if prove_days(now=now).different:
        raise SystemExit("sums are not those of the events")
    return time.monotonic() - began


def purge() -> None:
    """Forget what a worker of another run has left in the queue."""
    from celery import current_app

    current_app.control.purge()


def ready() -> None:
    """Wait for the worker."""
    from celery import current_app

    deadline = time.monotonic() + 60
    while not current_app.control.ping(timeout=0.5):
        if time.monotonic() > deadline:
            raise SystemExit("no worker answers")


def ring() -> float:
    """What beat does every minute. When it began, in seconds of the epoch: a process that has to start first is no part of it."""
    from billing.tasks import close_due_periods

    began = time.time()
    close_due_periods()
    return began


def close_big() -> tuple[int, float]:
    """Close the big organization's month. Its lines, and the seconds it took."""
    from billing import cycle
    from ledger.models import BillingPeriod

    prove()
    period = BillingPeriod.objects.using("system").filter(ends_at__lt=datetime.now(UTC), status="open").get()
    began = time.monotonic()
    invoice = cycle.close(organization_id=period.organization_id, period_id=period.pk, now=datetime.now(UTC))
    taken = time.monotonic() - began
    assert invoice
    return invoice.lines.using("system").count(), taken


def close_all() -> int:
    """Close what is due, without a worker. How many invoices there are."""
    from billing import cycle
    from billing.models import Invoice

    now = datetime.now(UTC)
    for chunk in cycle.chunks(cycle.due_periods(now=now)):
        cycle.close_all(chunk, now=now)
    return Invoice.objects.using("system").count()


def count_statements() -> tuple[float, float]:
    """Messages to PostgreSQL and statements in them of a close, as it is in a chunk."""
    from django.db import connections

    from billing import cycle

    now = datetime.now(UTC)
    first, second, *_others = cycle.chunks(cycle.due_periods(now=now))
    cycle.close_all(first, now=now)
    messages = statements = 0

    def counted(execute: Callable[..., object], sql: str, *others: object) -> object:
        nonlocal messages, statements
        messages, statements = messages + 1, statements + max(1, sql.count("EXECUTE hot_"))
        return execute(sql, *others)

    with connections["default"].execute_wrapper(counted), connections["system"].execute_wrapper(counted):
        closed = len(cycle.close_all(second, now=now))
    return messages / closed + 1, statements / closed + 1  # Django counts no COMMIT


def render(worker: int, workers: int) -> tuple[int, float, float]:
    """Render each so-manieth invoice as the job does: rows, Typst, file on disk, row. PDFs, seconds, seconds of processor."""
    from billing import documents

    keys = documents.missing(now=datetime.now(UTC), grace=timedelta(0))[worker::workers]
    documents.render_all(keys[:1], now=datetime.now(UTC))  # fonts and template are read once a process
    began, processor = time.monotonic(), time.process_time()
    done = documents.render_all(keys[1:], now=datetime.now(UTC))
    if done.failures:
        raise SystemExit(done.failures[0])
    return done.rendered, time.monotonic() - began, time.process_time() - processor


STEPS = {
    step.__name__: step
    for step in (found, fill, fill_big, prove, purge, ready, ring, close_big, close_all, count_statements, render)
}

if __name__ == "__main__":
    main()
