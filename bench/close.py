"""The month's close: 10,000 organizations with 100,000 rollups, closed by a real worker, once more with ten times the events behind
them, and one organization with 100 models and 50 keys (`make bench-close`).

Everything is recorded by the real functions, so the books are right: each run begins with an audit, which the close demands, and
with the proof of its days, which beat makes while the month goes on. Both databases are made once a month and kept; what is closed
is a copy of them.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from bench import embedded, kept, steps
from bench.close_steps import BIG_KEYS, BIG_MODELS, ROLLUPS, last_month
from bench.processor_time import seconds_of
from config.launch.places import CHECKOUT
from config.launch.processes import signal_group
from config.launch.servers import Postgres

EDITION = 1
"""To be counted up when organizations or events become others."""
ORGANIZATIONS = 10_000
EVENTS = (2, 20)
"""Behind each rollup, in the two runs."""
WORKERS = 2
GLANCE_SECONDS = 0.05
STEPS = "bench.close_steps"
MAKING, SCRATCH = "making", "scratch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=ORGANIZATIONS)
    organizations: int = parser.parse_args().organizations
    with _servers(organizations) as postgres:
        _make(postgres, organizations)
        print(
            f"{'organizations':>13} {'events':>12} {'proof s':>8} {'close s':>8} {'a second':>9} {'Python ms':>10} "
            f"{'PostgreSQL ms':>14}"
        )
        taken = [_measure(postgres, organizations, events) for events in EVENTS]
        print(f"\nten times the events: {taken[1] / taken[0]:.2f} × the time (goal 1.1)")
        steps.run(STEPS, "fill_big")
        lines, seconds = steps.run(STEPS, "close_big")
        print(
            f"one organization with {BIG_MODELS} models and {BIG_KEYS} keys: {lines} lines in {seconds:.2f} s (goal 1)"
        )
        _copy(postgres, EVENTS[0])
        steps.run(STEPS, "prove")
        messages, statements = steps.run(STEPS, "count_statements")
        print(f"a close is {statements:.0f} statements in {messages:.0f} messages")
        kept.drop(postgres, SCRATCH)


@contextmanager
def _servers(organizations: int) -> Iterator[Postgres]:
    """Those with the databases that are kept, or others for another number of organizations."""
    with ExitStack() as stack:
        if organizations != ORGANIZATIONS:
            yield stack.enter_context(embedded.system())
        else:
            folder = kept.home("bench-close", edition=EDITION, month=f"{last_month():%Y-%m}")
            yield stack.enter_context(kept.servers(folder))


def _make(postgres: Postgres, organizations: int) -> None:
    """Make what is missing of a database for each of EVENTS."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        made = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    if {*map(_name, EVENTS)} <= made:
        return
    began = time.monotonic()
    kept.drop(postgres, MAKING)
    embedded.use_database(postgres.url(MAKING))
    steps.run(STEPS, "found", organizations)
    for events in EVENTS:
        kept.copy(postgres, MAKING, "unfinished")
        os.environ["DATABASE_URL"] = postgres.url("unfinished")
        workers = [steps.start(STEPS, "fill", organizations, events, number, WORKERS) for number in range(WORKERS)]
        for process in workers:
            steps.answer(process)
        with psycopg.connect(postgres.url("unfinished"), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        kept.drop(postgres, _name(events))
        kept.rename(postgres, "unfinished", _name(events))
    kept.drop(postgres, MAKING)
    print(f"made the organizations and what they used in {time.monotonic() - began:.0f} s\n", flush=True)


def _name(events: int) -> str:
    return f"with_{events}"


def _copy(postgres: Postgres, events: int) -> None:
    """A copy to close, migrated as our code needs it."""
    kept.copy(postgres, _name(events), SCRATCH)
    embedded.use_database(postgres.url(SCRATCH))


def _measure(postgres: Postgres, organizations: int, events: int) -> float:
    """Prove a copy, and have a worker close it. Seconds that closing took."""
    _copy(postgres, events)
    proof = steps.run(STEPS, "prove")
    url = postgres.url(SCRATCH)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    with worker() as pid, psycopg.connect(url, autocommit=True) as connection:
        before = seconds_of(pid), seconds_of(postgres_pid(connection))
        began: float = steps.run(STEPS, "ring")
        while _open(connection):
            time.sleep(GLANCE_SECONDS)
        taken = time.time() - began
        spent = seconds_of(pid) - before[0], seconds_of(postgres_pid(connection)) - before[1]
        rows = connection.execute("SELECT count(*), count(DISTINCT number) FROM billing_invoice").fetchone()
    if rows != (organizations, organizations):
        raise SystemExit(f"not one invoice each: {rows}")
    python, database = (seconds / organizations * 1000 for seconds in spent)
    print(
        f"{organizations:>13,} {organizations * ROLLUPS * events:>12,} {proof:>8.1f} {taken:>8.1f} "
        f"{organizations / taken:>9.0f} {python:>10.2f} {database:>14.2f}",
        flush=True,
    )
    return taken


@contextmanager
def worker() -> Iterator[int]:
    """A Celery worker as the system runs it, on both cores; its process id."""
    steps.run(STEPS, "purge")
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "config",
        "--quiet",
        "worker",
        "--concurrency",
        str(WORKERS),
        "--loglevel",
        "ERROR",
    ]
    quiet = os.environ | {"PYTHONWARNINGS": "ignore"}  # a worker warns of root
    process = subprocess.Popen(command, cwd=CHECKOUT, start_new_session=True, env=quiet)
    try:
        steps.run(STEPS, "ready")
        yield process.pid
    finally:
        signal_group(process.pid, signal.SIGKILL)  # it would go on with PDFs
        process.wait()


def postgres_pid(connection: "psycopg.Connection[tuple[object, ...]]") -> int:
    """The server's own process, parent of all that serve connections."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row
    with open(f"/proc/{row[0]}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def _open(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ledger_billingperiod WHERE status <> 'closed' AND ends_at < now())"
    ).fetchone()
    return row is not None and bool(row[0])


if __name__ == "__main__":
    main()
