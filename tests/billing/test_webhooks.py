"""Webhooks are doorbells: kept once when genuine, not at all when not, and harmless however often and in which order they ring."""

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from accounts.tenancy import tenant_scope
from billing import collection, tasks
from billing.models import Invoice, Payment, ProcessorEvent
from billing.payments import unresolved, webhooks
from config.launch.places import CHECKOUT
from sandbox.payments.webhooks import sign
from tests.billing.collecting import DUE, SECRET, House, at_once, deliver, moment, post, type_card

Status = Payment.Status


def work_off() -> None:
    """The task that the view rang for."""
    for event in ProcessorEvent.objects.order_by("pk"):
        webhooks.process_event(event_id=event.pk, now=moment())


def outcomes() -> list[tuple[str, str]]:
    return list(ProcessorEvent.objects.order_by("pk").values_list("type", "outcome"))


def paid_once(house: House) -> bool:
    return (house.status(), house.payment().status, house.taken(), house.balance().receivable, house.mails()) == (
        Invoice.Status.PAID,
        Status.SUCCEEDED,
        DUE,
        0,
        ["receipt"],
    )


def test_a_payment_is_settled_by_webhook(house: House) -> None:
    type_card(house.pay().action_url)
    for event in house.events():
        assert deliver(event).status_code == 200
    assert house.status() == Invoice.Status.OPEN, "kept first, worked off by a task"
    work_off()
    assert paid_once(house)
    assert outcomes() == [
        ("payment_intent.created", "nothing to do"),
        ("charge.succeeded", "nothing to do"),
        ("payment_intent.succeeded", "succeeded"),
        ("checkout.session.completed", "nothing to do"),
    ]
    call_command("audit")


def test_delivered_again_in_any_order_and_at_once_it_changes_nothing(house: House) -> None:
    payment = house.pay()
    type_card(payment.action_url, "declines")
    type_card(payment.action_url)
    events = house.events("payment_intent") + house.events("checkout")
    for event in reversed(events * 3):
        assert deliver(event).status_code == 200
    assert ProcessorEvent.objects.count() == len(events)
    for answer in at_once(work_off, times=4):
        assert answer is None
    work_off()
    assert paid_once(house)
    call_command("audit")


def test_an_old_failure_after_the_success_changes_nothing(house: House) -> None:
    payment = house.pay()
    type_card(payment.action_url, "declines")
    [failure] = house.events("payment_failed")
    type_card(payment.action_url)
    deliver(house.events("session.completed")[0])
    work_off()
    deliver(failure)
    work_off()
    assert paid_once(house)


def test_what_an_event_says_is_not_believed(house: House) -> None:
    """Signed, but nothing was paid at the processor."""
    payment = house.pay()
    session = {"id": payment.reference, "metadata": {"payment": str(payment.pk)}, "payment_status": "paid"}
    event = {
        "id": "evt_wishful",
        "object": "event",
        "livemode": False,
        "type": "checkout.session.completed",
        "data": {"object": session},
    }
    assert deliver(event).status_code == 200
    work_off()
    assert (house.status(), house.payment().status) == (Invoice.Status.OPEN, Status.REQUIRES_ACTION)


def test_a_webhook_that_comes_before_our_own_answer(house: House) -> None:
    """The call's answer was lost; its customer has no page, so the processor's event of a charge is played by hand."""
    house.processor.order("accept-then-drop")
    payment = house.pay()
    assert payment.status == Status.UNKNOWN
    headers = {"Authorization": "Bearer sk_test_x"}
    [session] = house.processor.call("GET", "/v1/checkout/sessions", headers=headers)[2]["data"]
    type_card(session["url"])
    for event in house.events():
        deliver(event)
    work_off()
    assert paid_once(house)
    assert house.payment().reference == session["id"]
    late = unresolved.resolve_payment(organization_id=house.organization_id, payment_id=payment.pk, now=moment())
    assert late.status == Status.SUCCEEDED
    call_command("audit")


def test_an_answer_that_comes_after_the_webhook_does_not_reopen(house: House) -> None:
    from billing.settlement import record_answer

    payment = house.pay()
    opened = unresolved.ask(
        unresolved.load_payment(organization_id=house.organization_id, payment_id=payment.pk),
        wanted=True,
        now=moment(),
    )
    type_card(payment.action_url)
    deliver(house.events("session.completed")[0])
    work_off()
    record_answer(organization_id=house.organization_id, payment_id=payment.pk, answer=opened, now=moment())
    assert paid_once(house)


