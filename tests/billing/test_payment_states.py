"""What people are told of an attempt to pay: not what a row happens to hold, but where it stands."""

from datetime import timedelta

import pytest
from django.utils import translation

from billing.models import Payment
from billing.payments.attempts import PAGE_LIFE
from billing.payments.payment_states import PaymentState, failure_text, payment_state
from tests.stories import NOON


def state(status: str, failure: str = "", *, age: timedelta = timedelta(minutes=5), **fields: object) -> PaymentState:
    payment = Payment(status=status, failure=failure, created_at=NOON - age, **fields)
    with translation.override("en"):
        return payment_state(payment, now=NOON)


def test_a_page_that_waits_for_its_customer() -> None:
    assert state("requires_action") == PaymentState(label="Waiting for the customer", tone="warning")


def test_a_declined_card_is_not_waited_for() -> None:
    shown = state("requires_action", "insufficient_funds")
    assert (shown.label, shown.tone) == ("Declined", "danger")
    assert shown.note.startswith("The limit or balance of the card is not sufficient.")
    assert "while the page is open" in shown.note


def test_a_page_whose_time_is_over_is_not_waited_for_though_nobody_told_yet() -> None:
    over = state("requires_action", age=PAGE_LIFE)
    assert (over.label, over.tone) == ("Payment page expired", "")
    assert state("requires_action", age=PAGE_LIFE - timedelta(seconds=1)).label == "Waiting for the customer"


def test_an_expired_page_on_which_a_card_was_declined() -> None:
    shown = state("canceled", "generic_decline")
    assert (shown.label, shown.note) == ("Declined", "The card was declined.")


@pytest.mark.parametrize(
    ("status", "failure", "label", "tone"),
    [
        ("succeeded", "", "Paid", "good"),
        ("failed", "expired_card", "Failed", "danger"),
        ("canceled", "", "Canceled", ""),
        ("canceled", "canceled", "Canceled", ""),
        ("unknown", "", "Unknown", "warning"),
        ("pending", "", "Pending", "warning"),
    ],
)
def test_all_others_are_called_by_their_status(status: str, failure: str, label: str, tone: str) -> None:
    shown = state(status, failure)
    assert (shown.label, shown.tone) == (label, tone)


def test_a_reason_that_has_no_words_is_shown_as_it_came() -> None:
    assert failure_text("some_new_code") == "some_new_code"
