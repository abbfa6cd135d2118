"""A bad day at the processor: answers lost, sticky 500s, webhooks twice and backwards, sweeps that meet. Its ledger equals ours."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from accounts.models import Organization
from accounts.tenancy import tenant_scope
from billing.cards import automatic, automatic_top_up, card_setups
from billing.models import Payment, ProcessorEvent
from billing.payments import top_ups, unresolved, webhooks
from ledger.models import CreditGrant, LedgerEntry
from tests.billing.collecting import House, at_once, deliver, moment, open_invoice, type_card
from tests.billing.keeping import pay_by_itself

HALF_OF_ALL = ("accept-then-drop", "status-500", "sticky-500-committed", "drop", "status-429", "accept-then-drop")
ROUNDS = 6


@pytest.fixture
def houses(house: House) -> list[House]:
    return [house, replace(house, invoice=open_invoice(house.cast.globex))]


def leave_a_card(house: House) -> None:
    """However often it takes, as a customer would try."""
    for _time in range(ROUNDS):
        setup = card_setups.start_setup(organization_id=house.organization_id, user=house.owner, now=moment())
        if setup.action_url:
            type_card(setup.action_url)
            break
    card_setups.sweep_setups(now=moment() + timedelta(minutes=1))
    card_setups.sweep_setups(now=moment() + timedelta(minutes=30))


def top_up_on_the_page(house: House) -> None:
    payment = top_ups.start_top_up(
        organization=house.invoice.organization,
        amount=Decimal(7000),
        request_key=uuid4(),
        user=house.owner,
        now=moment(),
    )
    if payment.action_url:
        type_card(payment.action_url)


def switch_all_on(house: House) -> None:
    pay_by_itself(house)
    automatic_top_up.set_automatic_top_up(
        organization=house.invoice.organization,
        on=True,
        threshold=Decimal(20_000),
        amount=Decimal(9000),
        monthly_cap=Decimal(18_000),
        actor=house.owner,
        now=moment(),
    )


def work_off_backwards() -> None:
    for event in ProcessorEvent.objects.filter(processed_at=None).order_by("-pk"):
        webhooks.process_event(event_id=event.pk, now=moment())


def sweeps(minutes: int) -> list[Callable[[], Any]]:
    """What beat would do by then."""
    now = moment() + timedelta(minutes=minutes)
    return [
        lambda: automatic.charge_due(now=now),
        lambda: automatic_top_up.top_up_all(now=now),
        lambda: unresolved.resolve_unknown(now=now),
        work_off_backwards,
    ]


def test_after_a_bad_day_the_processors_ledger_is_ours(houses: list[House]) -> None:
    processor = houses[0].processor
    processor.order(*({"fault": fault, "where": "POST /v1/"} for fault in HALF_OF_ALL[:3]))
    for house in houses:
        leave_a_card(house)
        switch_all_on(house)
    for number in range(ROUNDS):
        processor.order({"fault": HALF_OF_ALL[number], "where": "POST /v1/"})
        processor.order({"fault": HALF_OF_ALL[-1 - number], "where": "/v1/payment_intents"})
        for house in houses:
            top_up_on_the_page(house)
        for event in reversed(houses[0].events() * 2):
            deliver(event)
        for sweep in sweeps(minutes=number * 10):
            at_once(sweep, times=2)
    processor.call("DELETE", "/sandbox/faults")
    for hours in (3, 26, 27):
        for sweep in sweeps(minutes=hours * 60):
            sweep()
    for house in houses:  # a page whose address got lost on the way is open still, as the processor lives in real time
        top_ups.look_again(organization_id=house.organization_id, wanted=False, now=moment())

    paid = sum((payment.amount for payment in succeeded(houses)), Decimal(0))
    assert paid == houses[0].taken() > 0
    assert len(succeeded(houses)) == sum(intent["succeeded"] for intent in processor.get("/sandbox/ledger")["intents"])
    for house in houses:
        with tenant_scope([house.organization_id]):
            assert not Payment.objects.filter(status__in=Payment.OPEN_STATUSES).exists()
            bought = [payment.amount for payment in Payment.objects.filter(invoice=None, status="succeeded")]
            granted = [grant.amount for grant in CreditGrant.objects.filter(key__startswith="top-up:")]
            clearing = sum(entry.amount for entry in LedgerEntry.objects.filter(account="clearing"))
            assert sorted(bought) == sorted(granted)
            assert clearing == sum(payment.amount for payment in succeeded([house]))
        assert house.status() == "paid"
    assert Organization.objects.using("system").filter(collection_setting__is_automatic=True).count() == 2
    call_command("audit")


def test_sweeps_do_not_wait_for_a_dead_processor_again_and_again(
    houses: list[House], monkeypatch: pytest.MonkeyPatch
) -> None:
    for house in houses:
        leave_a_card(house)
        switch_all_on(house)
    for module, sweep in (
        (automatic, lambda: automatic.charge_due(now=moment())),
        (automatic_top_up, lambda: automatic_top_up.top_up_all(now=moment())),
    ):
        monkeypatch.setattr(module, "MOST_IN_VAIN", 1)
        houses[0].processor.order({"fault": "drop", "where": "POST /v1/payment_intents"})
        assert sweep() == 1, "the second is charged by the next sweep"
        assert sweep() == 1
    assert [len(house.payments()) for house in houses] == [2, 2]


def succeeded(houses: list[House]) -> list[Payment]:
    return [payment for house in houses for payment in house.payments() if payment.status == Payment.Status.SUCCEEDED]
