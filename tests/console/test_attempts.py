"""An invoice that is being paid is voided after that attempt has ended; the console says what each state means and what to do."""

from datetime import datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from billing.models import Invoice, Payment
from billing.processors.interface import Answer, ProcessorUnreachable, Status
from tests.console.conftest import audited, carry_out, refused
from tests.stories import Cast

PROCESSOR = "billing.processors.stripe_processor.StripeProcessor"


@pytest.fixture
def attempt(invoice: Invoice, now: datetime, settings: Settings) -> Payment:
    """The customer has a page open."""
    settings.STRIPE_SECRET_KEY = "sk_test_console"
    return Payment.objects.using("system").create(
        organization=invoice.organization,
        invoice=invoice,
        processor="stripe",
        amount=invoice.amount_due,
        currency=invoice.currency,
        status=Payment.Status.REQUIRES_ACTION,
        idempotency_key=str(uuid4()),
        reference="cs_1",
        action_url="https://pay.example/cs_1",
        created_at=now,
    )


def answers(monkeypatch: pytest.MonkeyPatch, status: Status, *, amount: Decimal = Decimal(0)) -> None:
    """What the processor says when it is asked to end the attempt."""
    answer = Answer(status=status, reference="cs_1", amount=amount, currency="KRW")
    monkeypatch.setattr(f"{PROCESSOR}.cancel", lambda _self, attempt: answer)


def is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object, attempt: object) -> None:
        raise ProcessorUnreachable("down")

    for name in ("cancel", "look_up", "start_payment"):
        monkeypatch.setattr(f"{PROCESSOR}.{name}", fail)


def void(invoice: Invoice) -> str:
    return reverse("admin:void_invoice", args=[invoice.pk])


def cancel(invoice: Invoice) -> str:
    return reverse("admin:cancel_attempt", args=[invoice.pk])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("requires_action", "closes the page"),
        ("pending", "can rarely be stopped"),
        ("unknown", "It may have taken the money"),
    ],
)
def test_voiding_says_what_stands_in_the_way(
    invoice: Invoice, attempt: Payment, operator: Client, status: str, said: str
) -> None:
    Payment.objects.filter(pk=attempt.pk).update(status=status)
    operator.cookies["invoicedream_language"] = "en"
    page = operator.get(void(invoice)).content.decode()
    assert said in page and cancel(invoice) in page and 'name="reason"' not in page
    assert operator.post(void(invoice), {"reason": "x", "confirm": "1"}).status_code == 422
    invoice.refresh_from_db()
    assert invoice.status == "open"


def test_after_the_attempt_has_ended_the_invoice_is_voided(
    invoice: Invoice, attempt: Payment, operator: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, Status.CANCELED)
    refused(operator, cancel(invoice), {"reason": ""})
    carry_out(operator, cancel(invoice), {"reason": "Wrong buyer"})
    attempt.refresh_from_db()
    assert attempt.status == "canceled"
    assert audited("payment.cancel_asked", cast).detail["reason"] == "Wrong buyer"
    carry_out(operator, void(invoice), {"reason": "Wrong buyer"})
    invoice.refresh_from_db()
    assert invoice.status == "void"


def test_who_paid_in_the_meantime_has_paid(
    invoice: Invoice, attempt: Payment, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, Status.SUCCEEDED, amount=invoice.amount_due)
    operator.cookies["invoicedream_language"] = "en"
    page = operator.post(cancel(invoice), {"reason": "x", "confirm": "1"}, follow=True).content.decode()
    assert "The customer has paid in the meantime" in page
    invoice.refresh_from_db()
    assert invoice.status == "paid"


@pytest.mark.parametrize(
    ("status", "said"),
    [("requires_action", "Try again in a minute"), ("pending", "cannot stop it"), ("unknown", "dashboard")],
)
def test_while_nobody_knows_it_says_what_to_do(
    invoice: Invoice,
    attempt: Payment,
    operator: Client,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    said: str,
) -> None:
    Payment.objects.filter(pk=attempt.pk).update(status=status)
    is_silent(monkeypatch)
    operator.cookies["invoicedream_language"] = "en"
    answer = operator.post(cancel(invoice), {"reason": "x", "confirm": "1"})
    assert answer.status_code == 422 and said in answer.content.decode()
    attempt.refresh_from_db()
    assert attempt.status == status


def test_an_amount_that_differs_is_for_people(
    invoice: Invoice, attempt: Payment, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, Status.SUCCEEDED, amount=Decimal(1))
    operator.cookies["invoicedream_language"] = "en"
    answer = operator.post(cancel(invoice), {"reason": "x", "confirm": "1"})
    assert answer.status_code == 422 and "another amount" in answer.content.decode()


def test_without_an_attempt_there_is_nothing_to_end(invoice: Invoice, operator: Client) -> None:
    assert "under way" in refused(operator, cancel(invoice), {"reason": "x"})
    assert (
        cancel(invoice) not in operator.get(reverse("admin:billing_invoice_change", args=[invoice.pk])).content.decode()
    )


def test_a_declined_card_is_called_so(invoice: Invoice, attempt: Payment, operator: Client) -> None:
    operator.cookies["invoicedream_language"] = "en"
    places = [
        reverse("admin:billing_invoice_change", args=[invoice.pk]),
        reverse("admin:billing_payment_change", args=[attempt.pk]),
        reverse("admin:billing_payment_changelist"),
    ]
    for address in places:
        assert ">Waiting for the customer<" in operator.get(address).content.decode(), address
    Payment.objects.filter(pk=attempt.pk).update(failure="insufficient_funds")
    for address in places[:2]:
        text = operator.get(address).content.decode()
        assert ">Declined<" in text and ">Waiting for the customer<" not in text
        assert "The limit or balance of the card is not sufficient." in text
