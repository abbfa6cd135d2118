"""Pushed usage, from HTTP to commit, beside the recording transaction without HTTP in the same run (`make bench-ingest`).

The site runs as production runs it; two client processes push batches of 1,000, batches of 100, and single events over 64
keep-alive connections. Rounds alternate, so that a machine that is busy for a while slows all of them.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench import embedded, record
from bench.processor_time import seconds_of
from bench.site import site
from config.launch.places import CHECKOUT

CLIENTS = 2
SECONDS_TO_PREPARE = 5.0
"""In which each client makes its bodies, before all start together."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to push: events a request, connections over both clients, the goal in events a second, and how many at most."""

    batch: int
    connections: int
    goal: int
    most: int


KINDS = (Kind(1000, 4, 20_000, 60_000), Kind(100, 8, 12_000, 40_000), Kind(1, 64, 1_200, 4_000))
"""`most` is what a client makes beforehand for each second."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Events a second, the seconds of each request, and the microseconds of processor time an event took of site, PostgreSQL
    and clients."""

    rate: float
    latencies: Sequence[float]
    spent: tuple[float, float, float] = (0.0, 0.0, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of all measurements in turn; the median counts")
    options = parser.parse_args()
    with embedded.system() as postgres:
        record.prepare()
        pushers = Pushers()
        with site() as (port, pid):
            server = int((postgres.data / "postmaster.pid").read_text().split()[0])
            pushers.push(port, Kind(100, 8, 0, 1_000), 1.0)  # both workers read the price book
            measure_rounds(pushers, port, (pid, server), options.rounds, options.seconds)


def measure_rounds(pushers: "Pushers", port: int, watched: tuple[int, int], rounds: int, seconds: float) -> None:
    raw: list[float] = []
    pushed: dict[Kind, list[Measured]] = {kind: [] for kind in KINDS}
    for number in range(1, rounds + 1):
        raw.append(record.measure("record", 1000, CLIENTS, seconds))
        for kind in KINDS:
            pushed[kind].append(pushers.push(port, kind, seconds, watched=watched))
        shown = "  ".join(f"{kind.batch:,}: {pushed[kind][-1].rate:,.0f}" for kind in KINDS)
        print(f"round {number}: record {raw[-1]:,.0f}  {shown}", flush=True)
    heads = ("goal", "median", "least", "most", "× record", "p50 ms", "p99 ms", "site µs", "PostgreSQL", "clients")
    print(f"\n{'what':<26}" + "".join(f"{head:>11}" for head in heads))
    print(
        f"{'record, batches of 1,000':<26}{'':>11}{statistics.median(raw):>11,.0f}{min(raw):>11,.0f}{max(raw):>11,.0f}"
    )
    for kind, results in pushed.items():
        print_line(kind, results, raw)


def print_line(kind: Kind, results: Sequence[Measured], raw: Sequence[float]) -> None:
    rates = [result.rate for result in results]
    ratio = statistics.median(rate / alone for rate, alone in zip(rates, raw, strict=True))
    latencies = sorted(second for result in results for second in result.latencies)
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    spent = [statistics.median(result.spent[place] for result in results) for place in range(3)]
    name = f"HTTP, batches of {kind.batch:,}" if kind.batch > 1 else f"HTTP, single, {kind.connections} open"
    figures = (kind.goal, statistics.median(rates), min(rates), max(rates))
    print(f"{name:<26}" + "".join(f"{figure:>11,.0f}" for figure in figures), end="")
    print(f"{ratio:>11.2f}" + "".join(f"{figure:>11.1f}" for figure in (p50, p99, *spent)))


class Pushers:
    """Two foreign gateways, each a client process with a service key of its own, that report for all organizations' keys."""

    def __init__(self) -> None:
        from accounts.api_keys import issue_api_key
        from accounts.models import Organization
        from accounts.service_keys import add_source, issue_service_key

        now = datetime.now(UTC)
        self.secrets = []
        for number in range(CLIENTS):
            source = add_source(slug=f"bench-{number}", name=f"Gateway {number}", organizations=None, now=now)
            self.secrets.append(issue_service_key(source=source, name="bench", now=now)[1])
        organizations = Organization.objects.using("system").order_by("pk")[: record.ORGANIZATIONS]
        self.organizations = {
            organization.slug: [
                issue_api_key(organization=organization, name=f"key {number}", now=now, using="system")[0].pk
                for number in range(record.KEYS)
            ]
            for organization in organizations
        }

    def push(self, port: int, kind: Kind, seconds: float, *, watched: Sequence[int] = ()) -> Measured:
        """Events a second over all clients, from the first request's start to the last answer; `watched` processes' time."""
        start = time.time() + SECONDS_TO_PREPARE
        before = [seconds_of(pid) for pid in watched]
        answers = list(_answers([self._start(port, kind, seconds, start, secret) for secret in self.secrets]))
        after = [seconds_of(pid) for pid in watched]
        events = sum(answer["events"] for answer in answers)
        took = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
        spent = [end - begin for begin, end in zip(before, after, strict=True)] or [0.0, 0.0]
        spent.append(sum(answer["spent"] for answer in answers))
        return Measured(
            rate=events / took,
            latencies=[second for answer in answers for second in answer["latencies"]],
            spent=(spent[0] / events * 1e6, spent[1] / events * 1e6, spent[2] / events * 1e6),
        )

    def _start(self, port: int, kind: Kind, seconds: float, start: float, secret: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.pushing"],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin
        load = {
            "port": port, "secret": secret, "organizations": self.organizations, "models": record.MODELS,
            "models_used": record.MODELS_USED, "batch": kind.batch, "connections": kind.connections // CLIENTS,
            "events": max(kind.batch, int(kind.most / CLIENTS * seconds) // kind.batch * kind.batch),
            "seed": random.randrange(10**9), "start": start, "seconds": seconds,
        }  # fmt: skip
        process.stdin.write(json.dumps(load))
        process.stdin.close()
        return process


def _answers(processes: Sequence["subprocess.Popen[str]"]) -> Iterator[dict[str, Any]]:
    for process in processes:
        assert process.stdout
        answer = process.stdout.read()
        if process.wait():
            raise SystemExit("a client of the benchmark failed")
        yield json.loads(answer)


if __name__ == "__main__":
    main()
