"""Money that comes when an organization is closed: back to its card by itself, or seen to by an operator, never forgotten."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.management import CommandError, call_command

from accounts.models import Alarm, Organization
from accounts.tenancy import tenant_scope
from billing import auditing, tasks
from billing.bank import undoing
from billing.bank.transfer_matching import undecided
from billing.closures import afterwards, asking, finishing
from billing.corrections.refunds import record_refund
from billing.corrections.write_offs import write_off_invoice
from billing.models import AuditRun, CreditPayout, DepositDecision, Payment, ProcessorEvent
from billing.payments import webhooks
from billing.payments.credit_origins import payments_behind
from ledger.credits import grant_credit
from tests.billing.collecting import DUE, House, deliver, moment, type_card
from tests.billing.correcting import note_on, refund
from tests.billing.depositing import NOW, Debtors, meet_debtors_of_transfers, statement, take
from tests.billing.test_bank_transfers import transfer
from tests.billing.test_credit_payouts import send_back
from tests.billing.test_deposits import confirm
from tests.billing.test_top_ups import AMOUNT, top_up

LATER = NOW + timedelta(hours=3)


@dataclass
class Clock:
    """What the machine says the time is, where stories go on for weeks."""

    traveller: time_machine.Traveller
    now: datetime

    def go_on(self, **time: int) -> datetime:
        self.now += timedelta(**time)
        self.traveller.move_to(self.now)
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    with time_machine.travel(LATER, tick=False) as traveller:
        yield Clock(traveller, LATER)


@pytest.fixture
def owing(db: None) -> Debtors:
    return meet_debtors_of_transfers()


def close(organization_id: int, *, now: datetime) -> Organization:
    """At once, until nothing is left of it."""
    asking.ask_for_closure(organization_id=organization_id, at_once=True, now=now, actor=None)
    finishing.finish_all(now=now + timedelta(minutes=2))
    closed = organization(organization_id)
    assert closed.status == "closed"
    return closed


def organization(organization_id: int) -> Organization:
    return Organization.objects.using("system").get(pk=organization_id)


def closed_house(owing: Debtors) -> House:
    """Acme paid its October with somebody else's transfer, and was closed."""
    take(statement(("2026-11-05 14:03", "홍길동", DUE)))
    confirm(undecided()[0], owing.cast.acme, owing)
    close(owing.acme.organization_id, now=NOW)
    return House(owing.cast, owing.acme, None)  # type: ignore[arg-type]


def match_more(owing: Debtors, amount: int = 10_000) -> None:
    """A later deposit that an operator takes for acme's."""
    take(statement(("2026-11-08 09:00", "홍길동", amount), start=5_000_000))
    confirm(undecided()[0], owing.cast.acme, owing)


def alarm() -> Alarm | None:
    return Alarm.objects.using("system").filter(kind=afterwards.ALARM, cleared_at=None).first()


def said() -> str:
    found = alarm()
    assert found is not None
    return found.summary


def found_by_audit() -> dict[str, list[str]]:
    """What an audit finds wrong, by invariant."""
    with suppress(CommandError):
        call_command("audit")
    return AuditRun.objects.using("system").latest("pk").violations


def test_a_deposit_that_is_matched_afterwards_waits_for_an_operator_who_sends_it_back(
    owing: Debtors, clock: Clock
) -> None:
    house = closed_house(owing)
    assert afterwards.watch_closed(now=clock.now) == []
    match_more(owing)
    assert found_by_audit() == {}, "nobody can have seen it yet"
    tasks.watch_closed_organizations()
    assert said() == "acme is closed and holds 10000 KRW of its customer's."
    assert house.balance().prepaid == 10_000, "it may be another customer's after all"
    clock.go_on(days=30)
    assert found_by_audit() == {}
    [payout] = send_back(house, now=clock.now)
    tasks.watch_closed_organizations()
    assert said(), "it is set aside, and still here"
    transfer_back(house, payout, now=clock.now)
    assert afterwards.closed_money() == []
    tasks.watch_closed_organizations()
    assert alarm() is None
    assert found_by_audit() == {}


def test_what_nobody_sees_to_turns_the_audit_red_but_keeps_no_month_open(owing: Debtors, clock: Clock) -> None:
    closed_house(owing)
    match_more(owing)
    clock.go_on(days=1)
    assert list(found_by_audit()) == ["59"], "nobody was told"
    tasks.watch_closed_organizations()
    assert found_by_audit() == {}
    clock.go_on(days=60)
    [[line]] = found_by_audit().values()
    assert "acme" in line and "10000" in line
    auditing.require_clean_audit(organization_id=owing.acme.organization_id, now=clock.now)


