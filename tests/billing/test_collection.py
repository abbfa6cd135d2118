"""An invoice is paid once: the good day, refused cards, answers that never came, two clicks, and money that comes too late."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing import collection, invoicing
from billing.models import Invoice, Payment
from billing.payments import asking, starting, unresolved
from billing.processors.interface import Answer
from billing.processors.interface import Status as ProcessorStatus
from billing.processors.selection import NoCardProcessor
from billing.processors.stripe_processor import StripeProcessor
from billing.settlement import record_answer
from config.launch.places import CHECKOUT
from ledger.models import CreditGrant
from pricing.tokens import TokenUsage
from tests.billing.collecting import DUE, House, at_once, meet_the_debtors, moment, open_invoice, submit, type_card
from tests.sandbox.processes import StandIn

Status = Payment.Status
CHECKOUT_CALL = "POST /v1/checkout/sessions"


def test_the_good_day(house: House) -> None:
    payment = house.pay()
    assert (payment.status, payment.amount, payment.processor) == (Status.REQUIRES_ACTION, DUE, "stripe")
    status, location = type_card(payment.action_url)
    assert (status, location) == (303, f"http://127.0.0.1:8000/o/acme/invoices/{house.invoice.pk}?payment=done")

    after = collection.look_again(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())

    assert after is not None and after.status == Status.SUCCEEDED and after.settled_at
    assert (house.status(), house.balance().receivable, house.mails()) == (Invoice.Status.PAID, 0, ["receipt"])
    assert house.taken() == DUE
    with pytest.raises(collection.InvoiceNotOpen):
        house.pay()
    call_command("audit")


def test_a_page_that_is_open_is_shown_again(house: House) -> None:
    first = house.pay()
    again = house.pay()
    assert (again.pk, again.action_url) == (first.pk, first.action_url)
    assert len(house.payments()) == 1


def test_a_page_that_is_almost_over_is_replaced_once_it_is(house: House) -> None:
    """The stand-in keeps real time, so the page is expired by hand."""
    first = house.pay(now=moment() - timedelta(hours=1, minutes=55))
    house.processor.call(
        "POST", f"/v1/checkout/sessions/{first.reference}/expire", b"", {"Authorization": "Bearer sk_test_x"}
    )
    second = house.pay()
    assert second.pk != first.pk and second.status == Status.REQUIRES_ACTION
    assert [payment.status for payment in house.payments()] == [Status.CANCELED, Status.REQUIRES_ACTION]
    type_card(second.action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=5))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)
    call_command("audit")


def test_sweeps_that_meet_ask_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have listed the payment before either asks about it."""
    house.pay()
    listed, waiting, ask = threading.Barrier(2, timeout=60), unresolved.waiting, unresolved.ask
    asked: list[UUID] = []

    def both_listed(model: type[Payment], *, now: datetime) -> list[Payment]:
        found = waiting(model, now=now)
        listed.wait()
        return found

    def counted(payment: Payment, *, wanted: bool, now: datetime) -> Answer:
        asked.append(payment.pk)
        return ask(payment, wanted=wanted, now=now)

    monkeypatch.setattr(unresolved, "waiting", both_listed)
    monkeypatch.setattr(unresolved, "ask", counted)
    later = moment() + timedelta(minutes=5)
    assert at_once(lambda: unresolved.resolve_unknown(now=later), times=2) == [0, 0]
    assert asked == [house.payment().pk]


def test_a_refused_card_leaves_the_page_open_for_another(house: House) -> None:
    payment = house.pay()
    assert type_card(payment.action_url, "declines")[0] == 402
    assert unresolved.resolve_unknown(now=moment() + timedelta(minutes=1)) == 0
    assert (house.payment().status, house.status()) == (Status.REQUIRES_ACTION, Invoice.Status.OPEN)
    assert (house.payment().failure, house.mails()) == ("generic_decline", [])
    type_card(payment.action_url, "succeeds")
    assert unresolved.resolve_unknown(now=moment() + timedelta(minutes=2)) == 1
    assert (house.payment().status, house.status(), house.taken()) == (Status.SUCCEEDED, Invoice.Status.PAID, DUE)
    assert house.payment().failure == ""
    call_command("audit")


