"""The month's close: 10,000 organizations with 100,000 rollups, closed by a real worker, once more with ten times the events behind
them, and one organization with 100 models and 50 keys (`make bench-close`).

Everything is recorded by the real functions, so the books are right: each run begins with an audit, which the close demands, and
with the proof of its days, which beat makes while the month goes on.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bench import data, embedded
from bench.close_steps import BIG_KEYS, BIG_MODELS, ROLLUPS
from bench.processor_time import seconds_of
from config.launch.places import CHECKOUT
from config.launch.processes import signal_group
from config.launch.servers import Postgres

EVENTS = (2, 20)
"""Behind each rollup, in the two runs."""
WORKERS = 2
GLANCE_SECONDS = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=10_000)
    options = parser.parse_args()
    with embedded.system() as postgres:
        _run("found", options.organizations)
        few, many = (_database(postgres, f"with_{events}") for events in EVENTS)
        print(
            f"{'organizations':>13} {'events':>12} {'proof s':>8} {'close s':>8} {'a second':>9} {'worker s':>9} "
            f"{'PostgreSQL s':>13}"
        )
        taken = [_measure(url, options.organizations, events) for url, events in ((few, EVENTS[0]), (many, EVENTS[1]))]
        print(f"\nten times the events: {taken[1] / taken[0]:.2f} × the time")
        os.environ["DATABASE_URL"] = few
        _run("fill_big")
        lines, seconds = _run("close_big")
        print(f"one organization with {BIG_MODELS} models and {BIG_KEYS} keys: {lines} lines in {seconds:.2f} s")


def _measure(url: str, organizations: int, events: int) -> float:
    """Fill the database, prove it, and have a worker close it. Seconds that closing took."""
    os.environ["DATABASE_URL"] = url
    for process in [_start("fill", organizations, events, number, WORKERS) for number in range(WORKERS)]:
        _answer(process)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    proof = _run("prove")
    with worker() as pid, psycopg.connect(url, autocommit=True) as connection:
        before = seconds_of(pid), seconds_of(postgres_pid(connection))
        began = time.monotonic()
        _run("ring")
        while _open(connection):
            time.sleep(GLANCE_SECONDS)
        taken = time.monotonic() - began
        spent = seconds_of(pid) - before[0], seconds_of(postgres_pid(connection)) - before[1]
        rows = connection.execute("SELECT count(*), count(DISTINCT number) FROM billing_invoice").fetchone()
    if rows != (organizations, organizations):
        raise SystemExit(f"not one invoice each: {rows}")
    print(
        f"{organizations:>13,} {organizations * ROLLUPS * events:>12,} {proof:>8.1f} {taken:>8.1f} "
        f"{organizations / taken:>9.0f} {spent[0]:>9.1f} {spent[1]:>13.1f}",
        flush=True,
    )
    return taken


@contextmanager
def worker() -> Iterator[int]:
    """A Celery worker as the system runs it, on both cores; its process id."""
    _run("purge")
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
        _run("ready")
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


def _database(postgres: Postgres, name: str) -> str:
    data.copy(postgres, "bench", name)
    return postgres.url(name)


def _run(name: str, *numbers: int) -> Any:
    return _answer(_start(name, *numbers))


def _answer(process: "subprocess.Popen[str]") -> Any:
    output, _errors = process.communicate()
    if process.returncode:
        raise SystemExit("the benchmark failed")
    return json.loads(output)


def _start(name: str, *numbers: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "bench.close_steps", name, *map(str, numbers)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    main()
