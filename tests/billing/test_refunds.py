"""Refunds: by card with every fault on the way, by hand, and never more than came in."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError
from pytest_django.fixtures import Settings

from accounts.models import Alarm
from accounts.tenancy import tenant_scope
from billing.corrections import refunds as refunding
from billing.corrections import unresolved_refunds
from billing.corrections.refunds import (
    InvalidRefund,
    NothingToRefund,
    ReferenceInUse,
    record_answer,
    record_refund,
    refund_again,
)
from billing.models import CreditNote, Invoice, Payment, ProcessorEvent, Refund
from billing.payments import unresolved, webhooks
from billing.processors.interface import ProcessorRefused, RefundAnswer
from billing.processors.interface import Status as ProcessorStatus
from billing.processors.stripe_processor import StripeProcessor
from config.launch.places import CHECKOUT
from ledger.models import Account
from tests.billing.collecting import DUE, House, at_once, deliver, moment, type_card
from tests.billing.correcting import REFUND, note_on, on_account, refund, refunds
from tests.billing.test_bank_transfers import transfer

Status = Refund.Status
REFUND_CALL = "POST /v1/refunds"


@pytest.fixture
def paid(house: House) -> House:
    """The invoice, paid by card on the hosted page."""
    type_card(house.pay().action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)
    return house


def sweep(*, minutes: float = 1) -> int:
    return unresolved_refunds.resolve_unknown_refunds(now=moment() + timedelta(minutes=minutes))


def stands(house: House) -> tuple[Any, ...]:
    """Status of the one refund, what the processor has of our customer, and what we still owe them by our books."""
    return refund(house).status, house.taken(), -on_account(house, Account.REFUNDABLE)


def test_money_goes_back_to_the_card(paid: House) -> None:
    note = note_on(paid, {1: 1000}, money_back=REFUND)
    assert (note.total, note.to_refund, note.to_credit) == (1100, 1100, 0)
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)
    assert on_account(paid, Account.CLEARING) == DUE - 1100
    assert (paid.status(), sorted(paid.mails())) == (Invoice.Status.PAID, ["credit_note", "receipt", "refund"])
    call_command("audit")


def test_the_rest_goes_back_with_the_next_note_and_credit_never_does(paid: House) -> None:
    note_on(paid, {1: 1000}, money_back=REFUND)
    note_on(paid, money_back=REFUND)
    assert [row.amount for row in refunds(paid)] == [1100, DUE - 1100]
    assert (paid.taken(), paid.balance().prepaid) == (0, 5000)
    call_command("audit")


@pytest.mark.parametrize("fault", ["accept-then-drop", "drop", "status-500", "sticky-500-committed"])
def test_an_answer_that_is_lost_is_asked_for_again(paid: House, fault: str) -> None:
    paid.processor.order({"fault": fault, "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)
    assert refund(paid).status == Status.UNKNOWN
    assert -on_account(paid, Account.REFUNDABLE) == 1100
    assert sweep() == 1
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)
    call_command("audit")


def test_a_500_that_sticks_is_given_up_by_look_up_and_refunded_anew(paid: House) -> None:
    paid.processor.order({"fault": "sticky-500", "where": REFUND_CALL})
    note = note_on(paid, {1: 1000}, money_back=REFUND)
    sweep()
    assert refund(paid).status == Status.UNKNOWN, "it might still be on its way"
    with pytest.raises(NothingToRefund):
        refunding.refund_again(organization_id=paid.organization_id, origin_id=note.pk, now=moment(), actor=None)
    sweep(minutes=26 * 60)
    assert (refund(paid).status, refund(paid).failure) == (Status.FAILED, "never_arrived")
    again = refunding.refund_again(organization_id=paid.organization_id, origin_id=note.pk, now=moment(), actor=None)
    assert [row.status for row in unresolved_refunds.call_first(again, now=moment())] == [Status.SUCCEEDED]
    assert (paid.taken(), on_account(paid, Account.REFUNDABLE)) == (DUE - 1100, 0)
    call_command("audit")


def test_a_key_that_was_pruned_is_not_used_again(paid: House) -> None:
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)
    paid.processor.call("DELETE", "/sandbox/idempotency-keys")
    sweep(minutes=24 * 60)
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)


def test_an_unknown_refund_blocks_another_of_its_payment(paid: House) -> None:
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)
    second = note_on(paid, {1: 1000}, money_back=REFUND)
    assert len(refunds(paid)) == 1, "the second note's money waits until the first refund is known"
    sweep()
    again = refunding.refund_again(organization_id=paid.organization_id, origin_id=second.pk, now=moment(), actor=None)
    unresolved_refunds.call_first(again, now=moment())
    assert [row.status for row in refunds(paid)] == [Status.SUCCEEDED, Status.SUCCEEDED]
    assert paid.taken() == DUE - 2200
    call_command("audit")


def test_the_database_keeps_two_open_refunds_of_a_payment_apart(paid: House) -> None:
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)
    first = refund(paid)
    with pytest.raises(IntegrityError), tenant_scope([paid.organization_id]):
        Refund.objects.create(
            organization_id=first.organization_id, payment_id=first.payment_id, credit_note_id=first.credit_note_id,
            processor="stripe", amount=1, currency="KRW", status="unknown", idempotency_key="another", created_at=moment(),
        )  # fmt: skip


def test_two_who_refund_again_at_once_refund_once(paid: House) -> None:
    paid.processor.order({"fault": "sticky-500", "where": REFUND_CALL})
    note = note_on(paid, {1: 1000}, money_back=REFUND)
    sweep(minutes=26 * 60)

    def click() -> int:
        try:
            made = refunding.refund_again(
                organization_id=paid.organization_id, origin_id=note.pk, now=moment(), actor=None
            )
        except NothingToRefund:
            return 0
        return len(unresolved_refunds.call_first(made, now=moment()))

    assert sorted(at_once(click, times=4)) == [0, 0, 0, 1]
    assert paid.taken() == DUE - 1100
    call_command("audit")


def test_a_processor_that_refuses_ends_the_refund(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> RefundAnswer:
        raise ProcessorRefused("charge_disputed")

    monkeypatch.setattr(StripeProcessor, "refund", refuse)
    note_on(paid, {1: 1000}, money_back=REFUND)
    assert (refund(paid).status, refund(paid).failure, paid.taken()) == (Status.FAILED, "charge_disputed", DUE)
    assert -on_account(paid, Account.REFUNDABLE) == 1100
    call_command("audit")


def test_a_refusal_after_a_lost_answer_tells_nothing(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)

    def refuse(*_: object) -> RefundAnswer:
        raise ProcessorRefused("charge_already_refunded")

    monkeypatch.setattr(StripeProcessor, "refund", refuse)
    assert (sweep(), *stands(paid)) == (1, Status.SUCCEEDED, DUE - 1100, 0)
    call_command("audit")


def test_without_access_to_the_processor_it_stays_open(paid: House, settings: Settings) -> None:
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)
    settings.STRIPE_SECRET_KEY = "sk_live_not_served"
    assert (sweep(), refund(paid).status) == (0, Status.UNKNOWN)
    settings.STRIPE_SECRET_KEY = "sk_test_collecting"
    assert (sweep(minutes=5), *stands(paid)) == (1, Status.SUCCEEDED, DUE - 1100, 0)


def test_sigkill_between_the_row_and_the_answer(paid: House, process_environment: dict[str, str]) -> None:
    paid.processor.order({"fault": "accept-then-hang:30", "where": REFUND_CALL})
    program = f"""