@pytest.mark.parametrize(("outcome", "taken"), [("passed", DUE), ("failed", 0)])
def test_3d_secure(house: House, outcome: str, taken: int) -> None:
    payment = house.pay()
    status, location = type_card(payment.action_url, "authenticates")
    assert status == 303 and "/authenticate/" in location
    submit(house.processor.url + location, {"outcome": outcome})
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert house.taken() == taken
    assert house.status() == (Invoice.Status.PAID if taken else Invoice.Status.OPEN)
    assert house.payment().status == (Status.SUCCEEDED if taken else Status.REQUIRES_ACTION)


@pytest.mark.parametrize("fault", ["accept-then-drop", "sticky-500-committed"])
def test_an_answer_that_never_came_is_looked_up(house: House, fault: str) -> None:
    house.processor.order(fault)
    payment = house.pay()
    assert (payment.status, payment.action_url) == (Status.UNKNOWN, "")

    assert unresolved.resolve_unknown(now=moment()) == 0, "its time has not come"
    unresolved.resolve_unknown(now=moment() + timedelta(seconds=40))

    found = house.payment()
    assert (found.pk, found.status) == (payment.pk, Status.REQUIRES_ACTION)
    assert house.pay().action_url == found.action_url
    type_card(found.action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=2))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)
    call_command("audit")


@pytest.mark.parametrize("fault", ["drop", "status-500", "status-503", "status-429"])
def test_a_call_that_never_arrived_is_made_again_under_its_key(house: House, fault: str) -> None:
    house.processor.order({"fault": fault, "where": CHECKOUT_CALL})
    payment = house.pay()
    assert payment.status == Status.UNKNOWN
    unresolved.resolve_unknown(now=moment() + timedelta(seconds=40))
    assert house.payment().status == Status.REQUIRES_ACTION
    assert len(house.payments()) == 1


def test_a_500_that_sticks_to_its_key_is_given_up_by_look_up(house: House) -> None:
    house.processor.order("sticky-500")
    assert house.pay().status == Status.UNKNOWN
    unresolved.resolve_unknown(now=moment() + timedelta(seconds=40))
    assert house.payment().status == Status.UNKNOWN, "it might still be on its way"
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=3))
    assert (house.payment().status, house.payment().failure) == (Status.FAILED, "never_arrived")
    type_card(house.pay().action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=5))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)


def test_a_key_that_was_pruned_is_not_used_again(house: House) -> None:
    house.processor.order("accept-then-drop")
    payment = house.pay()
    house.processor.call("DELETE", "/sandbox/idempotency-keys")
    unresolved.resolve_unknown(now=moment() + timedelta(hours=1, minutes=30))
    found = house.payment()
    assert (found.status, found.pk) == (Status.REQUIRES_ACTION, payment.pk)
    assert len(_sessions(house)) == 1


def _sessions(house: House) -> list[dict[str, object]]:
    headers = {"Authorization": "Bearer sk_test_x"}
    data: list[dict[str, object]] = house.processor.call("GET", "/v1/checkout/sessions", headers=headers)[2]["data"]
    return data


def test_while_the_processor_is_away_nothing_is_lost(house: House) -> None:
    faults = [{"fault": "drop", "where": "/v1/checkout/sessions", "times": 6}]
    house.processor.order(*faults)
    assert house.pay().status == Status.UNKNOWN
    for minutes in (1, 2):
        unresolved.resolve_unknown(now=moment() + timedelta(minutes=minutes))
        assert house.payment().status == Status.UNKNOWN
    house.processor.call("DELETE", "/sandbox/faults")
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=30))
    assert house.payment().status == Status.REQUIRES_ACTION


