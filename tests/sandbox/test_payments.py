"""The processor stand-in, as the official Stripe client sees it: cards, charges, refunds, lists, keys, faults."""

import concurrent.futures
from pathlib import Path

import pytest
import stripe

from tests.sandbox.conftest import SPEED, client_of
from tests.sandbox.listener import wait_until
from tests.sandbox.processes import StandIn, stand_in


def customer_with(client: stripe.StripeClient, card: str) -> tuple[str, str]:
    customer = client.v1.customers.create({"email": "kim@acme.example"})
    method = client.v1.payment_methods.attach(card, {"customer": customer.id})
    return customer.id, method.id


def charge(
    client: stripe.StripeClient, customer: str, method: str, *, amount: int = 12_345, key: str | None = None, **more
):
    params = {"amount": amount, "currency": "krw", "customer": customer, "payment_method": method}
    options = {"idempotency_key": key} if key else {}
    return client.v1.payment_intents.create({**params, "confirm": True, "off_session": True, **more}, options)


def ledger(processor: StandIn) -> dict:
    return processor.get("/sandbox/ledger")


def test_a_kept_card_pays_without_its_holder(processor, client):
    customer, method = customer_with(client, "pm_card_visa")
    intent = charge(client, customer, method, metadata={"invoice": "2026-10"})
    assert intent.status == "succeeded"
    assert (intent.amount_received, intent.currency) == (12_345, "krw")
    found = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge.balance_transaction", "customer"]})
    assert found.customer.email == "kim@acme.example"
    assert found.latest_charge.status == "succeeded"
    assert found.latest_charge.payment_method_details.card.last4 == "4242"
    entry = found.latest_charge.balance_transaction
    assert entry.net == entry.amount - entry.fee
    report = ledger(processor)
    assert report["totals"] == {"krw": {"charged": 12_345, "refunded": 0, "net": 12_345}}
    assert report["entries"][0]["metadata"] == {"invoice": "2026-10"}
    assert "_card" not in str(client.v1.payment_methods.retrieve(method))


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
def test_refused_cards_leave_a_failed_attempt(processor, client, card, code, decline_code):
    customer, method = customer_with(client, card)
    with pytest.raises(stripe.CardError) as caught:
        charge(client, customer, method)
    error = caught.value
    assert (error.http_status, error.code, error.error.decline_code) == (402, code, decline_code)
    intent = client.v1.payment_intents.retrieve(error.error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.code == code and intent.last_payment_error.payment_method.id == method
    (entry,) = ledger(processor)["entries"]
    assert (entry["status"], entry["failure_code"]) == ("failed", code)
    _, good = customer_with(client, "pm_card_visa")
    recovered = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    assert client.v1.payment_intents.confirm(intent.id, {"payment_method": recovered.id}).status == "succeeded"
    assert good != recovered.id


def test_cards_that_cannot_be_kept(client):
    customer = client.v1.customers.create({})
    for card in ("pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedExpiredCard"):
        with pytest.raises(stripe.CardError):
            client.v1.payment_methods.attach(card, {"customer": customer.id})
    with pytest.raises(stripe.InvalidRequestError, match="test cards"):
        client.v1.payment_methods.create({"type": "card", "card": {"number": "4111111111111111"}})
    made = client.v1.payment_methods.create({"type": "card", "card": {"number": "4242 4242 4242 4242"}})
    assert made.card.brand == "visa" and made.customer is None


def test_setup_intent_keeps_a_card(client):
    customer = client.v1.customers.create({})
    intent = client.v1.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True}
    )
    assert intent.status == "succeeded"
    assert client.v1.payment_methods.retrieve(intent.payment_method).customer == customer.id
    with pytest.raises(stripe.CardError) as caught:
        client.v1.setup_intents.create({"payment_method": "pm_card_visa_chargeDeclined", "confirm": True})
    assert caught.value.error.setup_intent.status == "requires_payment_method"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount": 99}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": "12.5"}, "parameter_invalid_integer", "amount"),
        ({"currency": "xyz"}, None, "currency"),
        ({"customer": "cus_nobody"}, "resource_missing", "customer"),
        ({"payment_method": "pm_nothing"}, "resource_missing", "payment_method"),
        ({"confirm": True}, "parameter_missing", "payment_method"),
        ({"colour": "red"}, "parameter_unknown", "colour"),
    ],
)
def test_bad_parameters_are_named_and_change_nothing(processor, client, params, code, param):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create({"amount": 1000, "currency": "krw", **params})
    assert (caught.value.code, caught.value.param) == (code, param)
    assert ledger(processor)["intents"] == []


