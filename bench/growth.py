"""Does it stay as fast as it grows? (`make bench-growth`): pushed usage at 100,000 to ten million stored events, and the overview.

Each size is a copy of a database of `bench.data` with a site of its own; rounds alternate between them, so that a machine that is
busy for a while slows all of them. The first round is shown and not counted: after a copy every page is written whole into
the log once, as after a checkpoint.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from bench import data, growth_curve
from bench.ingest import Kind, Pushers
from bench.site import site
from config.launch.places import CHECKOUT

PUSH = Kind(1000, 4, 0, 60_000)
GOAL, GOAL_MS = 0.8, 50
CURVE = CHECKOUT / "docs" / "images" / "ingestion-growth.svg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="that count; the median is shown")
    parser.add_argument("--draw", action="store_true", help=f"the curve into {CURVE.relative_to(CHECKOUT)}")
    parser.add_argument("--step", choices=["pushers", "overview"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        {"pushers": print_pushers, "overview": print_overview}[options.step]()
        return
    with data.fixture() as postgres, ExitStack() as stack:
        urls = {events: stack.enter_context(data.scratch(postgres, events)) for events in data.SIZES}
        with _database(urls[data.SIZES[-1]]):
            _step("overview")
        rates = measure(stack, urls, options.rounds, options.seconds)
    medians = {events: statistics.median(found) for events, found in rates.items()}
    least = medians[data.SIZES[0]]
    print(f"\n{'stored':>12} {'events/s':>10} {'least':>10} {'most':>10} {'× smallest':>11}   goal {GOAL}")
    for events, found in rates.items():
        print(
            f"{events:>12,} {medians[events]:>10,.0f} {min(found):>10,.0f} {max(found):>10,.0f} {medians[events] / least:>11.2f}"
        )
    if options.draw:
        CURVE.parent.mkdir(exist_ok=True)
        CURVE.write_text(growth_curve.drawn(rates, goal=GOAL))


def measure(stack: ExitStack, urls: dict[int, str], rounds: int, seconds: float) -> dict[int, list[float]]:
    """Events a second at each size, of every round that counts."""
    targets = {}
    for events, url in urls.items():
        with _database(url):
            pushers = Pushers.__new__(Pushers)
            pushers.secrets, pushers.organizations = json.loads(_step("pushers", quiet=True))
            targets[events] = (pushers, stack.enter_context(site())[0])
    rates: dict[int, list[float]] = {events: [] for events in urls}
    for number in range(rounds + 1):
        found = {events: pushers.push(port, PUSH, seconds).rate for events, (pushers, port) in targets.items()}
        name = f"round {number}" if number else "warming up"
        print(f"{name}: " + "  ".join(f"{events:,}: {rate:,.0f}" for events, rate in found.items()), flush=True)
        for events, rate in found.items() if number else ():
            rates[events].append(rate)
    return rates


@contextmanager
def _database(url: str) -> Iterator[None]:
    os.environ["DATABASE_URL"] = url
    yield


def _step(name: str, *, quiet: bool = False) -> str:
    command = [sys.executable, "-m", "bench.growth", "--step", name]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, text=True, stdout=subprocess.PIPE if quiet else None)
    return done.stdout or ""


def print_pushers() -> None:
    import django

    django.setup()
    pushers = Pushers()
    json.dump([pushers.secrets, pushers.organizations], sys.stdout)


def print_overview() -> None:
    """How long the biggest organization waits for what the dashboard's overview and GET /api/v1/usage ask."""
    import django

    django.setup()
    from accounts.models import Organization
    from accounts.tenancy import tenant_scope
    from billing.estimates import open_periods
    from dashboard.overview import SHOWN_GROUPS, figures_of, state_of
    from ledger.models import Balance
    from ledger.periods import month_bounds
    from metering.biggest_shares import biggest_shares
    from metering.models import UsageEvent, UsageRollup
    from metering.usage_queries import usage_by

    now = datetime.now(UTC)
    organization = Organization.objects.using("system").order_by("pk")[0]
    start, end = month_bounds(now, zone=organization.zone)
    since = data.month_starts()[0]

    def overview() -> None:
        balance = Balance.objects.for_organization(organization).get()
        state_of(organization, balance, {}, now=now)
        figures_of(organization, balance, now=now)

    queries: dict[str, Callable[[], object]] = {"the whole overview": overview}
    for grouping in ("day", "model", "api_key"):
        queries[f"this month by {grouping}"] = lambda by=grouping: usage_by(
            organization=organization, start=start, end=end, group_by=by
        )
    for grouping in ("day", "model"):
        queries[f"all {len(data.MONTHS)} months by {grouping}"] = lambda by=grouping: usage_by(
            organization=organization, start=since, end=end, group_by=by
        )
    queries["biggest models and keys"] = lambda: biggest_shares(
        organization=organization, start=start, end=end, at_most=SHOWN_GROUPS
    )
    queries["estimate of the month"] = lambda: open_periods(organization=organization, now=now)
    with tenant_scope([organization.pk]):
        counts = [model.objects.for_organization(organization) for model in (UsageEvent, UsageRollup)]
        events, rollups = (rows.count() for rows in counts)
        print(f"{events:,} of {data.SIZES[-1]:,} events are of one organization, in {rollups:,} rollups")
        print(f"{'what':<26} {'p50 ms':>8} {'p95 ms':>8}   goal {GOAL_MS}")
        for name, query in queries.items():
            p50, p95 = quantiles(query)
            print(f"{name:<26} {p50:>8.1f} {p95:>8.1f}", flush=True)


def quantiles(query: Callable[[], object], *, times: int = 60) -> tuple[float, float]:
    """Milliseconds that half and that 95 % of the calls stay below."""
    query()
    took = []
    for _time in range(times):
        began = time.perf_counter()
        query()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return took[times // 2], took[int(times * 0.95)]


if __name__ == "__main__":
    main()
