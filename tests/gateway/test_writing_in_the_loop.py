"""The event loop's writer: what waits shares a message, nothing keeps the loop waiting, what fails is left to those who decide."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from accounts.loop_connection import LoopConnection
from accounts.round_trips import Rows, Step
from accounts.tenancy import tenant_scope
from gateway import writing_in_the_loop
from gateway.writers import Writers
from gateway.writing_together import UNDECIDED, write_together
from ledger.event_ids import new_id
from ledger.group_commit import WriterStopped
from ledger.holds import HoldRequest
from ledger.models import Balance
from metering import recording_at_once
from metering.models import UsageEvent
from metering.reports import Outcome, Status, UsageReport
from tests import stories
from tests.stories import NOON, usage_report, use


@pytest.fixture
def cast(db: None) -> stories.Cast:
    """Everybody has used something twice, and their terms are remembered from the second time."""
    cast = stories.meet_the_cast(now=NOON)
    for company in (cast.acme, cast.globex):
        use(company.organization, at=NOON)
    first = write_together([hold(cast.acme, 0), ended(cast.acme), ended(cast.globex)], now=NOON)
    assert UNDECIDED not in first
    return cast


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[int]]]:
    """Of each message that the loop has sent: whose rows it was about."""
    sent: list[list[int]] = []
    real = LoopConnection.in_tenant_scope

    async def watched(self: LoopConnection, organization_ids: Iterable[int], steps: Sequence[Step]) -> list[Rows]:
        organizations = list(organization_ids)
        sent.append(organizations)
        return await real(self, organizations, steps)

    monkeypatch.setattr(LoopConnection, "in_tenant_scope", watched)
    yield sent


def hold(company: stories.Company, amount: int = 100) -> HoldRequest:
    return HoldRequest(
        organization_id=company.organization.pk,
        id=new_id(NOON),
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
        api_key_id=company.key.pk,
        model_id=1,
        amount=Decimal(amount),
        request_id="req",
        upstream="test",
    )


def ended(company: stories.Company) -> UsageReport:
    return usage_report(company.organization, at=NOON)


def held(company: stories.Company) -> int:
    with tenant_scope([company.organization.pk]):
        return int(Balance.objects.get(pk=company.organization.pk).held)


def number_of_events(company: stories.Company) -> int:
    with tenant_scope([company.organization.pk]):
        return UsageEvent.objects.for_organization(company.organization).count()


def in_a_loop(work: Callable[[Writers], Awaitable[None]]) -> None:
    async def run() -> None:
        writers = Writers()
        try:
            async with asyncio.timeout(60):
                await work(writers)
        finally:
            await writers.stop()

    asyncio.run(run())


def test_what_waits_while_a_message_is_under_way_shares_the_next_one(
    cast: stories.Cast, messages: list[list[int]]
) -> None:
    acme, globex = cast.acme.organization.pk, cast.globex.organization.pk
    reports = ended(cast.acme), ended(cast.globex)

    async def call(writers: Writers) -> None:
        first = writers.together.ask([hold(cast.acme)])
        while not messages:
            await asyncio.sleep(0)
        others = [writers.together.ask([item]) for item in (reports[0], hold(cast.globex, 30), reports[1])]
        assert await first == [None]
        (of_acme,), (of_hold,), (of_globex,) = await asyncio.gather(*others)
        assert of_hold is None
        assert isinstance(of_acme, Outcome) and isinstance(of_globex, Outcome)
        assert (of_acme.status, of_globex.status) == (Status.ACCEPTED, Status.ACCEPTED)

    in_a_loop(call)
    assert messages == [[acme], [acme, globex]]
    assert (held(cast.acme), held(cast.globex)) == (100, 30)
    assert (number_of_events(cast.acme), number_of_events(cast.globex)) == (3, 3)
    call_command("audit")


def test_what_must_be_asked_first_is_asked_by_a_thread_and_then_known(
    cast: stories.Cast, messages: list[list[int]]
) -> None:
    reports = [ended(cast.acme) for _time in range(3)]
    recording_at_once.forget()

    async def call(writers: Writers) -> None:
        for number_of_messages, report in enumerate(reports):
            [answer] = await writers.together.ask([report])
            assert isinstance(answer, Outcome) and answer.status is Status.ACCEPTED
            assert len(messages) == number_of_messages

    in_a_loop(call)
    assert number_of_events(cast.acme) == 5
    call_command("audit")


def test_a_message_is_no_longer_than_the_loop_can_be_kept_busy(
    cast: stories.Cast, messages: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_in_the_loop, "MOST_AT_ONCE", 3)

    async def call(writers: Writers) -> None:
        answers = await asyncio.gather(*(writers.together.ask([hold(cast.acme, 1)]) for _number in range(8)))
        assert answers == [[None]] * 8

    in_a_loop(call)
    assert len(messages) == 3
    assert held(cast.acme) == 8


def test_what_nobody_waits_for_any_longer_is_not_written(cast: stories.Cast) -> None:
    async def call(writers: Writers) -> None:
        left, stays = writers.together.ask([hold(cast.acme)]), writers.together.ask([hold(cast.acme, 7)])
        left.cancel()
        assert await stays == [None]

    in_a_loop(call)
    assert held(cast.acme) == 7


def test_a_lost_connection_leaves_its_calls_undecided_and_the_next_ones_get_another(
    cast: stories.Cast, servers: psycopg.Connection[tuple[object, ...]]
) -> None:
    def end_all_sessions() -> None:
        servers.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [connections["default"].settings_dict["NAME"]],
        )

    async def call(writers: Writers) -> None:
        assert await writers.together.ask([hold(cast.acme)]) == [None]
        await asyncio.to_thread(end_all_sessions)
        assert await writers.together.ask([hold(cast.acme)]) == [UNDECIDED]
        assert await writers.together.ask([hold(cast.acme)]) == [None]

    in_a_loop(call)
    connections.close_all()  # the test's own were ended, too
    assert held(cast.acme) == 200


def test_an_item_that_cannot_be_written_takes_none_of_the_others_with_it(cast: stories.Cast) -> None:
    poisoned, good = usage_report(cast.globex.organization, at=NOON, end_user="a\x00b"), ended(cast.acme)

    async def call(writers: Writers) -> None:
        answers = await asyncio.gather(*(writers.together.ask([item]) for item in (good, poisoned)))
        assert answers == [[UNDECIDED], [UNDECIDED]]
        [outcome] = await writers.record.ask([good])
        assert outcome.status is Status.ACCEPTED

    in_a_loop(call)
    assert (number_of_events(cast.acme), number_of_events(cast.globex)) == (3, 2)


def test_stopping_writes_what_waits_and_refuses_what_comes(cast: stories.Cast) -> None:
    async def call(writers: Writers) -> None:
        waiting = [writers.together.ask([hold(cast.acme, 1)]) for _number in range(20)]
        await writers.stop()
        assert [future.result() for future in waiting] == [[None]] * 20
        with pytest.raises(WriterStopped):
            writers.together.ask([hold(cast.acme)])

    in_a_loop(call)
    assert held(cast.acme) == 20