def test_a_processor_that_refuses_ends_the_attempt(house: House, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = "sk_live_not_served"
    payment = house.pay()
    assert (payment.status, payment.failure) == (Status.FAILED, "AuthenticationError")
    settings.STRIPE_SECRET_KEY = "sk_test_collecting"
    assert house.pay().status == Status.REQUIRES_ACTION


def test_many_clicks_at_once_make_one_attempt(house: House) -> None:
    house.processor.order({"fault": "slow:0.5", "where": CHECKOUT_CALL})
    payments = at_once(house.pay, times=6)
    assert {(payment.pk, payment.status) for payment in payments} == {(house.payment().pk, Status.REQUIRES_ACTION)}
    assert len({payment.action_url for payment in payments}) == 1
    assert len(_sessions(house)) == 1


def test_a_click_after_an_answer_that_was_lost_asks_again_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "OTHER_CLICK_SECONDS", 0.1)
    house.processor.order("accept-then-drop")
    first = house.pay()
    second = house.pay()
    assert (second.pk, second.status) == (first.pk, Status.REQUIRES_ACTION)


def test_sigkill_between_the_row_and_the_answer(house: House, process_environment: dict[str, str]) -> None:
    house.processor.order({"fault": "accept-then-hang:30", "where": CHECKOUT_CALL})
    program = f"""
import django; django.setup()
from datetime import UTC, datetime
from uuid import UUID
from billing import collection
collection.start_payment(
    organization_id={house.organization_id}, invoice_id=UUID("{house.invoice.pk}"), now=datetime.now(UTC), user=None)
"""
    environment = process_environment | {
        "STRIPE_SECRET_KEY": "sk_test_collecting",
        "STRIPE_API_BASE": house.processor.url,
    }
    child = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not _sessions(house) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

    assert house.payment().status == Status.UNKNOWN
    unresolved.resolve_unknown(now=moment() + timedelta(seconds=40))
    assert house.payment().status == Status.REQUIRES_ACTION
    assert len(_sessions(house)) == 1
    type_card(house.pay().action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=2))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)
    call_command("audit")


def test_a_slow_method_is_pending_until_it_settles(house: House) -> None:
    payment = house.pay()
    type_card(payment.action_url, "processing")
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    pending = house.payment()
    assert (pending.status, pending.action_url, house.status()) == (Status.PENDING, "", Invoice.Status.OPEN)
    assert house.pay().status == Status.PENDING, "no second attempt while the first is on its way"
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    house.processor.call("POST", f"/sandbox/payment_intents/{intent['id']}/settle", {"outcome": "succeeded"})
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=10))
    assert (house.payment().status, house.status(), house.taken()) == (Status.SUCCEEDED, Invoice.Status.PAID, DUE)


def test_a_slow_method_that_fails_cannot_succeed_later(house: House) -> None:
    type_card(house.pay().action_url, "processing")
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    house.processor.call("POST", f"/sandbox/payment_intents/{intent['id']}/settle", {"outcome": "failed"})
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.payment().status, house.payment().failure) == (Status.FAILED, "generic_decline")
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    assert intent["status"] == "canceled"
    assert house.pay().status == Status.REQUIRES_ACTION


# An invoice that changes while it is being paid


def test_an_invoice_that_is_being_paid_is_not_voided_until_the_attempt_ends(house: House) -> None:
    payment = house.pay()

    def void() -> Invoice:
        return invoicing.void_invoice(
            organization_id=house.organization_id,
            invoice_id=house.invoice.pk,
            reason="wrong buyer",
            now=moment(),
            actor=house.cast.operator,
        )

    with pytest.raises(invoicing.PaymentInProgress):
        void()
    ended = collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    assert ended is not None and ended.status == Status.CANCELED
    assert void().status == Invoice.Status.VOID
    type_card(payment.action_url)
    assert house.taken() == 0
    call_command("audit")


