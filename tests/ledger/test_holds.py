"""A limit cannot be overspent: the worst case is reserved first, and every hold is resolved once."""

import threading
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import tenant_scope
from ledger import holds, questions
from ledger.balances import available
from ledger.event_ids import new_id
from ledger.group_commit import GroupCommit
from ledger.models import Balance, Hold, HoldStatus
from ledger.questions import HoldNote
from tests import stories
from tests.stories import NOON


@pytest.fixture
def acme(db: None) -> stories.Company:
    """Has the trial credit of ₩5,000 and nothing else."""
    return stories.meet_the_cast(now=NOON).acme


def request(company: stories.Company, amount: int, hold_id: UUID | None = None) -> holds.HoldRequest:
    return holds.HoldRequest(
        organization_id=company.organization.pk,
        id=hold_id or new_id(NOON),
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=15),
        api_key_id=company.key.pk,
        model_id=1,
        amount=Decimal(amount),
        request_id="req",
        upstream="test",
    )


def balance(company: stories.Company) -> Balance:
    with tenant_scope([company.organization.pk]):
        return Balance.objects.get(pk=company.organization.pk)


def test_a_batch_is_admitted_in_order_while_it_fits(acme: stories.Company) -> None:
    answers = holds.reserve([request(acme, 3000), request(acme, 3000), request(acme, 2000), request(acme, 1)])
    assert [answer is None for answer in answers] == [True, False, True, False]
    assert balance(acme).held == 5000
    assert available(balance(acme)) == 0


def test_who_can_pay_for_all_is_reserved_in_one_round_trip(acme: stories.Company) -> None:
    assert holds.reserve([request(acme, 1)]) == [None]  # has the statement parsed, once a connection
    with CaptureQueriesContext(connections["default"]) as asked:
        assert holds.reserve([request(acme, 10), request(acme, 20)]) == [None, None]
    assert len([query for query in asked if "EXECUTE" in query["sql"]]) == 1
    assert balance(acme).held == 31


def test_a_balance_is_looked_at_again_after_its_lock_was_waited_for(acme: stories.Company) -> None:
    """What another transaction reserves meanwhile is not there any more."""
    results: list[holds.Refusal | None] = []
    with transaction.atomic(using="system"):
        Balance.objects.using("system").filter(pk=acme.organization.pk).update(held=4000)
        waiting = threading.Thread(target=lambda: results.extend(in_a_thread([request(acme, 3000)])))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join()
    assert isinstance(results[0], holds.InsufficientFunds)
    assert balance(acme).held == 4000


def in_a_thread(requests: list[holds.HoldRequest]) -> list[holds.Refusal | None]:
    try:
        return holds.reserve(requests)
    finally:
        connections.close_all()


def test_two_hundred_calls_at_once_never_overspend(acme: stories.Company) -> None:
    admitted: list[bool] = []
    writers = [GroupCommit(holds.reserve, name=f"reserve-{number}") for number in range(2)]

    def call(number: int) -> None:
        for _turn in range(25):
            [answer] = writers[number % 2].submit([request(acme, 37)]).result(timeout=30)
            admitted.append(answer is None)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for writer in writers:
        writer.stop()

    assert len(admitted) == 200
    assert sum(admitted) == 5000 // 37
    assert balance(acme).held == 37 * (5000 // 37)
    call_command("audit")


def test_a_hold_whose_commit_was_not_acknowledged_is_not_reserved_twice(acme: stories.Company) -> None:
    same = request(acme, 2000)
    holds.reserve([same])
    holds.reserve([same])
    assert balance(acme).held == 2000
    call_command("audit")


def test_a_hold_whose_commit_was_not_acknowledged_does_not_stand_in_its_own_way(acme: stories.Company) -> None:
    batch = [request(acme, 3000), request(acme, 2500), request(acme, 1500)]
    for _attempt in range(2):
        answers = holds.reserve(batch)
        assert [answer is None for answer in answers] == [True, False, True]
    assert balance(acme).held == 4500
    call_command("audit")


def test_a_released_hold_gives_its_money_back_once(acme: stories.Company) -> None:
    hold_id = new_id(NOON)
    holds.reserve([request(acme, 2000, hold_id)])
    release = [holds.release(organization_id=acme.organization.pk, hold_id=hold_id, now=NOON) for _attempt in range(2)]
    assert release == [True, False]
    assert balance(acme).held == 0


def test_an_expired_hold_becomes_a_question_not_free_money(acme: stories.Company) -> None:
    hold_id = new_id(NOON)
    holds.reserve([request(acme, 2000, hold_id)])
    assert questions.question_expired(now=NOON + timedelta(minutes=14)) == 0
    assert questions.question_expired(now=NOON + timedelta(minutes=15)) == 1
    with tenant_scope([acme.organization.pk]):
        assert Hold.objects.get(id=hold_id).status == HoldStatus.QUESTIONED
    assert balance(acme).held == 2000
    call_command("audit")


def test_the_generation_is_noted_while_the_call_runs(acme: stories.Company) -> None:
    hold_id = new_id(NOON)
    holds.reserve([request(acme, 10, hold_id)])
    questions.note(
        [
            HoldNote(
                organization_id=acme.organization.pk,
                hold_id=hold_id,
                upstream="openrouter",
                model_id=1,
                generation_id="gen-1",
                questioned=False,
            )
        ]
    )
    with tenant_scope([acme.organization.pk]):
        assert Hold.objects.get(id=hold_id).generation_id == "gen-1"


def test_a_neighbour_can_neither_see_nor_release_a_hold(acme: stories.Company) -> None:
    hold_id = new_id(NOON)
    holds.reserve([request(acme, 2000, hold_id)])
    other = acme.organization.pk + 1
    assert holds.release(organization_id=other, hold_id=hold_id, now=NOON) is False
    with tenant_scope([other]):
        assert not Hold.objects.exists()
    connections.close_all()
