"""A caller's name for a call is claimed with its hold, once, whoever else tries."""

import threading
from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace

from accounts.tenancy import tenant_scope
from ledger import holds
from ledger.call_keys import RepeatedCall, digest_of
from ledger.event_ids import new_id
from ledger.holds import HoldRequest, Refusal
from ledger.models import CallKey
from tests import stories
from tests.ledger.test_holds import balance, request
from tests.stories import NOON


@pytest.fixture
def acme(db: None) -> stories.Company:
    return stories.meet_the_cast(now=NOON).acme


def named(company: stories.Company, name: str, request_id: str, amount: int = 1) -> HoldRequest:
    return replace(request(company, amount), call_key=digest_of(name), request_id=request_id)


def first_of(refusal: Refusal | None) -> UUID | None:
    return refusal.hold_id if isinstance(refusal, RepeatedCall) else None


def test_of_one_batch_the_first_has_the_name(acme: stories.Company) -> None:
    first, second, other = (named(acme, name, req) for name, req in [("a", "1"), ("a", "2"), ("b", "3")])
    answers = holds.reserve([first, second, other])
    assert [first_of(answer) for answer in answers] == [None, first.id, None]
    assert balance(acme).held == 2
    assert first_of(holds.reserve([named(acme, "a", "4")])[0]) == first.id


def test_another_attempt_of_the_same_request_takes_the_name_over(acme: stories.Company) -> None:
    first = named(acme, "a", "1")
    second = replace(first, id=new_id(NOON), attempt=2)
    assert holds.reserve([first]) == holds.reserve([first]) == holds.reserve([second]) == [None]
    assert first_of(holds.reserve([named(acme, "a", "2")])[0]) == second.id


def test_a_released_hold_lets_its_name_go(acme: stories.Company) -> None:
    first = named(acme, "a", "1")
    holds.reserve([first])
    holds.release(organization_id=acme.organization.pk, hold_id=first.id, now=NOON)
    second = named(acme, "a", "2")
    assert holds.reserve([second]) == [None]
    assert first_of(holds.reserve([named(acme, "a", "3")])[0]) == second.id


def test_a_second_attempt_that_was_free_keeps_the_name_for_the_first_that_may_not_have_been(
    acme: stories.Company,
) -> None:
    first = named(acme, "a", "1")
    second = replace(first, id=new_id(NOON), attempt=2)
    assert holds.reserve([first]) == holds.reserve([second]) == [None]
    holds.release(organization_id=acme.organization.pk, hold_id=second.id, now=NOON)
    assert first_of(holds.reserve([named(acme, "a", "2")])[0]) == second.id


def test_what_does_not_fit_takes_no_name(acme: stories.Company) -> None:
    [refusal] = holds.reserve([named(acme, "a", "1", amount=6000)])
    assert refusal is not None and first_of(refusal) is None
    assert holds.reserve([named(acme, "a", "2")]) == [None]


def test_of_many_at_once_one_has_the_name(acme: stories.Company) -> None:
    answers: list[tuple[str, Refusal | None]] = []

    def call(number: int) -> None:
        requests: Sequence[HoldRequest] = [named(acme, name, f"{name}{number}") for name in "abcdefgh"]
        for one in requests:
            answers.append((one.request_id[0], holds.reserve([one])[0]))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, refusal in answers if refusal is None) == list("abcdefgh")
    assert balance(acme).held == 8
    with tenant_scope([acme.organization.pk]):
        assert CallKey.objects.for_organization(acme.organization).count() == 8
