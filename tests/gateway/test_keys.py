"""Keys are remembered for seconds, refused ones as well, and looked up once however many ask."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError

from accounts.api_keys import API_PREFIX, InvalidKey, KeyIdentity, new_secret
from catalog.price_book import PUBLIC_TERMS
from gateway.errors import Unauthenticated, Unavailable
from gateway.keys import Caller, KeyCache

NOW = datetime(2026, 11, 22, tzinfo=UTC)
IDENTITY = KeyIdentity(
    api_key_id=1,
    organization_id=1,
    organization_slug="acme",
    organization_status="active",
    zone="Asia/Seoul",
    currency="KRW",
    exchange_policy="monthly",
    scopes=frozenset({"inference"}),
    allowed_models=frozenset(),
    expires_at=None,
)
CALLER = Caller(identity=IDENTITY, terms=PUBLIC_TERMS, tax_rate=Decimal("0.1"))
SECRET = new_secret(API_PREFIX)


class Tables:
    """Counts the look-ups and answers as told."""

    def __init__(self) -> None:
        self.answer: Caller | Exception = CALLER
        self.asked = 0

    def look_up(self, secret: str) -> Caller:
        self.asked += 1
        time.sleep(0.02)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def cache(tables: Tables) -> KeyCache:
    return KeyCache(seconds=0.2, threads=ThreadPoolExecutor(4), look_up=tables.look_up)


async def test_one_look_up_serves_all_who_ask(cache: KeyCache, tables: Tables) -> None:
    callers = await asyncio.gather(*(cache.find(SECRET, now=NOW) for _call in range(50)))
    assert set(map(id, callers)) == {id(CALLER)}
    assert tables.asked == 1


async def test_a_revocation_is_seen_when_the_seconds_are_over(cache: KeyCache, tables: Tables) -> None:
    await cache.find(SECRET, now=NOW)
    tables.answer = InvalidKey()
    assert await cache.find(SECRET, now=NOW) is CALLER
    await asyncio.sleep(0.25)
    with pytest.raises(Unauthenticated):
        await cache.find(SECRET, now=NOW)
    with pytest.raises(Unauthenticated):
        await cache.find(SECRET, now=NOW)
    assert tables.asked == 2, "a refusal is remembered as well"


async def test_mistyped_keys_are_not_looked_up(cache: KeyCache, tables: Tables) -> None:
    for wrong in ("", "x", SECRET[:-1], SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b"), "idk_live_" + "가" * 38):
        with pytest.raises(Unauthenticated):
            await cache.find(wrong, now=NOW)
    assert tables.asked == 0


async def test_a_remembered_key_still_expires(cache: KeyCache, tables: Tables) -> None:
    tables.answer = replace(CALLER, identity=replace(IDENTITY, expires_at=NOW + timedelta(seconds=1)))
    await cache.find(SECRET, now=NOW)
    with pytest.raises(Unauthenticated):
        await cache.find(SECRET, now=NOW + timedelta(seconds=1))


async def test_the_database_is_away(cache: KeyCache, tables: Tables) -> None:
    await cache.find(SECRET, now=NOW)
    tables.answer = OperationalError()
    assert await cache.find(SECRET, now=NOW) is CALLER
    await asyncio.sleep(0.25)
    with pytest.raises(Unavailable):
        await cache.find(SECRET, now=NOW)
    tables.answer = CALLER
    assert await cache.find(SECRET, now=NOW) is CALLER