def test_intents_are_updated_and_canceled(client):
    intent = client.v1.payment_intents.create({"amount": 1000, "currency": "krw", "metadata": {"a": "1", "b": "2"}})
    changed = client.v1.payment_intents.update(intent.id, {"amount": 2000, "metadata": {"b": "", "c": "3"}})
    assert changed.amount == 2000 and changed.metadata.to_dict() == {"a": "1", "c": "3"}
    assert client.v1.payment_intents.cancel(intent.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert caught.value.code == "payment_intent_unexpected_state"


def test_a_method_belongs_to_its_customer(client):
    customer, method = customer_with(client, "pm_card_visa")
    other = client.v1.customers.create({})
    with pytest.raises(stripe.InvalidRequestError):
        charge(client, other.id, method)
    client.v1.payment_methods.detach(method)
    with pytest.raises(stripe.InvalidRequestError):
        charge(client, customer, method)
    assert client.v1.customers.delete(customer).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        charge(client, customer, "pm_card_visa")


def test_refunds_never_exceed_what_was_paid(processor, client):
    customer, method = customer_with(client, "pm_card_visa")
    intent = charge(client, customer, method, amount=10_000)
    part = client.v1.refunds.create({"payment_intent": intent.id, "amount": 4_000})
    assert part.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 6_001})
    client.v1.refunds.create({"charge": intent.latest_charge, "reason": "requested_by_customer"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    assert client.v1.charges.retrieve(intent.latest_charge).refunded is True
    assert ledger(processor)["totals"]["krw"] == {"charged": 10_000, "refunded": 10_000, "net": 0}
    assert [r.amount for r in client.v1.refunds.list({"payment_intent": intent.id}).data] == [6_000, 4_000]


def test_lists_have_pages_and_filters(client):
    ids = [client.v1.customers.create({"email": f"{n}@acme.example"}).id for n in range(5)]
    page = client.v1.customers.list({"limit": 2})
    assert [c.id for c in page.data] == ids[:2:-1] and page.has_more
    assert [c.id for c in page.auto_paging_iter()] == ids[::-1]
    before = client.v1.customers.list({"limit": 2, "ending_before": ids[1]})
    assert [c.id for c in before.data] == [ids[3], ids[2]] and before.has_more
    assert [c.id for c in client.v1.customers.list({"email": "3@acme.example"}).data] == [ids[3]]
    client.v1.customers.delete(ids[0])
    assert len(client.v1.customers.list().data) == 4


def test_search_finds_an_attempt(client):
    customer, method = customer_with(client, "pm_card_visa")
    charge(client, customer, method, metadata={"attempt": "6"})
    wanted = charge(client, customer, method, metadata={"attempt": "7"})
    query = "metadata['attempt']:'7' AND status:'succeeded'"
    assert [i.id for i in client.v1.payment_intents.search({"query": query}).data] == [wanted.id]


def test_events_are_kept(client):
    customer, method = customer_with(client, "pm_card_visa")
    intent = charge(client, customer, method)
    kinds = [event.type for event in client.v1.events.list({"limit": 100}).data][::-1]
    assert kinds == [
        "customer.created",
        "payment_method.attached",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    (event,) = client.v1.events.list({"type": "payment_intent.succeeded"}).data
    assert client.v1.events.retrieve(event.id).data.object.id == intent.id
    assert client.v1.balance.retrieve().available[0].amount == 12_345 - 12_345 * 36 // 1000 - 400


def test_a_slow_payment_settles(processor, client):
    customer, method = customer_with(client, "pm_card_processing")
    intent = charge(client, customer, method)
    assert intent.status == "processing"
    done = wait_until(lambda: client.v1.payment_intents.retrieve(intent.id).status == "succeeded")
    assert done
    failing = charge(client, customer, method)
    processor.call("POST", f"/sandbox/payment_intents/{failing.id}/settle", {"outcome": "failed"})
    assert client.v1.payment_intents.retrieve(failing.id).status == "requires_payment_method"


def test_keys_are_demanded(processor, client):
    stranger = stripe.StripeClient("sk_live_x", base_addresses={"api": processor.url})
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.list()
    assert processor.call("GET", "/v1/customers")[0] == 401
    headers = {"Authorization": "Bearer sk_test_x"}
    assert processor.call("GET", "/v1/nonsense", headers=headers)[0] == 404


# idempotency


def test_the_same_key_has_the_same_answer(processor, client):
    customer, method = customer_with(client, "pm_card_visa")
    first = charge(client, customer, method, key="k1")
    again = charge(client, customer, method, key="k1")
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]
    with pytest.raises(stripe.IdempotencyError) as caught:
        charge(client, customer, method, key="k1", amount=500)
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({}, {"idempotency_key": "k1"})
    assert len(ledger(processor)["entries"]) == 1
    processor.call("DELETE", "/sandbox/idempotency-keys")
    assert charge(client, customer, method, key="k1").id != first.id


def test_a_refusal_is_replayed_too(processor, client):
    customer, method = customer_with(client, "pm_card_chargeCustomerFail")
    intents = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            charge(client, customer, method, key="k2")
        intents.add(caught.value.error.payment_intent.id)
    assert len(intents) == 1 and len(ledger(processor)["entries"]) == 1


def test_a_request_that_did_not_begin_leaves_its_key_free(client):
    customer, method = customer_with(client, "pm_card_visa")
    with pytest.raises(stripe.InvalidRequestError):
        charge(client, customer, method, key="k3", amount=1)
    assert charge(client, customer, method, key="k3").status == "succeeded"


def test_sticky_500(processor, client):
    customer, method = customer_with(client, "pm_card_visa")
    for fault, charged in (("sticky-500", 0), ("sticky-500-committed", 1)):
        processor.order(fault)
        for _ in range(3):
            with pytest.raises(stripe.APIError) as caught:
                charge(client, customer, method, key=fault, metadata={"attempt": fault})
            assert caught.value.http_status == 500
        found = client.v1.payment_intents.search({"query": f"metadata['attempt']:'{fault}'"}).data
        assert len(found) == charged
    assert len(ledger(processor)["entries"]) == 1


def test_accept_then_drop_charges_once(processor, client):
    customer, method = customer_with(client, "pm_card_visa")
    processor.order("accept-then-drop", {"fault": "drop", "where": "POST /v1/payment_intents"})
    for _ in range(2):
        with pytest.raises(stripe.APIConnectionError):
            charge(client, customer, method, key="k4")
    assert len(ledger(processor)["entries"]) == 1
    assert charge(client, customer, method, key="k4").status == "succeeded"
    assert len(ledger(processor)["entries"]) == 1


def test_status_faults_are_not_sticky(processor, client):
    processor.order("status-429", "status-500", "status-503", {"fault": "status-500", "where": "GET /v1/customers"})
    seen = []
    for _ in range(4):
        try:
            client.v1.customers.create({}, {"idempotency_key": "k5"})
            seen.append(200)
        except stripe.StripeError as error:
            seen.append(error.http_status)
    assert seen == [429, 500, 503, 200]
    with pytest.raises(stripe.APIError):
        client.v1.customers.list()
    assert len(client.v1.customers.list().data) == 1


def test_one_key_at_once(processor, client):
    customer, method = customer_with(client, "pm_card_visa")
    processor.order("slow:0.4")

    def attempt() -> int:
        try:
            charge(client_of(processor), customer, method, key="k6")
            return 200
        except stripe.StripeError as error:
            return error.http_status

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = sorted(f.result() for f in [pool.submit(attempt) for _ in range(4)])
    assert statuses == [200, 409, 409, 409]
    assert attempt() == 200 and len(ledger(processor)["entries"]) == 1


def test_a_restart_keeps_books_and_keys(tmp_path: Path):
    with stand_in("payments", "--directory", str(tmp_path), *SPEED) as first:
        client = client_of(first)
        customer, method = customer_with(client, "pm_card_visa")
        intent = charge(client, customer, method, key="k7")
        before = ledger(first)
        page = {"mode": "setup", "currency": "krw", "customer": customer, "success_url": "https://shop.example"}
        session = client.v1.checkout.sessions.create(page)
        first.process.kill()
        first.process.wait()
    with stand_in("payments", "--directory", str(tmp_path), *SPEED) as second:
        client = client_of(second)
        assert charge(client, customer, method, key="k7").id == intent.id
        assert ledger(second) == before
        assert client.v1.checkout.sessions.retrieve(session.id).url == f"{second.url}/checkout/{session.id}"
        assert second.get("/readyz") == {"status": "ok"}
        assert second.stop() == 0
