"""The interface as Stripe and bank transfers keep it, and charges of stored cards through it."""

import dataclasses
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import stripe
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.tenancy import tenant_scope
from billing import collection
from billing.models import Invoice, Payment, PaymentMethod
from billing.payments import unresolved
from billing.processors import bank_transfer
from billing.processors.interface import (
    Attempt,
    InvalidWebhook,
    NotSupported,
    Processor,
    ProcessorRefused,
    ProcessorUnreachable,
    RefundRequest,
    SetupAttempt,
    Status,
    StoredMethod,
)
from billing.processors.selection import NoCardProcessor, card_processor, processors
from billing.processors.stripe_answers import from_smallest_unit, to_smallest_unit
from pricing.totals import FractionOfMinorUnit
from tests.billing.collecting import DUE, House, moment, submit, type_card
from tests.sandbox.conftest import client_of
from tests.sandbox.processes import StandIn

PAGE = "https://site.example/o/acme"
Charge = Callable[..., Payment]


@pytest.fixture
def cards(stripe_settings: StandIn) -> Processor:
    return card_processor()


@pytest.fixture
def client(stripe_settings: StandIn) -> stripe.StripeClient:
    return client_of(stripe_settings)


def keep_card(client: stripe.StripeClient, card: str) -> StoredMethod:
    customer = client.v1.customers.create({"email": "kim@acme.example"})
    method = client.v1.payment_methods.attach(card, {"customer": customer.id})
    return StoredMethod(customer_reference=customer.id, reference=method.id, label="Visa")


def attempt(*, method: StoredMethod | None = None, amount: Decimal = Decimal(DUE), currency: str = "KRW") -> Attempt:
    now = moment()
    payment_id = uuid4()
    return Attempt(
        payment_id=payment_id,
        idempotency_key=f"payment-{payment_id}",
        amount=amount,
        currency=currency,
        created_at=now,
        expires_at=now + timedelta(hours=2),
        description="인보이스랩 INV-000001",
        language="ko",
        payer_email="kim@acme.example",
        success_url=f"{PAGE}?done",
        cancel_url=f"{PAGE}?canceled",
        method=method,
    )


def test_selection_follows_the_settings(settings: Settings, stripe_settings: StandIn) -> None:
    assert set(processors()) == {"stripe", "bank_transfer"}
    assert card_processor() is card_processor()
    settings.STRIPE_SECRET_KEY = ""
    assert set(processors()) == {"bank_transfer"}
    with pytest.raises(NoCardProcessor):
        card_processor()


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [("500", "KRW", 500), ("500.00", "KRW", 500), ("5", "USD", 500), ("0.01", "USD", 1), ("19.99", "USD", 1999)],
)
def test_amounts_in_the_smallest_unit(amount: str, currency: str, units: int) -> None:
    assert to_smallest_unit(Decimal(amount), currency) == units
    assert from_smallest_unit(units, currency) == Decimal(amount)


@pytest.mark.parametrize(("amount", "currency"), [("0.5", "KRW"), ("0.001", "USD")])
def test_no_fraction_of_a_unit_is_sent(amount: str, currency: str) -> None:
    with pytest.raises(FractionOfMinorUnit):
        to_smallest_unit(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("amount", "currency", "possible"),
    [
        ("100", "KRW", True),
        ("99", "KRW", False),
        ("100000000", "KRW", False),
        ("0.50", "USD", True),
        ("9", "EUR", False),
    ],
)
def test_capabilities(cards: Processor, amount: str, currency: str, possible: bool) -> None:
    assert cards.capabilities.can_take(Decimal(amount), currency) is possible


def test_a_dollar_page(cards: Processor, stripe_settings: StandIn) -> None:
    wanted = attempt(amount=Decimal("19.99"), currency="USD")
    answer = cards.start_payment(wanted)
    assert (answer.status, cards.start_payment(wanted)) == (Status.REQUIRES_ACTION, answer)
    type_card(answer.action_url)
    paid = cards.look_up(dataclasses.replace(wanted, reference=answer.reference))
    assert paid is not None
    assert (paid.status, paid.amount, paid.currency) == (Status.SUCCEEDED, Decimal("19.99"), "USD")
    assert stripe_settings.get("/sandbox/ledger")["totals"]["usd"]["charged"] == 1999


def test_an_attempt_is_found_without_its_reference(cards: Processor, client: stripe.StripeClient) -> None:
    page, charge = attempt(), attempt(method=keep_card(client, "pm_card_visa"))
    for wanted in (page, charge):
        assert cards.look_up(wanted) is None and cards.cancel(wanted) is None
    made = [cards.start_payment(page), cards.charge(charge)]
    assert [cards.look_up(page), cards.look_up(charge)] == made
    assert cards.look_up(dataclasses.replace(page, reference="cs_test_nothing")) is None


