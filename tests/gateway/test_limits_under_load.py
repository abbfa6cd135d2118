"""Five hundred calls at once, over two gateway processes, on money for some ninety of them – a small balance, or a hard limit of
the organization, a member or a key – while Redis is killed half-way: not one won is overspent, and none is refused that fits."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from threading import Event
from typing import Any

import aiohttp
import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import ApiKey
from config.launch import ports
from config.launch.servers import Valkey
from ledger.models import LimitWindow
from metering.limiting import set_limit
from tests import stories
from tests.gateway.conftest import furnished_house
from tests.gateway.running import House, RunningGateway, running_gateway, wait_until

CALLS = 500
MONEY = Decimal(1700)
DEAR = "lab/dear"
PRICE = {"prompt": "0.000001", "completion": "0.001"}
"""A token of the answer costs ₩1.815 with tax, one of the prompt a thousandth of it: what is held is nearly what is charged."""
BODY: Any = {
    "model": DEAR,
    "messages": [{"role": "user", "content": "안녕하세요"}],
    "max_tokens": 10,
    "metadata": {"sandbox_usage": '{"prompt_tokens": 20, "completion_tokens": 10}'},
}
COST = Decimal("1.1") * Decimal("1.1") * 1500 * (20 * Decimal("0.000001") + 10 * Decimal("0.001"))
WORST = Decimal(19)
"""Less than this may be left in the end."""
PATIENT = {"GATEWAY_FIRST_BYTE_SECONDS": "60", "GATEWAY_TOTAL_SECONDS": "90", "GATEWAY_COMMIT_SECONDS": "60"}


@pytest.fixture(scope="module")
def valkey(servers: psycopg.Connection[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Redis of our own, which may be killed; started by `redis_runs`."""
    yield Valkey(port=ports.free_port(), password="not-a-secret", log=tmp_path_factory.mktemp("valkey") / "log")


@pytest.fixture(scope="module")
def shared_house(module_database: str, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("gateway")
    with furnished_house(module_database, folder, REDIS_URL=valkey.url(), **PATIENT) as house:
        stories.make_model(DEAR, now=timezone.now(), pricing=PRICE)
        yield house


@pytest.fixture(scope="module")
def gateways(shared_house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningGateway]]:
    log = tmp_path_factory.mktemp("second") / "gateway.log"
    with running_gateway(shared_house.environment, log=log) as second:
        pair = [shared_house.gateway, second]
        yield pair


@pytest.fixture
def redis_runs(valkey: Valkey) -> Iterator[Any]:
    """The process of Redis; its group is what gets killed."""
    process = valkey.start()
    wait_until(lambda: ports.answers(valkey.port), seconds=20)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def constrained(which: str, slug: str) -> tuple[stories.Company, ApiKey, str]:
    """A company that may spend MONEY, for the reason `which`, by the key that is called with."""
    now = timezone.now()
    credit = MONEY if which == "balance" else Decimal(1_000_000)
    company = stories.make_company(slug, now=now, trial_credit=credit)
    key, secret = stories.make_key(company.organization, now=now, created_by=company.owner)
    limits: dict[str, dict[str, Any]] = {
        "organization": {"window": LimitWindow.DAY},
        "member": {"member": company.owner},
        "key": {"api_key": key, "window": LimitWindow.DAY},
    }
    if which in limits:
        set_limit(organization=company.organization, amount=MONEY, actor=None, now=now, **limits[which])
    return company, key, secret


async def call_all(gateways: list[RunningGateway], secret: str, half: Event) -> Counter[int]:
    """The statuses of CALLS calls that start together, one half to each process."""
    statuses: Counter[int] = Counter()
    pool = aiohttp.TCPConnector(limit=CALLS)
    patience = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(connector=pool, timeout=patience, headers=stories.bearer(secret)) as client:

        async def call(number: int) -> None:
            async with client.post(f"{gateways[number % 2].url}/v1/chat/completions", json=BODY) as answer:
                await answer.read()
            statuses[answer.status] += 1
            if statuses.total() == CALLS // 4:
                half.set()

        await asyncio.gather(*(call(number) for number in range(CALLS)))
    return statuses


def least_left(house: House, organization_id: int) -> Decimal:
    """What the balance and the limits of an organization leave at this moment, whichever is less."""
    [balance] = house.rows(
        "SELECT prepaid + credit_line - unbilled * (1 + tax_rate) - receivable - held AS free, tax_rate"
        " FROM ledger_balance WHERE organization_id = %s",
        organization_id,
    )
    limits = house.rows(
        "SELECT amount - spent * %s - held AS free FROM ledger_spendlimit WHERE organization_id = %s",
        1 + balance["tax_rate"],
        organization_id,
    )
    return Decimal(min(row["free"] for row in (balance, *limits)))


@pytest.mark.parametrize(("which", "rounds"), [("balance", 8), ("organization", 2), ("member", 2), ("key", 2)])
def test_not_one_won_is_overspent(
    house: House, gateways: list[RunningGateway], redis_runs: Any, which: str, rounds: int
) -> None:
    """Two processes meet at the balance within a millisecond or so; several rounds make it likely that they do."""
    for number in range(rounds):
        spend_all_at_once(house, gateways, redis_runs, *constrained(which, f"busy-{which}-{number}"))
    call_command("audit")


def spend_all_at_once(
    house: House,
    gateways: list[RunningGateway],
    redis: Any,
    company: stories.Company,
    key: ApiKey,
    secret: str,
) -> None:
    half, done, lowest = Event(), Event(), []

    def kill_redis() -> None:
        assert half.wait(90)
        with suppress(ProcessLookupError):  # of an earlier round
            os.killpg(redis.pid, signal.SIGKILL)

    def watch() -> None:
        while not done.wait(0.02):
            lowest.append(least_left(house, company.organization.pk))

    with ThreadPoolExecutor(2) as threads:
        killing, watching = threads.submit(kill_redis), threads.submit(watch)
        try:
            statuses = asyncio.run(call_all(gateways, secret, half))
        finally:
            half.set()
            done.set()
        killing.result()
        watching.result()

    assert statuses.keys() == {200, 402}
    assert min(lowest) >= 0
    assert house.rows(
        "SELECT count(*) AS calls, sum(amount) * 1.1 AS spent FROM metering_usageevent WHERE api_key_id = %s", key.pk
    ) == [{"calls": statuses[200], "spent": statuses[200] * COST}]
    assert 80 * COST < statuses[200] * COST <= MONEY
    while gateways[1].call("POST", "/v1/chat/completions", BODY, stories.bearer(secret))[0] == 200:
        pass
    left = least_left(house, company.organization.pk)
    assert 0 <= left < WORST, "what fits is admitted, to the last call"
