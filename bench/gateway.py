"""Our gateway beside LiteLLM's proxy, Portkey's gateway and nginx, in one run (`make bench-gateway`).

All stand before the same upstream (`gateway_upstream`) and are driven by wrk in turns, round after round, so that what else the
machine does meets them all alike; medians are printed. Ours has its PostgreSQL on, with commits that reach the disk.
"""

import argparse
import os
import secrets
import statistics
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from bench import embedded, gateway_load, gateway_subjects
from bench.gateway_load import Measured
from bench.gateway_subjects import MODELS, Plan, Start, Subject
from config.launch import ports

SUBJECTS: dict[str, Start] = {
    "direct": gateway_subjects.upstream_alone,
    "nginx": gateway_subjects.nginx,
    "ours": gateway_subjects.ours,
    "without-commits": gateway_subjects.ours_without_commits,
    "portkey": gateway_subjects.portkey,
    "litellm": gateway_subjects.litellm,
}
WORKLOADS: dict[str, dict[str, int | bool]] = {
    "chat, 32 connections": {"connections": 32, "stream": False},
    "streams of 50 chunks, 32 connections": {"connections": 32, "stream": True},
    "chat, 1 connection": {"connections": 1, "stream": False},
}
IDLE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes of ours and of LiteLLM's")
    parser.add_argument(
        "--only", nargs="*", default=list(SUBJECTS), choices=list(SUBJECTS), help="subjects beside `direct`"
    )
    options = parser.parse_args()
    if gateway_subjects.found("wrk") is None:
        sys.exit("wrk is not here. On Debian: apt-get install wrk")
    chosen = [name for name in SUBJECTS if name == "direct" or name in options.only]
    if "nginx" in chosen and gateway_subjects.found("nginx") is None:
        print("nginx is not here (Debian: apt-get install nginx-light), so it is left out")
        chosen.remove("nginx")
    with embedded.system(), ExitStack() as stack:
        folder = Path(os.environ["VAR_DIR"])
        upstream = f"http://127.0.0.1:{ports.free_port()}"
        plan = Plan(upstream=upstream, secret=prepare(), workers=options.workers, folder=folder)
        subjects = [stack.enter_context(gateway_subjects.running(SUBJECTS[name], plan)) for name in chosen]
        print_throughput(subjects, rounds=options.rounds, seconds=options.seconds, folder=folder)
        print_streams(subjects)


def prepare() -> str:
    """A key of an organization that can pay for everything, and models at a price. Through the real functions."""
    import django

    django.setup()
    from django.db import connections

    from accounts.api_keys import issue_api_key
    from accounts.tenancy import tenant_scope
    from billing.onboarding import open_account
    from catalog import exchange_rates, markups, publishing
    from catalog.models import CostTable, LanguageModel
    from pricing.openrouter_pricing import parse_openrouter_pricing

    now = datetime.now(UTC)
    before = now - timedelta(days=100)
    table = CostTable.objects.using("system").create(slug=f"bench-{secrets.token_hex(2)}", name="Benchmark")
    markups.set_markup(markup=Decimal("0.10"), effective_from=before, now=now)
    last_month = (now.replace(day=1) - timedelta(days=2)).date()
    exchange_rates.publish_exchange_rate(rate=Decimal("1393.50"), published_on=last_month, source="bench", now=now)
    text = {"prompt": "0.0000001", "completion": "0.0000003"}
    sheet = parse_openrouter_pricing(text)
    assert sheet
    for slug in MODELS:
        model = LanguageModel.objects.using("system").create(
            slug=slug,
            page_slug=slug,
            cost_table=table,
            name=slug,
            provider="Bench",
            provider_slug="bench",
            created_at=before,
        )
        publishing.publish_cost_price(
            cost_table=table,
            language_model=model,
            sheet=sheet,
            effective_from=before,
            raw=text,
            origin="bench",
            now=now,
        )
    account = open_account(name="Bench", slug="bench", owner=None, now=now, credit_line=Decimal(10**9))
    with tenant_scope([account.pk]):
        _key, secret = issue_api_key(organization=account, name="bench", now=now)
    connections.close_all()
    return secret


def print_throughput(subjects: list[Subject], *, rounds: int, seconds: float, folder: Path) -> None:
    """Every workload: rounds in which all subjects take turns, then the medians."""
    for what, load in WORKLOADS.items():
        asked = [subject for subject in subjects if subject.streams or not load["stream"]]
        results: dict[str, list[Measured]] = {subject.name: [] for subject in asked}
        for number in range(rounds):
            for subject in asked if number % 2 == 0 else reversed(asked):
                measured = gateway_load.drive(
                    subject,
                    connections=int(load["connections"]),
                    stream=bool(load["stream"]),
                    seconds=seconds,
                    folder=folder,
                )
                results[subject.name].append(measured)
        print(f"\n{what:<40} {'a second':>10} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>7}   how")
        for subject in asked:
            taken = results[subject.name]
            names = ("rate", "p50", "p99", "cpu")
            rate, p50, p99, cpu = (statistics.median(getattr(one, name) for one in taken) for name in names)
            print(f"{subject.name:<40} {rate:>10,.0f} {p50:>8.2f} {p99:>8.2f} {cpu:>7.2f}   {subject.note}", flush=True)


def print_streams(subjects: list[Subject]) -> None:
    """When the first chunk arrives, and what streams that wait cost."""
    print(f"\n{'':<40} {'first chunk ms':>15} {f'{IDLE:,} idle streams, MiB':>25}")
    for subject in [subject for subject in subjects if subject.streams]:
        soon = statistics.median(gateway_load.first_chunk(subject) for _number in range(5))
        try:
            grown = f"{gateway_load.idle_streams(subject, count=IDLE):.0f}"
        except TimeoutError:
            grown = "not all began within 30 s"
        print(f"{subject.name:<40} {soon:>15.1f} {grown:>25}", flush=True)


if __name__ == "__main__":
    main()