import django; django.setup()
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from billing.corrections.credit_notes import issue_credit_note
from billing.corrections.creditable import MoneyBack
issue_credit_note(
    organization_id={paid.organization_id}, invoice_id=UUID("{paid.invoice.pk}"), amounts={{1: Decimal(1000)}},
    money_back=MoneyBack.REFUND, reason_code="02", reason="x", now=datetime.now(UTC), actor=None)
"""
    environment = process_environment | {
        "STRIPE_SECRET_KEY": "sk_test_collecting",
        "STRIPE_API_BASE": paid.processor.url,
    }
    child = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while paid.taken() == DUE and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert stands(paid) == (Status.UNKNOWN, DUE - 1100, 1100)
    sweep(minutes=2)
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)
    call_command("audit")


def test_nobody_was_called_before_the_process_died(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.corrections.credit_notes.call_first", lambda *_, **__: [])
    note_on(paid, {1: 1000}, money_back=REFUND)
    assert stands(paid) == (Status.UNKNOWN, DUE, 1100)
    assert (sweep(), *stands(paid)) == (1, Status.SUCCEEDED, DUE - 1100, 0)


# Webhooks


def settle_by_webhook(house: House, kind: str, *, times: int = 1, **changes: Any) -> str:
    [event] = [event for event in house.events() if event["type"] == kind]
    for _time in range(times):
        assert deliver(event, **changes).status_code == 200
    row = ProcessorEvent.objects.get(event_id=changes.get("id", event["id"]))
    assert webhooks.process_event(event_id=row.pk, now=moment())
    row.refresh_from_db()
    return row.outcome


@pytest.mark.parametrize(("kind", "outcome"), [("refund.created", "succeeded"), ("charge.refunded", "succeeded")])
def test_a_webhook_that_comes_twice_settles_a_lost_refund_once(paid: House, kind: str, outcome: str) -> None:
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    note_on(paid, {1: 1000}, money_back=REFUND)
    assert settle_by_webhook(paid, kind, times=2) == outcome
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)
    assert sweep(minutes=5) == 0
    assert paid.mails().count("refund") == 1
    call_command("audit")


def test_a_webhook_that_is_late_changes_nothing(paid: House) -> None:
    note_on(paid, {1: 1000}, money_back=REFUND)
    assert settle_by_webhook(paid, "charge.refunded") == "nothing to do"
    assert settle_by_webhook(paid, "refund.created") == "succeeded"
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)
    call_command("audit")


def test_a_bank_that_sends_the_money_back_makes_it_due_again(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    note = note_on(paid, {1: 1000}, money_back=REFUND)
    failed = RefundAnswer(
        reference=refund(paid).reference, status=ProcessorStatus.FAILED, failure="lost_or_stolen_card"
    )
    monkeypatch.setattr(StripeProcessor, "look_up_refund", lambda *_: failed)
    assert settle_by_webhook(paid, "refund.created", id="evt_later", type="refund.failed") == "failed"
    assert (refund(paid).status, on_account(paid, Account.REFUNDABLE)) == (Status.FAILED, -1100)
    by_hand(paid, note.pk)
    assert (on_account(paid, Account.REFUNDABLE), on_account(paid, Account.BANK)) == (0, -1100)
    call_command("audit")


def open_alarms() -> list[str]:
    return list(
        Alarm.objects.using("system").filter(cleared_at=None, kind__startswith="refund").values_list("kind", flat=True)
    )


@pytest.fixture
def given_up(paid: House) -> CreditNote:
    """A refund that the processor made, and that we took for failed."""
    paid.processor.order({"fault": "accept-then-drop", "where": REFUND_CALL})
    with pytest.MonkeyPatch.context() as patch:
        note = note_on(paid, {1: 1000}, money_back=REFUND)
        patch.setattr(StripeProcessor, "look_up_refund", lambda *_: None)
        sweep(minutes=26 * 60)
    assert (refund(paid).status, paid.taken(), open_alarms()) == (Status.FAILED, DUE - 1100, ["refund_failed"])
    return note


def test_one_that_was_taken_for_failed_and_was_sent_is_in_the_books(paid: House, given_up: CreditNote) -> None:
    assert settle_by_webhook(paid, "refund.created", times=2) == "succeeded"
    assert stands(paid) == (Status.SUCCEEDED, DUE - 1100, 0)
    assert (refund(paid).excess, refund(paid).failure, open_alarms()) == (0, "", [])
    assert paid.mails().count("refund") == 1
    call_command("audit")


def test_one_that_was_redone_meanwhile_is_refunded_twice_and_says_so(paid: House, given_up: CreditNote) -> None:
    by_hand(paid, given_up.pk, amount=Decimal(300))
    assert open_alarms() == ["refund_failed"], "800 are still here"
    assert settle_by_webhook(paid, "refund.created") == "succeeded"
    assert [(row.amount, row.excess) for row in refunds(paid)] == [(1100, 300), (300, 0)]
    assert (on_account(paid, Account.REFUNDABLE), on_account(paid, Account.OVERREFUNDED)) == (0, 300)
    assert (on_account(paid, Account.CLEARING), on_account(paid, Account.BANK)) == (DUE - 1100, -300)
    assert open_alarms() == ["refund_twice"]
    call_command("audit")


def answered(house: House, row: Refund, status: ProcessorStatus) -> Refund:
    answer = RefundAnswer(reference=row.reference or f"re_{row.pk.hex[:8]}", status=status, failure="x")
    ids = {"organization_id": house.organization_id, "refund_id": row.pk}
    return record_answer(**ids, answer=answer, now=moment() + timedelta(days=2))  # type: ignore[arg-type]


def test_one_that_was_sent_twice_and_comes_back_after_all_leaves_nothing_twice(
    paid: House, given_up: CreditNote
) -> None:
    first = refund(paid)
    by_hand(paid, given_up.pk, amount=Decimal(300))
    assert answered(paid, first, ProcessorStatus.SUCCEEDED).excess == 300
    assert answered(paid, first, ProcessorStatus.FAILED).excess == 0
    assert (-on_account(paid, Account.REFUNDABLE), on_account(paid, Account.OVERREFUNDED)) == (800, 0)
    assert open_alarms() == ["refund_failed"], "800 are here again, and nobody has anything twice"
    call_command("audit")


def test_where_the_other_one_comes_back_the_customer_has_it_once(paid: House, given_up: CreditNote) -> None:
    """The first, taken for failed, had been sent; its bank sends the second one back: nothing is left to be sent."""
    first = refund(paid)
    ids = {"organization_id": paid.organization_id, "origin_id": given_up.pk}
    [second] = refund_again(**ids, now=moment() + timedelta(days=1), actor=None)  # type: ignore[arg-type]
    answered(paid, second, ProcessorStatus.SUCCEEDED)
    assert answered(paid, first, ProcessorStatus.SUCCEEDED).excess == 1100
    assert open_alarms() == ["refund_twice"]
    answered(paid, second, ProcessorStatus.FAILED)
    assert {row.pk: (row.status, row.excess) for row in refunds(paid)} == {
        first.pk: (Status.SUCCEEDED, 0),
        second.pk: (Status.FAILED, 0),
    }
    assert (on_account(paid, Account.REFUNDABLE), on_account(paid, Account.OVERREFUNDED)) == (0, 0)
    assert on_account(paid, Account.CLEARING) == DUE - 1100
    assert open_alarms() == []
    with pytest.raises(NothingToRefund):
        refund_again(**ids, now=moment() + timedelta(days=4), actor=None)  # type: ignore[arg-type]
    call_command("audit")


def test_money_that_came_back_and_left_again_is_posted_each_time(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    note_on(paid, {1: 1000}, money_back=REFUND)
    for turn, status in enumerate(["failed", "succeeded", "failed"]):
        answer = RefundAnswer(reference=refund(paid).reference, status=ProcessorStatus(status), failure="x")
        monkeypatch.setattr(StripeProcessor, "look_up_refund", lambda *_, answer=answer: answer)
        assert settle_by_webhook(paid, "refund.created", id=f"evt_{turn}", type="refund.updated") == status
        call_command("audit")
    assert (-on_account(paid, Account.REFUNDABLE), open_alarms()) == (1100, ["refund_failed"])


def test_one_that_is_pending_is_asked_about_until_it_is_there(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pending = RefundAnswer(reference="re_1", status=ProcessorStatus.PENDING)
    monkeypatch.setattr(StripeProcessor, "refund", lambda *_: pending)
    note_on(paid, {1: 1000}, money_back=REFUND)
    assert (refund(paid).status, -on_account(paid, Account.REFUNDABLE)) == (Status.PENDING, 1100)
    done = RefundAnswer(reference="re_1", status=ProcessorStatus.SUCCEEDED)
    monkeypatch.setattr(StripeProcessor, "look_up_refund", lambda *_: done)
    sweep()
    assert (refund(paid).status, on_account(paid, Account.REFUNDABLE)) == (Status.SUCCEEDED, 0)


# By hand


def by_hand(house: House, note_id: Any, **changes: Any) -> Refund:
    given: dict[str, Any] = {
        "organization_id": house.organization_id,
        "origin_id": note_id,
        "payment_id": house.payment().pk,
        "amount": Decimal(1100),
        "sent_on": moment().date() - timedelta(days=1),
        "reference": "2026-11-20-0007",
        "now": moment(),
        "actor": house.cast.operator,
    }
    return record_refund(**(given | changes))


def test_a_transfer_is_sent_back_by_hand(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1000}, money_back=REFUND)
    assert (refunds(house), -on_account(house, Account.REFUNDABLE)) == ([], 1100)
    done = by_hand(house, note.pk, amount=Decimal(1000))
    assert by_hand(house, note.pk, amount=Decimal(1000)).pk == done.pk, "the same line of the statement counts once"
    by_hand(house, note.pk, amount=Decimal(100), reference="2026-11-20-0008")
    assert (on_account(house, Account.REFUNDABLE), on_account(house, Account.BANK)) == (0, DUE - 1100)
    assert sorted(house.mails()) == ["credit_note", "receipt", "refund", "refund"]
    call_command("audit")


def test_today_is_the_day_in_seoul(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1000}, money_back=REFUND)
    late = datetime(2026, 11, 22, 21, tzinfo=UTC)
    with pytest.raises(InvalidRefund):
        by_hand(house, note.pk, sent_on=date(2026, 11, 24), now=late)
    assert by_hand(house, note.pk, sent_on=date(2026, 11, 23), now=late).sent_on == date(2026, 11, 23)


def test_what_cannot_be_recorded(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1000}, money_back=REFUND)
    wrong: list[dict[str, Any]] = [
        {"amount": Decimal(1101)},
        {"amount": Decimal(0)},
        {"amount": Decimal("0.5")},
        {"sent_on": date(2999, 1, 1)},
    ]
    for changes in wrong:
        with pytest.raises(InvalidRefund):
            by_hand(house, note.pk, **changes)
    by_hand(house, note.pk, amount=Decimal(100))
    with pytest.raises(ReferenceInUse):
        by_hand(house, note.pk, amount=Decimal(200))
    with pytest.raises(Payment.DoesNotExist):
        by_hand(house, note.pk, payment_id=note.pk)
    assert len(refunds(house)) == 1


def test_recorded_by_many_at_once_it_never_passes_what_was_set_aside(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1000}, money_back=REFUND)
    numbers = iter(range(5))

    def record() -> bool:
        try:
            return bool(by_hand(house, note.pk, amount=Decimal(600), reference=f"line-{next(numbers)}"))
        except InvalidRefund:
            return False

    assert sum(at_once(record, times=5)) == 1
    call_command("audit")


def test_a_refund_is_never_changed_in_what_it_gives_back(paid: House) -> None:
    note_on(paid, {1: 1000}, money_back=REFUND)
    for change in ({"amount": 1}, {"status": "unknown"}, {"idempotency_key": "x"}):
        with pytest.raises(DatabaseError), tenant_scope([paid.organization_id]):
            Refund.objects.filter(pk=refund(paid).pk).update(**change)