def test_how_long_it_waits_counts_from_the_moment_at_which_nothing_was_there(owing: Debtors, clock: Clock) -> None:
    house = closed_house(owing)
    match_more(owing)
    [payout] = send_back(house, now=clock.go_on(days=50))
    transfer_back(house, payout, now=clock.now)
    since = clock.go_on(days=20)
    with tenant_scope([house.organization_id]):
        grant_credit(
            organization=owing.acme.organization, amount=Decimal(500), currency="KRW", kind="paid", reason="Dispute won",
            key="by hand", now=since,
        )  # fmt: skip
    [money] = afterwards.closed_money()
    assert (money.since, money.prepaid) == (since, 500)
    tasks.watch_closed_organizations()
    assert found_by_audit() == {}


def test_a_match_that_is_undone_afterwards_is_owed_again_and_collected(owing: Debtors, clock: Clock) -> None:
    house = reopened(owing, clock)
    assert said() == "acme is closed and owes 2260 KRW."
    assert found_by_audit() == {}
    transfer(house, now=clock.now)
    tasks.watch_closed_organizations()
    assert (house.status(), alarm()) == ("paid", None)
    assert found_by_audit() == {}


def test_or_is_written_off(owing: Debtors, clock: Clock) -> None:
    house = reopened(owing, clock)
    write_off_invoice(
        organization_id=house.organization_id, invoice_id=owing.acme.pk, reason="Gone", now=clock.now, actor=None
    )
    tasks.watch_closed_organizations()
    assert (alarm(), afterwards.closed_money(), found_by_audit()) == (None, [], {})


def test_who_owes_can_read_and_pay_although_the_time_was_over(owing: Debtors, clock: Clock) -> None:
    house = closed_house(owing)
    clock.go_on(days=100)
    assert organization(house.organization_id).is_out_of_sight(now=clock.now)
    match_more(owing)
    tasks.watch_closed_organizations()
    assert organization(house.organization_id).readable_until == clock.now + timedelta(days=90)
    until = clock.now + timedelta(days=90)
    clock.go_on(days=1)
    tasks.watch_closed_organizations()
    assert organization(house.organization_id).readable_until == until


def test_what_a_credit_note_gives_back_of_a_gift_lapses_once_the_money_is_back(owing: Debtors, clock: Clock) -> None:
    house = closed_house(owing)
    note_on(house, now=clock.now)
    assert house.balance().prepaid == 5000 + DUE
    tasks.watch_closed_organizations()
    assert said() == "acme is closed and holds 2260 KRW of its customer's."
    [payout] = send_back(house, now=clock.now)
    transfer_back(house, payout, now=clock.now)
    assert (house.balance().prepaid, len(afterwards.closed_money())) == (5000, 1)
    tasks.watch_closed_organizations()
    assert (house.balance().prepaid, afterwards.closed_money(), alarm()) == (0, [], None)
    assert found_by_audit() == {}


def test_money_that_a_card_brought_late_goes_back_to_the_card_by_itself(house: House) -> None:
    transfer(house)
    given_up = top_up(house)
    with tenant_scope([house.organization_id]):
        Payment.objects.filter(pk=given_up.pk).update(status=Payment.Status.CANCELED)
    close(house.organization_id, now=moment())
    type_card(given_up.action_url)
    deliver(house.events("checkout.session.completed")[0])
    for event in ProcessorEvent.objects.order_by("pk"):
        webhooks.process_event(event_id=event.pk, now=moment())
    assert (house.balance().prepaid, house.taken()) == (AMOUNT, AMOUNT)
    tasks.watch_closed_organizations()
    assert (house.balance().prepaid, house.taken(), refund(house).amount) == (0, 0, AMOUNT)
    assert (alarm(), afterwards.closed_money()) == (None, [])
    assert organization(house.organization_id).status == "closed"
    call_command("audit")


def transfer_back(house: House, payout: CreditPayout, *, now: datetime) -> None:
    """An operator sends it back from our bank account."""
    with tenant_scope([house.organization_id]):
        amount = payout.to_refund
        [brought] = payments_behind(payout.credit_use.grant)
    record_refund(
        organization_id=house.organization_id,
        origin_id=payout.pk,
        payment_id=brought.pk,
        amount=amount,
        sent_on=now.date(),
        reference="77",
        now=now,
        actor=None,
    )


def reopened(owing: Debtors, clock: Clock) -> House:
    """The transfer was not acme's; its invoice is open again although acme is closed."""
    house = closed_house(owing)
    decision = DepositDecision.objects.using("system").get()
    undoing.undo_decision(decision_id=decision.pk, reason="It was globex's", now=clock.now, actor=None)
    tasks.watch_closed_organizations()
    return house