def test_a_charge_that_is_refused_can_still_succeed_until_it_is_canceled(
    cards: Processor, client: stripe.StripeClient
) -> None:
    wanted = attempt(method=keep_card(client, "pm_card_visa_chargeDeclinedInsufficientFunds"))
    answer = cards.charge(wanted)
    assert (answer.status, answer.failure) == (Status.DECLINED, "insufficient_funds")
    ended = cards.cancel(dataclasses.replace(wanted, reference=answer.reference))
    assert ended is not None and ended.status == Status.FAILED
    assert client.v1.payment_intents.retrieve(answer.reference).status == "canceled"


def test_refunds_in_parts(cards: Processor, client: stripe.StripeClient) -> None:
    paid = cards.charge(attempt(method=keep_card(client, "pm_card_visa")))
    part = refund_request(money_reference=paid.money_reference, amount=Decimal(1000))
    first, again = cards.refund(part), cards.refund(part)
    assert (first.status, again) == (Status.SUCCEEDED, first)
    assert (
        cards.look_up_refund(part)
        == cards.look_up_refund(dataclasses.replace(part, reference=first.reference))
        == first
    )
    more = refund_request(money_reference=paid.money_reference, amount=Decimal(DUE))
    with pytest.raises(ProcessorRefused):
        cards.refund(more)
    assert cards.look_up_refund(more) is None


def refund_request(**fields: Any) -> RefundRequest:
    refund_id = uuid4()
    return RefundRequest(refund_id=refund_id, idempotency_key=f"refund-{refund_id}", currency="KRW", **fields)


def setup_attempt(customer_reference: str) -> SetupAttempt:
    setup_id = uuid4()
    return SetupAttempt(
        setup_id=setup_id,
        idempotency_key=f"setup-{setup_id}",
        customer_reference=customer_reference,
        currency="KRW",
        language="ko",
        expires_at=moment() + timedelta(hours=2),
        success_url=f"{PAGE}?done",
        cancel_url=f"{PAGE}?canceled",
    )


def test_a_card_is_left_on_a_page_and_forgotten_again(cards: Processor, client: stripe.StripeClient) -> None:
    customer = cards.make_customer(organization="acme", email="kim@acme.example", idempotency_key="customer-1")
    assert customer == cards.make_customer(organization="acme", email="kim@acme.example", idempotency_key="customer-1")
    wanted = setup_attempt(customer)
    setup = cards.start_setup(wanted)
    assert (setup.status, cards.start_setup(wanted)) == (Status.REQUIRES_ACTION, setup)
    assert cards.look_up_setup(setup.reference, setup_id=wanted.setup_id) == setup
    type_card(setup.url)
    done = cards.look_up_setup(setup.reference, setup_id=wanted.setup_id)
    assert done is not None and done.status == Status.SUCCEEDED and done.method is not None
    assert (done.method.label, done.method.expires_on) == ("Visa 4242", date(2034, 12, 31))
    assert cards.look_up_setup(setup.reference, setup_id=uuid4()) is None, "another attempt's page"
    assert cards.look_up_setup("cs_test_nothing", setup_id=wanted.setup_id) is None
    assert cards.charge(attempt(method=done.method)).status == Status.SUCCEEDED
    for _time in range(2):
        cards.forget(done.method)
    assert client.v1.payment_methods.retrieve(done.method.reference).customer is None
    cards.forget(StoredMethod(customer_reference=customer, reference="pm_nothing"))


@pytest.mark.parametrize(
    ("fault", "error"),
    [("drop", "APIConnectionError"), ("status-500", "APIError 500"), ("status-429", "RateLimitError")],
)
def test_no_answer_is_no_answer(cards: Processor, stripe_settings: StandIn, fault: str, error: str) -> None:
    stripe_settings.order(fault)
    with pytest.raises(ProcessorUnreachable, match=error):
        cards.start_payment(attempt())


def test_a_key_with_other_parameters_is_not_a_refusal(cards: Processor) -> None:
    wanted = attempt()
    cards.start_payment(wanted)
    with pytest.raises(ProcessorUnreachable, match="IdempotencyError"):
        cards.start_payment(dataclasses.replace(wanted, amount=Decimal(1)))


