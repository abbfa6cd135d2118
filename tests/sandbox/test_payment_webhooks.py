"""The processor's webhooks: signed, retried, kept, and delivered wrongly on order."""

from pathlib import Path

import pytest
import stripe

from tests.sandbox.conftest import SPEED, client_of
from tests.sandbox.listener import listening, wait_until
from tests.sandbox.processes import stand_in


def make(client: stripe.StripeClient, *names: str) -> None:
    for name in names:
        client.v1.customers.create({"name": name})


def names(listener) -> list[str]:
    return [event.data.object.name for event in listener.arrived]


def test_signed_and_in_order(client, listener):
    make(client, "a", "b", "c")
    listener.wait_for("customer.created", times=3)
    assert names(listener) == ["a", "b", "c"]
    event = client.v1.events.list({"limit": 1}).data[0]
    assert listener.arrived[-1].id == event.id
    assert wait_until(lambda: client.v1.events.retrieve(event.id).pending_webhooks == 0)


def test_retried_until_accepted(processor, client, listener):
    listener.answers = [500, 302]
    make(client, "a")
    assert len(listener.wait_for("customer.created", times=3)) == 3
    assert len({event.id for event in listener.arrived}) == 1
    (delivery,) = wait_until(
        lambda: [d for d in processor.get("/sandbox/webhooks")["deliveries"] if d["state"] == "delivered"]
    )
    assert delivery["attempts"] == 3


def test_repeated_and_delayed(processor, client, listener):
    processor.order("repeat-webhook:2", "delay-webhook:0.4")
    make(client, "twice more", "late", "in time")
    listener.wait_for("customer.created", times=5)
    assert names(listener) == ["twice more"] * 3 + ["in time", "late"]


def test_reordered(processor, client, listener):
    processor.order({"fault": "reorder-webhook", "where": "customer"})
    make(client, "a", "b")
    listener.wait_for("customer.created", times=2)
    assert names(listener) == ["b", "a"]


def test_dropped_and_sent_again(processor, client, listener):
    processor.order("drop-webhook")
    make(client, "lost", "seen")
    listener.wait_for("customer.created")
    assert names(listener) == ["seen"]
    lost = client.v1.events.list({"limit": 2}).data[1]
    assert processor.call("POST", "/sandbox/webhooks/resend", {"event": lost.id})[2] == {"due": 1}
    listener.wait_for("customer.created", times=2)
    assert names(listener) == ["seen", "lost"]


def test_undelivered_events_outlive_the_process(tmp_path: Path):
    arguments = ("--directory", str(tmp_path), *SPEED)
    with stand_in("payments", *arguments, "--webhook-url", "http://127.0.0.1:9/nobody") as first:
        make(client_of(first), "patient")
        assert wait_until(lambda: first.get("/sandbox/webhooks")["deliveries"][0]["attempts"] > 0)
        first.process.kill()
        first.process.wait()
    with listening() as listener, stand_in("payments", *arguments, "--webhook-url", listener.url):
        assert listener.wait_for("customer.created")
        assert names(listener) == ["patient"]


def test_a_forged_signature_is_seen(listener):
    with pytest.raises(stripe.SignatureVerificationError):
        listener.take(b"{}", "t=1,v1=00")