def test_a_page_on_which_a_card_was_declined_ends_as_declined(house: House) -> None:
    type_card(house.pay().action_url, "insufficient_funds")
    canceled = collection.cancel_attempt(
        organization_id=house.organization_id,
        invoice_id=house.invoice.pk,
        now=moment(),
        actor=house.cast.operator,
        reason="Wrong buyer",
    )
    assert canceled is not None and (canceled.status, canceled.failure) == (Status.CANCELED, "insufficient_funds")
    entry = AuditEntry.objects.using("system").get(action="payment.cancel_asked")
    assert entry.actor_id == house.cast.operator.pk
    assert entry.detail == {"payment": str(canceled.pk), "status": "requires_action", "reason": "Wrong buyer"}
    assert AuditEntry.objects.using("system").get(action="payment.canceled").actor_id == house.cast.operator.pk


def test_canceling_an_attempt_that_succeeded_meanwhile_settles_it(house: House) -> None:
    type_card(house.pay().action_url)
    ended = collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    assert ended is not None and ended.status == Status.SUCCEEDED
    assert house.status() == Invoice.Status.PAID
    assert (
        collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
        is None
    )


def test_canceling_stops_3d_secure_that_is_under_way(house: House) -> None:
    _status, location = type_card(house.pay().action_url, "authenticates")
    collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    submit(house.processor.url + location, {"outcome": "passed"})
    assert (house.payment().status, house.taken()) == (Status.CANCELED, 0)


def test_money_for_an_attempt_that_was_given_up_becomes_credit(house: House) -> None:
    """It should not happen; should it, the money is found again: a row of its own, and prepaid credit."""
    first = house.pay()
    with tenant_scope([house.organization_id]):
        Payment.objects.filter(pk=first.pk).update(status=Status.CANCELED)
    second = house.pay()
    type_card(first.action_url)
    type_card(second.action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, 2 * DUE)

    with tenant_scope([house.organization_id]):
        payment = Payment.objects.get(pk=first.pk)
    answer = unresolved.ask(
        unresolved.load_payment(organization_id=house.organization_id, payment_id=payment.pk), wanted=True, now=moment()
    )
    for _time in range(2):
        record_answer(organization_id=house.organization_id, payment_id=payment.pk, answer=answer, now=moment())
    rows = [(row.status, row.amount) for row in house.payments()]
    assert rows == [(Status.CANCELED, DUE), (Status.SUCCEEDED, DUE), (Status.SUCCEEDED, DUE)]
    with tenant_scope([house.organization_id]):
        [credit] = CreditGrant.objects.filter(key__startswith="overpayment:")
    assert (credit.amount, credit.kind, house.balance().prepaid) == (DUE, CreditGrant.Kind.PAID, DUE)
    assert house.mails() == ["receipt", "receipt"]
    call_command("audit")


# What cannot be paid


def test_without_a_card_processor(db: None) -> None:
    cast = meet_the_debtors()
    invoice = open_invoice(cast.acme)
    with pytest.raises(NoCardProcessor):
        collection.start_payment(
            organization_id=invoice.organization_id, invoice_id=invoice.pk, now=moment(), user=None
        )


def test_a_neighbours_invoice_does_not_exist(house: House) -> None:
    with pytest.raises(Invoice.DoesNotExist):
        collection.start_payment(
            organization_id=house.cast.globex.organization.pk, invoice_id=house.invoice.pk, now=moment(), user=None
        )
    assert house.payments() == []


def test_a_sweep_does_not_wait_for_a_dead_processor_again_and_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unresolved, "MOST_IN_VAIN", 1)
    other = House(house.cast, open_invoice(house.cast.globex), house.processor)
    for debtor in (house, other):
        debtor.pay()
    faults = {"fault": "drop", "where": "GET /v1/checkout/sessions", "times": 1}
    house.processor.order(faults)
    later = moment() + timedelta(minutes=1)
    unresolved.resolve_unknown(now=later)
    asked = [debtor.payment().checked_at == later for debtor in (house, other)]
    assert sorted(asked) == [False, True], "the second is asked about by the next sweep"