def test_an_expired_page_frees_the_invoice(house: House) -> None:
    payment = house.pay()
    headers = {"Authorization": "Bearer sk_test_x"}
    house.processor.call("POST", f"/v1/checkout/sessions/{payment.reference}/expire", b"", headers)
    deliver(house.events("expired")[0])
    work_off()
    assert (house.payment().status, house.status()) == (Status.CANCELED, Invoice.Status.OPEN)
    assert house.pay().status == Status.REQUIRES_ACTION


@pytest.mark.parametrize("fault", ["drop", "status-500"])
def test_an_event_waits_while_the_processor_is_away(house: House, fault: str) -> None:
    type_card(house.pay().action_url)
    deliver(house.events("session.completed")[0])
    house.processor.order({"fault": fault, "where": "GET /v1/checkout/sessions/"})
    work_off()
    event = ProcessorEvent.objects.get()
    assert (event.processed_at, event.attempts, house.status()) == (None, 1, Invoice.Status.OPEN)
    assert webhooks.process_waiting_events(now=event.received_at + timedelta(seconds=19)) == 0
    assert webhooks.process_waiting_events(now=event.received_at + timedelta(seconds=21)) == 1
    assert paid_once(house)
    assert webhooks.process_waiting_events(now=event.received_at + timedelta(days=1)) == 0


def test_another_amount_than_ours_is_not_booked(house: House) -> None:
    type_card(house.pay().action_url)
    with tenant_scope([house.organization_id]):
        other = Payment.objects.create(
            organization_id=house.organization_id,
            invoice=house.invoice,
            processor="stripe",
            amount=1,
            currency="KRW",
            status=Status.CANCELED,
            idempotency_key="other",
            created_at=moment(),
        )
    [event] = house.events("session.completed")
    event["data"]["object"]["metadata"]["payment"] = str(other.pk)
    deliver(event)
    work_off()
    waiting = ProcessorEvent.objects.get()
    assert (waiting.processed_at, house.status()) == (None, Invoice.Status.OPEN)
    assert "2260" in waiting.outcome


def test_a_processor_rings_only_for_payments_of_its_own(house: House) -> None:
    """A payment that was made elsewhere is not asked about, whatever the event says."""
    type_card(house.pay().action_url)
    with tenant_scope([house.organization_id]):
        elsewhere = Payment.objects.create(
            organization_id=house.organization_id,
            invoice=house.invoice,
            processor="another",
            amount=DUE,
            currency="KRW",
            status=Status.CANCELED,
            idempotency_key="elsewhere",
            created_at=moment(),
        )
    [event] = house.events("session.completed")
    event["data"]["object"]["metadata"]["payment"] = str(elsewhere.pk)
    deliver(event)
    work_off()
    assert outcomes() == [("checkout.session.completed", "no payment of ours")]
    assert ProcessorEvent.objects.get().processed_at is not None
    assert house.status() == Invoice.Status.OPEN


# What is refused


def test_forged_old_and_foreign_deliveries_are_refused_and_not_kept(house: House) -> None:
    type_card(house.pay().action_url)
    [event] = house.events("session.completed")
    raw = json.dumps(event).encode()
    genuine = sign(raw, secret=SECRET, timestamp=int(moment().timestamp()))
    answers = {
        "no signature": post(raw, ""),
        "garbage": post(raw, "v1=abc"),
        "another secret": deliver(event, secret="whsec_other"),
        "changed after signing": post(raw.replace(b"2260", b"1"), genuine),
        "old": deliver(event, at=moment() - timedelta(minutes=6)),
        "from the future": deliver(event, at=moment() + timedelta(minutes=6)),
        "the other mode": deliver(event, livemode=True),
        "not an event": deliver({"object": "charge"}),
        "not JSON": post(b"[" * 5000, sign(b"[" * 5000, secret=SECRET, timestamp=int(moment().timestamp()))),
        "a list": post(b"[]", sign(b"[]", secret=SECRET, timestamp=int(moment().timestamp()))),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 400)
    huge = b" " * (1024 * 1024 + 1)
    assert post(huge, sign(huge, secret=SECRET, timestamp=int(moment().timestamp()))).status_code == 413
    assert not ProcessorEvent.objects.exists()
    assert deliver(event).status_code == 200


def test_nothing_is_taken_where_no_processor_or_secret_is_set(house: House, settings: Settings) -> None:
    event = {"id": "evt_1", "object": "event", "livemode": False, "type": "x", "data": {"object": {}}}
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert deliver(event, secret="").status_code == 400
    settings.STRIPE_SECRET_KEY = ""
    assert deliver(event).status_code == 400
    assert not ProcessorEvent.objects.exists()


