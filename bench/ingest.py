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

from bench import embedded, record
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
    rate: float
    latencies: Sequence[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of all measurements in turn; the median counts")
    options = parser.parse_args()
    with embedded.system():
        record.prepare()
        pushers = Pushers()
        with site() as port:
            measure_rounds(pushers, port, options.rounds, options.seconds)


def measure_rounds(pushers: "Pushers", port: int, rounds: int, seconds: float) -> None:
    pushers.push(port, Kind(100, 8, 0, 1_000), 1.0)  # both workers read the price book
    raw: list[float] = []
    pushed: dict[Kind, list[Measured]] = {kind: [] for kind in KINDS}
    for number in range(1, rounds + 1):
        raw.append(record.measure("record", 1000, CLIENTS, seconds))
        for kind in KINDS:
            pushed[kind].append(pushers.push(port, kind, seconds))
        shown = "  ".join(f"{kind.batch:,}: {pushed[kind][-1].rate:,.0f}" for kind in KINDS)
        print(f"round {number}: record {raw[-1]:,.0f}  {shown}", flush=True)
    print(
        f"\n{'what':<24} {'goal':>8} {'median':>8} {'least':>8} {'most':>8} {'× record':>9} {'p50 ms':>8} {'p99 ms':>8}"
    )
    print(
        f"{'record, batches of 1,000':<24} {'':>8} {statistics.median(raw):>8,.0f} {min(raw):>8,.0f} {max(raw):>8,.0f}"
    )
    for kind, results in pushed.items():
        rates = [result.rate for result in results]
        ratio = statistics.median(rate / alone for rate, alone in zip(rates, raw, strict=True))
        latencies = sorted(second for result in results for second in result.latencies)
        p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
        print(
            f"{f'HTTP, batches of {kind.batch:,}' if kind.batch > 1 else f'HTTP, single, {kind.connections} open':<24} "
            f"{kind.goal:>8,} {statistics.median(rates):>8,.0f} {min(rates):>8,.0f} {max(rates):>8,.0f} "
            f"{ratio:>9.2f} {p50:>8.1f} {p99:>8.1f}"
        )


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

    def push(self, port: int, kind: Kind, seconds: float) -> Measured:
        """Events a second over all clients, from the first request's start to the last answer."""
        start = time.time() + SECONDS_TO_PREPARE
        processes = [self._start(port, kind, seconds, start, secret) for secret in self.secrets]
        answers = list(_answers(processes))
        took = max(ended for _events, _began, ended, _latencies in answers) - min(
            began for _e, began, _x, _l in answers
        )
        return Measured(
            rate=sum(events for events, *_rest in answers) / took,
            latencies=[second for *_rest, latencies in answers for second in latencies],
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


def _answers(processes: Sequence["subprocess.Popen[str]"]) -> Iterator[tuple[int, float, float, list[float]]]:
    for process in processes:
        assert process.stdout
        answer = process.stdout.read()
        if process.wait():
            raise SystemExit("a client of the benchmark failed")
        yield json.loads(answer)


if __name__ == "__main__":
    main()
