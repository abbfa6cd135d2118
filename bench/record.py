"""The ceiling of metering: the recording transaction without HTTP, beside COPY of the same rows (`make bench-record`).

Each client is a process of its own that calls `metering.recording.record` – pricing, dedup, event, rollup, accrual,
commit – on reports made beforehand, for 20 organizations with 3 keys each, each using 6 of 30 models. COPY writes the same
event rows, already priced, into one table with one unique index, and is what disk and server could take at best.
"""

import argparse
import gc
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bench import embedded
from config.launch.places import CHECKOUT

ORGANIZATIONS, KEYS, MODELS, MODELS_USED = 20, 3, 30, 6
BATCHES = (1, 10, 100, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per measurement")
    parser.add_argument("--client", nargs=4, metavar=("KIND", "BATCH", "SEED", "START"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        kind, batch, seed, start = options.client
        run_client(kind, int(batch), int(seed), float(start), options.seconds)
        return
    with embedded.system():
        prepare()
        print(f"{'what':<10} {'batch':>6} {'clients':>8} {'events/s':>10}")
        for kind, batches in (("record", BATCHES), ("copy", (1000,))):
            for batch in batches:
                for clients in (1, 2):
                    print(
                        f"{kind:<10} {batch:>6} {clients:>8} {measure(kind, batch, clients, options.seconds):>10,.0f}"
                    )
        sizes = bytes_an_event()
        parts = ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
        print(f"\n{sum(sizes.values()):.0f} bytes an event on disk ({parts})")


def prepare() -> None:
    """A catalog, and organizations, through the real functions."""
    import django

    django.setup()
    from billing.onboarding import open_account

    now = datetime.now(UTC)
    make_catalog(since=now - timedelta(days=100), now=now)
    for number in range(ORGANIZATIONS):
        open_account(name=f"Bench {number}", slug=f"bench-{number}", owner=None, now=now)


def make_catalog(*, since: datetime, now: datetime, models: int = MODELS) -> None:
    """Models with prices and a markup from `since` on, and an exchange rate for each month."""
    from catalog import exchange_rates, markups, publishing
    from catalog.models import CostTable, LanguageModel
    from pricing.openrouter_pricing import parse_openrouter_pricing

    table = CostTable.objects.using("system").create(slug="bench", name="Benchmark")
    markups.set_markup(markup=Decimal("0.10"), effective_from=since, now=now)
    month = now.replace(day=1)
    while month > since:
        last_day = month - timedelta(days=2)
        exchange_rates.publish_exchange_rate(
            rate=Decimal("1393.50") + last_day.month,
            published_on=last_day.date(),
            source="bench",
            now=now,
        )
        month = last_day.replace(day=1)
    for number in range(models):
        model = LanguageModel.objects.using("system").create(
            slug=f"bench/model-{number}", page_slug=f"bench-model-{number}", cost_table=table, name=f"Model {number}",
            provider="Bench", provider_slug="bench", created_at=since,
        )  # fmt: skip
        text = {
            "prompt": f"0.000000{number + 11}",
            "completion": f"0.00000{number + 11}",
            "input_cache_read": "0.00000001",
        }
        sheet = parse_openrouter_pricing(text)
        assert sheet
        publishing.publish_cost_price(
            cost_table=table,
            language_model=model,
            sheet=sheet,
            effective_from=since,
            raw=text,
            origin="bench",
            now=now,
        )


def measure(kind: str, batch: int, clients: int, seconds: float) -> float:
    """Events a second over all clients, which start together; each prints how many it wrote and how long it took."""
    start = time.time() + 4.0
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.record", "--seconds", str(seconds),
             "--client", kind, str(batch), str(random.randrange(10**9)), str(start)],
            cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
        )
        for _number in range(clients)
    ]  # fmt: skip
    rates = []
    for process in processes:
        output, _errors = process.communicate()
        if process.returncode:
            raise SystemExit("a client of the benchmark failed")
        events, elapsed = output.split()
        rates.append(int(events) / float(elapsed))
    return sum(rates)


def run_client(kind: str, batch: int, seed: int, start: float, seconds: float) -> None:
    import django

    django.setup()
    write = {"record": record_batches, "copy": copy_batches}[kind]
    batches = make_batches(batch, seed, events=min(60_000, max(2_000, batch * 200)))
    gc.freeze()  # the reports made beforehand are the benchmark's: keep them out of the collector's way
    events, elapsed = write(batches, start, seconds)
    print(events, elapsed)


