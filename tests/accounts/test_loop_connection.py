"""What travels from an event loop is the same transaction as from a thread; a lost connection is told to whoever waits."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import psycopg
import pytest
from django.db import DataError

from accounts.loop_connection import LoopConnection
from accounts.models import Organization
from accounts.round_trips import Rows, Statement
from tests import stories
from tests.stories import NOON

NAME = Statement("UPDATE accounts_organization SET name = %s WHERE id = ANY(%s) RETURNING id, slug")
SAY = Statement("SELECT %s::text, %s::text[], %s::int")
BREAK = Statement("INSERT INTO accounts_organization (id) VALUES (%s)")
SLEEP = Statement("SELECT pg_sleep(%s)")
WHO = Statement("SELECT pg_backend_pid(), current_setting(%s), %s::uuid")
SOME_ID = UUID("0190b0e5-0000-7000-8000-000000000001")
WHO_ASKS = ["TimeZone", SOME_ID]


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


def name_of(company: stories.Company) -> str:
    return Organization.objects.using("system").get(pk=company.organization.pk).name


def in_a_loop(work: Callable[[LoopConnection], Awaitable[None]]) -> None:
    async def run() -> None:
        connection = await LoopConnection.open()
        try:
            await work(connection)
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.mark.parametrize("text", ["it's", 'a "b" \\ c', "100 %s", "{a,b}", "NULL", "", "'; COMMIT; --", "금액 ₩"])
def test_texts_arrive_as_they_are(cast: stories.Cast, text: str) -> None:
    async def say(connection: LoopConnection) -> None:
        assert await connection.in_tenant_scope([], [(SAY, [text, [text, None, text], None])]) == [
            [(text, [text, None, text], None)]
        ]

    in_a_loop(say)


def test_a_message_longer_than_a_socket_takes_at_once_arrives_whole(cast: stories.Cast) -> None:
    async def say(connection: LoopConnection) -> None:
        long = "금" * 3_000_000
        assert await connection.in_tenant_scope([], [(SAY, [long, [], 1])]) == [[(long, [], 1)]]

    in_a_loop(say)


def test_it_is_committed_for_those_in_scope_and_nobody_else(cast: stories.Cast) -> None:
    both = [cast.acme.organization.pk, cast.globex.organization.pk]
    told: list[Rows] = []

    async def rename(connection: LoopConnection) -> None:
        told.extend(await connection.in_tenant_scope(both[:1], [(NAME, ["renamed", both]), (NAME, ["renamed", []])]))

    in_a_loop(rename)
    acme = cast.acme.organization
    assert told == [[(acme.pk, acme.slug)], []]
    assert name_of(cast.acme) == "renamed" != name_of(cast.globex)


def test_nothing_is_kept_if_a_later_step_fails_and_the_connection_goes_on(cast: stories.Cast) -> None:
    ours = [cast.acme.organization.pk]

    async def rename(connection: LoopConnection) -> None:
        for _time in range(2):
            with pytest.raises(psycopg.IntegrityError):
                await connection.in_tenant_scope(ours, [(NAME, ["first", ours]), (BREAK, [1])])
            assert connection.is_usable
        with pytest.raises(DataError):
            await connection.in_tenant_scope(ours, [(NAME, ["a\x00b", ours])])
        assert connection.is_usable
        await connection.in_tenant_scope(ours, [(NAME, ["second", ours])])

    in_a_loop(rename)
    assert name_of(cast.acme) == "second"


def test_moments_and_ids_are_read_as_everywhere_else(cast: stories.Cast) -> None:
    async def look(connection: LoopConnection) -> None:
        [[(_pid, zone, some_id)]] = await connection.in_tenant_scope([], [(WHO, WHO_ASKS)])
        assert (zone, some_id) == ("UTC", SOME_ID)

    in_a_loop(look)


@pytest.mark.parametrize("moment", ["under way", "at rest"])
def test_a_lost_connection_is_told_and_not_used_again(
    cast: stories.Cast, servers: psycopg.Connection[tuple[object, ...]], moment: str
) -> None:
    def end_the_session(pid: int) -> None:
        servers.execute("SELECT pg_terminate_backend(%s)", [pid])

    async def lose(connection: LoopConnection) -> None:
        [[(pid, _zone, _id)]] = await connection.in_tenant_scope([], [(WHO, WHO_ASKS)])
        if moment == "under way":
            asking = asyncio.ensure_future(connection.in_tenant_scope([], [(SLEEP, [60])]))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(end_the_session, pid)
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(asking, 30)
        else:
            await asyncio.to_thread(end_the_session, pid)
            async with asyncio.timeout(30):
                while connection.is_usable:
                    await asyncio.sleep(0.01)
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(connection.in_tenant_scope([], [(WHO, WHO_ASKS)]), 30)
        assert not connection.is_usable

    in_a_loop(lose)


def test_whoever_waits_hears_that_the_connection_was_closed(cast: stories.Cast) -> None:
    async def close(connection: LoopConnection) -> None:
        asking = asyncio.ensure_future(connection.in_tenant_scope([], [(SLEEP, [60])]))
        await asyncio.sleep(0.2)
        await connection.close()
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(asking, 30)

    in_a_loop(close)
