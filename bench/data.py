"""Ten million events in a database that is kept, for benchmarks that need a past (`make bench-data`).

Everything goes through the real recording, month by month, and ended months are closed and invoiced, so the books are right; the
last words check that rollups are the sums of their events. The databases of smaller sizes are copies made on the way. A build
that was broken off goes on from the last of them. Copies that are used go through the migrations made since, as production does;
another month asks for another fixture.
"""

import argparse
import bisect
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg

from bench import embedded, kept, record, steps
from config.launch.servers import Postgres

EDITION = 2
"""To be counted up when the events become others."""
SIZES = (100_000, 1_000_000, 3_000_000, 10_000_000)
MONTHS = (600_000, 900_000, 1_300_000, 1_700_000, 2_400_000, 3_100_000)
"""Events in each month, the last of which is the present one: a business that grows."""
ORGANIZATIONS, BIG_SHARE, BIG_KEYS = 30, 0.4, 8
"""The first organization makes two of five calls, with more keys than the others; these share the rest as 1, 1/2, 1/3 …"""
BATCH, WORKERS = 2_000, 2
GROWING = "growing"
MAX_TOKENS = (8_000, 2_000, 1_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, *numbers = options.step
        {"found": found, "fill": fill, "close": close_months, "prove": prove}[name](*map(int, numbers))
        return
    with fixture() as postgres:
        sizes = ", ".join(f"{size / 1e9:.1f} GB for {events:,} events" for events, size in sizes_of(postgres))
        print(f"Ready: {sizes}. Benchmarks use it as it is.")


@contextmanager
def fixture() -> Iterator[Postgres]:
    """The running servers with one database for each of SIZES, built first if need be. What writes takes a `scratch` copy."""
    folder = kept.home("bench-data", edition=EDITION, month=f"{datetime.now(UTC):%Y-%m}")
    with kept.servers(folder) as postgres:
        build(postgres)
        yield postgres


@contextmanager
def scratch(postgres: Postgres, events: int) -> Iterator[str]:
    """A copy of the database with so many events, to write to; yields its URL. Deleted at the end."""
    name = f"scratch_{events}"
    kept.copy(postgres, name_of(events), name)
    try:
        embedded.use_database(postgres.url(name))
        yield postgres.url(name)
    finally:
        kept.drop(postgres, name)


def name_of(events: int) -> str:
    return f"at_{events}"


def sizes_of(postgres: Postgres) -> list[tuple[int, int]]:
    """Of each database its events and its bytes on disk."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT datname, pg_database_size(datname) FROM pg_database WHERE datname LIKE 'at\\_%'"
        )
        return sorted((int(name.removeprefix("at_")), size) for name, size in rows.fetchall())


def build(postgres: Postgres) -> None:
    """Make what is missing of the databases."""
    made = [events for events, _size in sizes_of(postgres) if events in SIZES]
    if made == list(SIZES):
        return
    began, first = time.monotonic(), max(made, default=0)
    if first:
        kept.copy(postgres, name_of(first), GROWING)
    else:
        kept.drop(postgres, GROWING)
    embedded.use_database(postgres.url(GROWING))
    if not first:
        _step("found")
    month_ends = list(itertools.accumulate(MONTHS))
    cuts = sorted({*SIZES, *month_ends})
    for start, end in itertools.pairwise([first, *(cut for cut in cuts if cut > first)]):
        _fill_between(start, end, began=began, first=first)
        if end in month_ends[:-1]:
            print(f"\nclosing month {month_ends.index(end) + 1}", flush=True)
            _step("close")
        if end == SIZES[-1]:
            _step("prove")
        if end in SIZES:
            with psycopg.connect(postgres.url(GROWING), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            kept.copy(postgres, GROWING, "unfinished")
            kept.rename(postgres, "unfinished", name_of(end))
    kept.drop(postgres, GROWING)
    print(f"built in {time.monotonic() - began:.0f} s", flush=True)


def _fill_between(start: int, end: int, *, began: float, first: int) -> None:
    """Events of these numbers, by several processes that take turns with the batches."""
    workers = [steps.start("bench.data", "--step", "fill", start, end, number) for number in range(WORKERS)]
    for worker in workers:
        assert worker.stdout
    done = start
    for lines in itertools.zip_longest(*(worker.stdout for worker in workers if worker.stdout)):
        done += BATCH * sum(line is not None for line in lines)
        pace = (done - first) / (time.monotonic() - began)
        print(f"\r{done:,} of {SIZES[-1]:,} events, {pace:,.0f}/s ", end="", flush=True)
    if any(worker.wait() for worker in workers):
        raise SystemExit("\nbuilding the fixture failed")


def _step(name: str) -> None:
    if steps.start("bench.data", "--step", name, stdout=None).wait():
        raise SystemExit(f"\nbuilding the fixture failed: {name}")


# -- the steps, each in a process of its own that knows the database from its environment ------------------------------


def month_starts() -> list[datetime]:
    """When the months of MONTHS begin in Seoul, and the present moment, to the hour, where the last one ends."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    from ledger.periods import month_bounds

    starts = [month_bounds(now, zone="Asia/Seoul")[0]]
    while len(starts) < len(MONTHS):
        starts.insert(0, month_bounds(starts[0] - timedelta(hours=1), zone="Asia/Seoul")[0])
    return [*starts, now]


def moment_of(number: int, starts: Sequence[datetime]) -> datetime:
    """When event `number` occurred: evenly within its month."""
    ends = list(itertools.accumulate(MONTHS))
    month = bisect.bisect_right(ends, number)
    share = (number - (ends[month] - MONTHS[month])) / MONTHS[month]
    return starts[month] + (starts[month + 1] - starts[month]) * share


def found() -> None:
    """The catalog, the seller, and organizations with their keys."""
    import django

    django.setup()
    from accounts.api_keys import issue_api_key
    from billing.onboarding import open_account

    before = month_starts()[0] - timedelta(days=10)
    record.make_catalog(since=before - timedelta(days=60), now=datetime.now(UTC))
    set_bench_seller(now=before)
    for number in range(ORGANIZATIONS):
        organization = open_account(name=f"Bench {number}", slug=f"bench-{number}", owner=None, now=before)
        for key in range(BIG_KEYS if number == 0 else record.KEYS):
            issue_api_key(organization=organization, name=f"key {key}", now=before, using="system")


def set_bench_seller(*, now: datetime) -> None:
    """Whose invoices benchmarks make."""
    from billing.sellers import set_seller

    set_seller(
        now=now,
        legal_name="벤치마크 주식회사",
        registration_number="220-81-62517",
        representative="김대표",
        address="서울특별시 중구 세종대로 110",
        email="billing@invoicedream.example",
        bank_name="한빛은행",
        bank_account="123-456-789012",
        bank_holder="벤치마크 주식회사",
    )


def fill(start: int, end: int, worker: int) -> None:
    """Record every WORKERS-th batch of the events [start, end), with commits that do not wait for the disk: a broken-off
    build starts anew."""
    import django

    django.setup()
    from django.db import connections

    from catalog import price_book
    from metering.recording import record as record_reports

    price_book.current()
    connections["default"].ensure_connection()
    with connections["default"].cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    starts, organizations = month_starts(), _organizations()
    for first in range(start + worker * BATCH, end, WORKERS * BATCH):
        numbers = range(first, min(first + BATCH, end))
        outcomes = record_reports(_reports(numbers, starts, organizations), now=moment_of(numbers[-1], starts))
        if any(outcome.amount is None for outcome in outcomes):
            raise SystemExit(f"not charged: {next(outcome for outcome in outcomes if outcome.amount is None)}")
        print(numbers[-1], flush=True)


def _organizations() -> list[tuple[int, list[int]]]:
    from accounts.models import ApiKey

    keys: dict[int, list[int]] = {}
    for organization_id, key_id in (
        ApiKey.objects.using("system").order_by("organization_id", "pk").values_list("organization_id", "pk")
    ):
        keys.setdefault(organization_id, []).append(key_id)
    return sorted(keys.items())


def _reports(numbers: range, starts: Sequence[datetime], organizations: list[tuple[int, list[int]]]) -> list[object]:
    """Plausible reports, the same for the same numbers."""
    from metering.reports import UsageReport
    from pricing.tokens import TokenUsage

    dice = random.Random(numbers[0])
    others = [1 / number for number in range(1, len(organizations))]
    weights = [BIG_SHARE * sum(others) / (1 - BIG_SHARE), *others]
    reports: list[object] = []
    for number, (organization_id, keys) in zip(
        numbers, dice.choices(organizations, weights, k=len(numbers)), strict=True
    ):
        model = min(int(dice.expovariate(0.7)), record.MODELS_USED - 1)
        reports.append(
            UsageReport(
                organization_id=organization_id,
                source_id=2,
                key=f"gen-{number:010}-{dice.randrange(1 << 40):010x}",
                model=f"bench/model-{(organization_id * 7 + model) % record.MODELS}",
                occurred_at=moment_of(number, starts),
                usage=TokenUsage(
                    input_tokens=dice.randrange(1, MAX_TOKENS[0]),
                    cache_read_tokens=dice.randrange(MAX_TOKENS[1]),
                    output_tokens=dice.randrange(1, MAX_TOKENS[2]),
                ),
                api_key_id=keys[min(int(dice.expovariate(0.4)), len(keys) - 1)],
                upstream="openrouter",
                reported_cost=Decimal(dice.randrange(1, 10_000)).scaleb(-7),
            )
        )
    return reports


def close_months() -> None:
    """Invoice what has ended by the events told so far; each close compares the rollups of its period with its events."""
    import django

    django.setup()
    from django.db import connections

    from billing.invoicing import close_period
    from ledger.models import BillingPeriod

    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT max(hour) FROM metering_usagerollup")
        ended = cursor.fetchone()[0] + timedelta(days=1)
    for period in BillingPeriod.objects.using("system").filter(status="open", ends_at__lte=ended).order_by("pk"):
        close_period(organization_id=period.organization_id, period_id=period.pk, now=ended)


def prove() -> None:
    """Ask the books: every invariant that the audit asks, but for mails, which nobody sends here."""
    import django

    django.setup()
    from accounts.invariants import all_invariants

    for invariant in all_invariants():
        found = [] if invariant.number == "23" else invariant.find()
        print(f"\r{invariant.number:>4}  {invariant.name:<90}", end="", flush=True)
        if found:
            raise SystemExit("\n".join(("", *found)))


if __name__ == "__main__":
    main()