def test_bank_transfers_start_nothing() -> None:
    bank = processors()[bank_transfer.NAME]
    assert not (bank.capabilities.hosted_page or bank.capabilities.off_session)
    for call in (bank.start_payment, bank.charge, bank.look_up, bank.cancel):
        with pytest.raises(NotSupported):
            call(attempt())
    for call_about_refund in (bank.refund, bank.look_up_refund):
        with pytest.raises(NotSupported):
            call_about_refund(refund_request(money_reference="", amount=Decimal(1)))
    with pytest.raises(NotSupported):
        bank.make_customer(organization="acme", email="", idempotency_key="")
    with pytest.raises(NotSupported):
        bank.start_setup(setup_attempt(""))
    with pytest.raises(NotSupported):
        bank.look_up_setup("", setup_id=uuid4())
    with pytest.raises(NotSupported):
        bank.forget(StoredMethod(customer_reference="", reference=""))
    with pytest.raises(InvalidWebhook):
        bank.parse_webhook(b"", "", now=moment())


# Charges without the customer


@pytest.fixture
def charge(house: House, client: stripe.StripeClient) -> Charge:
    def make(card: str = "pm_card_visa") -> Payment:
        kept = keep_card(client, card)
        with tenant_scope([house.organization_id]):
            method = PaymentMethod.objects.create(
                organization_id=house.organization_id,
                processor="stripe",
                customer_reference=kept.customer_reference,
                reference=kept.reference,
                label=kept.label,
                created_at=moment(),
            )
        return collection.charge_invoice(
            organization_id=house.organization_id, invoice_id=house.invoice.pk, method_id=method.pk, now=moment()
        )

    return make


def test_a_stored_card_pays(house: House, charge: Charge) -> None:
    payment = charge()
    assert (payment.status, house.status(), house.taken()) == ("succeeded", Invoice.Status.PAID, DUE)
    assert house.mails() == ["receipt"]
    call_command("audit")


@pytest.mark.parametrize(
    ("card", "failure"),
    [
        ("pm_card_chargeCustomerFail", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
def test_a_stored_card_that_is_refused_falls_back_to_the_page(
    house: House, charge: Charge, card: str, failure: str
) -> None:
    payment = charge(card)
    assert (payment.status, payment.failure, house.mails()) == ("failed", failure, ["payment_failed"])
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    assert intent["status"] == "canceled"
    page = house.pay()
    _status, location = type_card(page.action_url, "authenticates")
    submit(house.processor.url + location, {"outcome": "passed"})
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)
    call_command("audit")


@pytest.mark.parametrize("fault", ["accept-then-drop", "sticky-500-committed", "status-500", "drop"])
def test_a_charge_whose_answer_is_lost_is_made_once(house: House, charge: Charge, fault: str) -> None:
    house.processor.order({"fault": fault, "where": "POST /v1/payment_intents"})
    payment = charge()
    assert payment.status == "unknown"
    assert charge().pk == payment.pk, "it blocks another"
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.payment().status, house.status(), house.taken()) == ("succeeded", Invoice.Status.PAID, DUE)
    call_command("audit")


def test_a_charge_that_never_arrived_blocks_for_a_day(house: House, charge: Charge) -> None:
    house.processor.order({"fault": "sticky-500", "where": "POST /v1/payment_intents"})
    charge()
    for hours in (1, 22, 24):
        unresolved.resolve_unknown(now=moment() + timedelta(hours=hours))
        assert house.payment().status == "unknown"
    house.processor.call("DELETE", "/sandbox/idempotency-keys")
    unresolved.resolve_unknown(now=moment() + timedelta(hours=26))
    assert (house.payment().status, house.payment().failure, house.taken()) == ("failed", "never_arrived", 0)


def test_a_cancellation_that_gets_lost_is_repeated(house: House, charge: Charge) -> None:
    house.processor.order({"fault": "drop", "where": "/cancel"})
    payment = charge("pm_card_chargeCustomerFail")
    assert payment.status == "unknown", "it could still succeed"
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert house.payment().status == "failed"
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    assert (intent["status"], intent["attempts"]) == ("canceled", 1)


def test_a_neighbours_card_cannot_be_charged(house: House) -> None:
    neighbour = house.cast.globex.organization.pk
    with tenant_scope([neighbour]):
        method = PaymentMethod.objects.create(
            organization_id=neighbour,
            processor="stripe",
            customer_reference="cus_1",
            reference="pm_1",
            label="Visa",
            created_at=moment(),
        )
    with pytest.raises(PaymentMethod.DoesNotExist):
        collection.charge_invoice(
            organization_id=house.organization_id, invoice_id=house.invoice.pk, method_id=method.pk, now=moment()
        )