def make_batches(batch: int, seed: int, *, events: int) -> list[list[object]]:
    """Plausible reports with ids of the upstream's form; different in every client."""
    from accounts.models import Organization
    from metering.reports import UsageReport
    from pricing.tokens import TokenUsage

    random_source = random.Random(seed)
    organizations = list(Organization.objects.using("system").values_list("pk", flat=True))
    now = datetime.now(UTC)
    chosen = [random_source.choice(organizations) for _number in range(events)]
    reports = [
        UsageReport(
            organization_id=organization_id,
            source_id=2,
            key=f"gen-{int(now.timestamp())}-{seed:x}{number:06x}",
            model=f"bench/model-{(organization_id * 7 + random_source.randrange(MODELS_USED)) % MODELS}",
            occurred_at=now - timedelta(milliseconds=events - number),
            usage=TokenUsage(
                input_tokens=random_source.randrange(1, 8000),
                cache_read_tokens=random_source.randrange(0, 2000),
                output_tokens=random_source.randrange(1, 1000),
            ),
            api_key_id=random_source.randrange(1, KEYS + 1),
            upstream="openrouter",
            reported_cost=Decimal(random_source.randrange(1, 10_000)).scaleb(-7),
        )
        for number, organization_id in enumerate(chosen)
    ]
    return [reports[position : position + batch] for position in range(0, events, batch)]


def record_batches(batches: list[list[object]], start: float, seconds: float) -> tuple[int, float]:
    from django.db import connections

    from catalog import price_book
    from metering.recording import record

    price_book.current()
    connections["default"].ensure_connection()
    record(batches[-1], now=datetime.now(UTC))  # type: ignore[arg-type]
    return _timed(batches[:-1], lambda some: record(some, now=datetime.now(UTC)), start, seconds)  # type: ignore[arg-type]


def copy_batches(batches: list[list[object]], start: float, seconds: float) -> tuple[int, float]:
    """COPY of priced rows into a plain table of the same columns, as the superuser."""
    import psycopg

    from accounts.models import Organization
    from accounts.tenancy import tenant_scope
    from catalog import price_book
    from metering import event_rows
    from metering.charges import Charge, claims_of, price, terms_of

    organizations = list(Organization.objects.using("system").values_list("pk", flat=True))
    price_book.current()
    with tenant_scope(organizations):
        terms = terms_of(organizations)
    now = datetime.now(UTC)
    rows = [
        list(zip(*(table[name] for name, _kind in event_rows.EVENT_COLUMNS), strict=True))
        for batch in batches
        for table in [
            event_rows.table_of([one for one in price(claims_of(batch), terms, now=now) if isinstance(one, Charge)])
        ]  # type: ignore[arg-type]
    ]
    columns = ", ".join(f"{name} {kind}" for name, kind in event_rows.EVENT_COLUMNS)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        connection.execute(f"CREATE TABLE IF NOT EXISTS copied ({columns}, PRIMARY KEY (organization_id, id))")
        connection.execute("SELECT pg_advisory_unlock(1)")

        def copy(some: Iterable[tuple[object, ...]]) -> None:
            with connection.cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as stream:
                for row in some:
                    stream.write_row(row)

        return _timed(rows, copy, start, seconds)


def _timed(batches: list[list[object]], write: object, start: float, seconds: float) -> tuple[int, float]:
    assert callable(write)
    time.sleep(max(0.0, start - time.time()))
    began, events = time.perf_counter(), 0
    for batch in batches:
        write(batch)
        events += len(batch)
        if time.perf_counter() - began > seconds:
            break
    return events, time.perf_counter() - began


SIZES = """
SELECT (SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'metering_usageevent'::regclass) AS events,
    (SELECT sum(pg_indexes_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'metering_usageevent'::regclass) AS event_index,
    pg_relation_size('metering_eventkey') AS keys, pg_indexes_size('metering_eventkey') AS key_index,
    pg_total_relation_size('metering_usagerollup') AS rollups
"""


def bytes_an_event() -> dict[str, float]:
    """Bytes on disk that each stored event costs, by where they lie."""
    from django.db import connections

    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metering_usageevent")
        (events,) = cursor.fetchone()
        cursor.execute(SIZES)
        names = [column.name for column in cursor.description]
        return {name: float(size) / events for name, size in zip(names, cursor.fetchone(), strict=True)}


if __name__ == "__main__":
    main()