def test_events_of_others_are_closed_quietly(house: House) -> None:
    for number, metadata in enumerate(
        ({}, {"payment": "no-uuid"}, {"payment": "7a1c1f6e-6f0e-4b3f-9f57-0d4f3a1a2b3c"})
    ):
        thing = {"id": f"pi_{number}", "metadata": metadata}
        event = {"id": f"evt_{number}", "object": "event", "livemode": False, "type": "payment_intent.succeeded"}
        assert deliver(event, data={"object": thing}).status_code == 200
    work_off()
    assert [outcome for _type, outcome in outcomes()] == ["nothing to do", "nothing to do", "no payment of ours"]


def test_what_is_kept_of_an_event_tells_nothing_of_the_customer(house: House) -> None:
    type_card(house.pay().action_url)
    deliver(house.events("session.completed")[0])
    kept = json.dumps(ProcessorEvent.objects.get().payload)
    assert house.cast.acme.owner.email not in kept and "metadata" not in kept


def test_with_the_broker_away_the_event_is_kept_and_swept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu.exceptions import OperationalError

    def away(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr("billing.tasks.process_processor_event.apply_async", away)
    type_card(house.pay().action_url)
    assert deliver(house.events("session.completed")[0]).status_code == 200
    webhooks.process_waiting_events(now=moment() + timedelta(minutes=1))
    assert paid_once(house)


def test_an_event_that_fails_keeps_no_other_waiting(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes first, as the one that was tried least, and after it no longer does."""
    type_card(house.pay().action_url)
    [done] = house.events("session.completed")
    deliver(done | {"id": "evt_first"}), deliver(done)
    first = ProcessorEvent.objects.get(event_id="evt_first")
    outcome_of = webhooks._outcome

    def fails_once(event: ProcessorEvent, now: datetime) -> str:
        if event.pk == first.pk:
            raise RuntimeError("nobody thought of this")
        return outcome_of(event, now)

    monkeypatch.setattr(webhooks, "_outcome", fails_once)
    webhooks.process_waiting_events(now=moment() + timedelta(minutes=1))
    first.refresh_from_db()
    assert (first.processed_at, first.attempts, first.outcome) == (None, 1, "failed: RuntimeError")
    assert paid_once(house)


# The real way, over sockets


@pytest.mark.parametrize("fault", ["", "repeat-webhook:3", "reorder-webhook", "drop-webhook"])
def test_the_processor_delivers_by_itself(house: House, live_server: LiveServer, fault: str) -> None:
    endpoint = {"url": f"{live_server.url}/webhooks/stripe", "secret": SECRET}
    house.processor.call("PUT", "/sandbox/webhook-endpoint", endpoint)
    if fault:
        house.processor.order({"fault": fault, "where": "payment_intent.succeeded"})
    type_card(house.pay().action_url)
    deadline = time.monotonic() + 180
    while ProcessorEvent.objects.count() < (3 if fault == "drop-webhook" else 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    house.processor.call("PUT", "/sandbox/webhook-endpoint", {"url": ""})
    work_off()
    assert paid_once(house)
    call_command("audit")


def test_the_customer_is_back_before_the_webhook(house: House) -> None:
    type_card(house.pay().action_url)
    collection.look_again(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    assert paid_once(house)
    for event in house.events():
        deliver(event)
    work_off()
    assert paid_once(house)


def test_the_tasks_do_what_they_say(house: House) -> None:
    type_card(house.pay().action_url)
    [event] = house.events("session.completed")
    deliver(event)
    tasks.sweep_processor_events()
    assert house.status() == Invoice.Status.OPEN, "it came just now; whoever was rung does it"
    tasks.process_processor_event(event_id=ProcessorEvent.objects.get().pk)
    tasks.resolve_unknown_payments()
    assert paid_once(house)


def test_a_worker_settles_what_the_processor_delivers(
    house: House, live_server: LiveServer, process_environment: dict[str, str]
) -> None:
    """Page, webhook, inbox, broker, worker: nothing of it is called by hand."""
    environment = process_environment | {
        "STRIPE_SECRET_KEY": "sk_test_collecting",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": house.processor.url,
    }
    light = ("--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat")
    command = (sys.executable, "-m", "celery", "-A", "config", "--quiet", "worker", *light)
    endpoint = {"url": f"{live_server.url}/webhooks/stripe", "secret": SECRET}
    house.processor.call("PUT", "/sandbox/webhook-endpoint", endpoint)
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment) as worker:
        try:
            type_card(house.pay().action_url)
            deadline = time.monotonic() + 180
            while house.status() != Invoice.Status.PAID and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            house.processor.call("PUT", "/sandbox/webhook-endpoint", {"url": ""})
            worker.terminate()
    assert paid_once(house)
    call_command("audit")
