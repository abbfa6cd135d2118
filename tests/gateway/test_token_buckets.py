"""Buckets give a minute's worth at once and fill evenly: here and in Redis by the same rules."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from gateway.asks import read_ask
from gateway.rate_limits import RateLimiter, duration
from gateway.shared_buckets import SharedBuckets
from gateway.token_buckets import Level, LocalBuckets, Take
from tests.gateway.test_keys import IDENTITY


def test_a_bucket_fills_evenly() -> None:
    buckets = LocalBuckets()
    one = [Take("a", 60, 1)]
    assert [buckets.take(one, now_ms=0)[0].left for _turn in range(60)] == list(range(59, -1, -1))
    assert buckets.take(one, now_ms=0) == [Level(0, 1000)]
    assert buckets.take(one, now_ms=400) == [Level(0, 600)]
    assert buckets.take(one, now_ms=1000) == [Level(0, 0)]
    assert buckets.take(one, now_ms=10_000_000) == [Level(59, 0)], "it holds a minute's worth and no more"


Run = Callable[[Any], Any]
PATIENCE = 0.5


@pytest.fixture
def shared(redis_url: str) -> Iterator[tuple[SharedBuckets, Run]]:
    with asyncio.Runner() as runner:
        buckets = SharedBuckets(redis_url, patience=PATIENCE)
        runner.run(buckets.connect())
        yield buckets, runner.run
        runner.run(buckets.close())


def takes(*amounts: int, limit: int = 100) -> list[Take]:
    return [Take(name, limit, amount) for name, amount in zip("abcd", amounts, strict=False)]


def test_all_or_nothing(shared: tuple[SharedBuckets, Run]) -> None:
    local, (buckets, run) = LocalBuckets(), shared

    async def both(wish: Sequence[Take]) -> list[Level]:
        here, there = local.take(wish, now_ms=0), await buckets.take(wish)
        assert there is not None
        assert [level.wait_ms > 0 for level in there] == [level.wait_ms > 0 for level in here]
        assert all(abs(one.left - other.left) <= 2 for one, other in zip(here, there, strict=True))
        return here

    assert [level.left for level in run(both(takes(60, 10)))] == [40, 90]
    refused = run(both(takes(60, 10)))
    assert [(level.left, level.wait_ms > 0) for level in refused] == [(40, True), (90, False)]
    assert [level.left for level in run(both(takes(40, 90)))] == [0, 0]


def test_what_was_taken_too_much_or_too_little_is_put_back(shared: tuple[SharedBuckets, Run]) -> None:
    local, (buckets, run) = LocalBuckets(), shared

    async def tell() -> list[list[Level] | None]:
        await buckets.take(takes(80))
        buckets.put_back(takes(50))
        between = await buckets.take(takes(0))
        buckets.put_back(takes(-200))
        return [between, await buckets.take(takes(1))]

    between, after = run(tell())
    assert between is not None and after is not None
    assert 70 <= between[0].left <= 75
    assert after[0].wait_ms > 60_000, "the debt fills up like the rest"
    local.take(takes(80), now_ms=0)
    local.put_back(takes(50), now_ms=0)
    assert local.take(takes(0), now_ms=0)[0].left == 70
    local.put_back(takes(-200), now_ms=0)
    assert local.take(takes(1), now_ms=0)[0].wait_ms == 78_600


def test_what_is_larger_than_the_limit_goes_alone(shared: tuple[SharedBuckets, Run]) -> None:
    local, (buckets, run) = LocalBuckets(), shared
    assert local.take(takes(150), now_ms=0) == run(buckets.take(takes(150))) == [Level(0, 0)]
    assert local.take(takes(1), now_ms=0)[0].wait_ms == 30_600
    assert run(buckets.take(takes(1)))[0].wait_ms > 30_000


def test_many_at_once_take_exactly_what_there_is(shared: tuple[SharedBuckets, Run], redis_url: str) -> None:
    buckets, run = shared

    async def all_at_once() -> int:
        others = SharedBuckets(redis_url, patience=PATIENCE)
        await others.connect()
        try:
            answers = await asyncio.gather(*((buckets, others)[turn % 2].take(takes(1)) for turn in range(500)))
        finally:
            await others.close()
        return sum(answer is not None and not answer[0].wait_ms for answer in answers)

    assert 100 <= run(all_at_once()) <= 102


def test_a_silent_redis_is_asked_once_and_then_left_alone(shared: tuple[SharedBuckets, Run]) -> None:
    _shared, run = shared
    connections = []

    async def ask() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        buckets = SharedBuckets(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", patience=PATIENCE)
        await buckets.connect()
        assert await buckets.take(takes(1)) is None
        assert await asyncio.gather(*(buckets.take(takes(1)) for _turn in range(100))) == [None] * 100
        await buckets.close()
        server.close()
        for writer in connections:
            writer.close()

    run(ask())
    assert len(connections) == 1


def test_a_redis_that_stops_answering_is_given_up_and_found_again(
    shared: tuple[SharedBuckets, Run], redis_url: str
) -> None:
    buckets, run = shared

    async def ask() -> None:
        assert await buckets.take(takes(1)) is not None
        async with redis.asyncio.Redis.from_url(redis_url) as other:
            await other.client_pause(round(PATIENCE * 3000))
        assert await buckets.take(takes(1)) is None, "it is not waited for"
        assert await buckets.take(takes(1)) is None
        async with asyncio.timeout(PATIENCE * 30):
            while await buckets.take(takes(1)) is None:
                await buckets.connect()

    run(ask())


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (340, "340ms"), (1000, "1s"), (7660, "7.66s"), (60_000, "1m0s"), (90_500, "1m30.5s")],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


def test_the_largest_call_leaves_the_others_their_buckets(
    shared: tuple[SharedBuckets, Run], redis_url: str, settings: Any
) -> None:
    """Redis takes no time beyond its integers: one call that asked for so much would have ended the script for all."""
    _buckets, run = shared
    settings.REDIS_URL, settings.RATE_LIMIT_SECONDS_FOR_REDIS = redis_url, PATIENCE
    prompts = read_ask({"model": "m", "prompt": ["x"] * 1_000_000, "n": 128, "max_tokens": 10**9})

    async def take() -> list[bool]:
        limiter = RateLimiter()
        await limiter.start()
        identity = replace(IDENTITY, key_tokens=1)
        allowances = [await limiter.take(identity, prompts, prompt_bytes=1, cap=10**9)]
        limiter.correct(allowances[0], tokens=0)
        allowances.append(await limiter.take(identity, prompts, prompt_bytes=1, cap=1))
        await limiter.close()
        return [allowance.is_shared for allowance in allowances]

    assert run(take()) == [True, True]