def test_real_ids_and_addresses_are_long(house: House) -> None:
    payment = house.pay()
    url = f"https://checkout.stripe.com/c/pay/cs_live_{'a' * 66}#{'b' * 1800}"
    answer = Answer(status=ProcessorStatus.REQUIRES_ACTION, reference="x" * 255, action_url=url)
    recorded = record_answer(organization_id=house.organization_id, payment_id=payment.pk, answer=answer, now=moment())
    assert recorded.action_url == url


# Our own side goes wrong


@pytest.mark.parametrize("change", ["no key", "another key", "the line is cut"])
def test_a_look_in_vain_changes_nothing(house: House, settings: Settings, change: str) -> None:
    payment = house.pay()
    type_card(payment.action_url)
    if change == "the line is cut":
        house.processor.order({"fault": "drop", "where": "GET /v1/checkout"})
    else:
        settings.STRIPE_SECRET_KEY = "" if change == "no key" else "sk_live_not_served"
    look = {"organization_id": house.organization_id, "invoice_id": house.invoice.pk}
    seen = collection.look_again(**look, now=moment())
    assert seen is not None and seen.status == Status.REQUIRES_ACTION
    assert house.payment().checked_at is not None
    settings.STRIPE_SECRET_KEY = "sk_test_collecting"
    collection.look_again(**look, now=moment())
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)


def test_an_amount_that_differs_is_left_for_somebody_to_look(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = house.pay()
    wrong = Answer(status=ProcessorStatus.SUCCEEDED, reference=payment.reference, amount=Decimal(1), currency="KRW")
    monkeypatch.setattr(StripeProcessor, "look_up", lambda *_: wrong)
    assert unresolved.resolve_unknown(now=moment() + timedelta(minutes=1)) == 0
    assert "needs somebody to look" in caplog.text
    assert (house.payment().status, house.status()) == (Status.REQUIRES_ACTION, Invoice.Status.OPEN)


def test_too_little_for_a_card(db: None, stripe_settings: StandIn) -> None:
    cast = meet_the_debtors()
    exactly = TokenUsage(input_tokens=100_000_000 * 5050 // 7260, output_tokens=0)
    house = House(cast, open_invoice(cast.acme, usage=exactly), stripe_settings)
    assert 0 < house.invoice.amount_due < 100
    with pytest.raises(collection.AmountNotPossible):
        house.pay()
    assert house.payments() == []
    assert look_again_at(house) is None


def look_again_at(house: House) -> Payment | None:
    return collection.look_again(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())


def test_a_click_on_a_page_that_was_paid_long_ago(house: House) -> None:
    first = house.pay(now=moment() - timedelta(hours=1, minutes=55))
    type_card(first.action_url)
    assert house.pay().status == Status.SUCCEEDED
    assert (house.status(), house.taken(), len(house.payments())) == (Invoice.Status.PAID, DUE, 1)


def test_payments_that_are_not_to_be_asked_about_yet_keep_no_other_from_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of this morning was looked at 40 minutes ago and is to be next in 20; the one of just now two minutes ago."""
    monkeypatch.setattr(asking, "MOST", 1)
    neighbour, now = open_invoice(house.cast.globex), moment()
    pages = [
        Payment.objects.using("system").create(
            organization_id=invoice.organization_id,
            invoice=invoice,
            processor="stripe",
            amount=invoice.amount_due,
            currency="KRW",
            status=Status.REQUIRES_ACTION,
            idempotency_key=str(invoice.pk),
            created_at=now - made,
            checked_at=now - asked,
        )
        for invoice, made, asked in (
            (house.invoice, timedelta(hours=8), timedelta(minutes=40)),
            (neighbour, timedelta(minutes=5), timedelta(minutes=2)),
        )
    ]
    assert asking.waiting(Payment, now=now) == pages[1:]
