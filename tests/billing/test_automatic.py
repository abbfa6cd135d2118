"""Invoices that are charged by themselves: once, on their day; a refused card is told of by mail, and the page takes another."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.tenancy import tenant_scope
from billing import collection, invoicing, tasks
from billing.bank.bank_transfers import record_transfer
from billing.cards import automatic, payment_methods
from billing.mail.mail_texts import compose
from billing.models import Invoice, OutboxMail, Payment
from billing.payments import unresolved
from tests.billing.collecting import AFTER, DUE, House, at_once, moment, open_invoice, submit, type_card
from tests.billing.keeping import leave_card, pay_by_itself

Status = Payment.Status


def letter(house: House, kind: str) -> tuple[str, str]:
    with tenant_scope([house.organization_id]):
        mail = OutboxMail.objects.select_related("organization", "invoice__period").get(kind=kind)
        mail.language = "en"
        words = compose(mail)
    return words.subject, words.text


def test_an_invoice_is_charged_to_the_card_by_itself(house: House) -> None:
    leave_card(house)
    assert automatic.charge_due(now=moment()) == 0, "nobody asked for it"
    pay_by_itself(house)
    tasks.charge_due_invoices(invoice_ids=[str(house.invoice.pk)])
    assert (house.status(), house.taken(), house.mails()) == (Invoice.Status.PAID, DUE, ["receipt"])
    assert house.payment().started_by is None
    assert automatic.charge_due(now=moment()) == 0
    call_command("audit")


def test_the_mail_of_an_invoice_says_that_it_will_be_charged(house: House) -> None:
    assert "state the invoice number" in letter(house, "invoice")[1]
    leave_card(house)
    pay_by_itself(house)
    again = {"organization_id": house.organization_id, "now": AFTER}
    invoicing.void_invoice(**again, invoice_id=house.invoice.pk, reason="once more", actor=None)
    OutboxMail.objects.using("system").all().delete()
    invoicing.reissue_invoice(**again, period_id=house.invoice.period_id, actor=None)
    text = letter(house, "invoice")[1]
    assert "It will be charged to your card by itself (Visa 4242, November 2, 2026). You need not do anything." in text


def test_on_the_day_when_it_is_due_if_so_set(house: House, settings: Settings) -> None:
    settings.AUTOMATIC_PAYMENT_DAY = "due"
    leave_card(house)
    pay_by_itself(house)
    due = AFTER.replace(day=house.invoice.due_on.day) - timedelta(hours=9)
    assert automatic.charge_due(now=due - timedelta(seconds=1)) == 0
    assert automatic.charge_due(now=due) == 1, "midnight in Seoul"
    assert house.status() == Invoice.Status.PAID


def test_what_is_too_little_for_a_card_is_in_nobodys_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "MOST", 1)
    neighbour = House(house.cast, open_invoice(house.cast.globex), house.processor)
    again = {"organization_id": neighbour.organization_id, "now": AFTER + timedelta(hours=1)}
    invoicing.void_invoice(**again, invoice_id=neighbour.invoice.pk, reason="once more", actor=None)
    neighbour.invoice = invoicing.reissue_invoice(**again, period_id=neighbour.invoice.period_id, actor=None)
    for one in (house, neighbour):
        leave_card(one)
        pay_by_itself(one)
    record_transfer(
        organization_id=house.organization_id,
        invoice_id=house.invoice.pk,
        amount=Decimal(DUE - 60),
        payer_name="Acme",
        key="1",
        received_at=AFTER,
        actor=None,
        now=AFTER,
    )
    assert automatic.charge_due(now=moment()) == 1
    assert (house.status(), neighbour.status()) == (Invoice.Status.OPEN, Invoice.Status.PAID)


def test_a_declined_card_is_told_once_and_not_tried_again(house: House) -> None:
    leave_card(house, "insufficient_funds")
    pay_by_itself(house)
    assert automatic.charge_due(now=moment()) == 1
    assert (house.payment().status, house.payment().failure) == (Status.FAILED, "insufficient_funds")
    assert list(automatic.due_charges(now=moment())) == [], "further attempts are dunning's to ask for"
    assert house.mails() == ["payment_failed"]
    assert "not sufficient" in letter(house, "payment_failed")[1]
    again = automatic.charge(
        organization_id=house.organization_id, invoice_id=house.invoice.pk, earlier=1, now=moment()
    )
    assert again is not None and again.status == Status.FAILED
    assert house.taken() == 0
    call_command("audit")


def test_a_bank_that_wants_the_holder_sends_them_to_the_page(house: House) -> None:
    leave_card(house, "authenticates")
    pay_by_itself(house)
    automatic.charge_due(now=moment())
    assert (house.payment().status, house.payment().failure) == (Status.FAILED, "authentication_required")
    _subject, text = letter(house, "payment_failed")
    assert "Your bank asks you to confirm this payment yourself." in text
    assert f"/o/acme/invoices/{house.invoice.pk}" in text
    page = house.pay()
    _status, location = type_card(page.action_url, "authenticates")
    submit(house.processor.url + location, {"outcome": "passed"})
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, DUE)
    call_command("audit")


@pytest.mark.parametrize("fault", ["accept-then-drop", "sticky-500-committed"])
def test_a_charge_whose_answer_is_lost_blocks_further_ones_until_it_is_known(house: House, fault: str) -> None:
    leave_card(house)
    pay_by_itself(house)
    house.processor.order({"fault": fault, "where": "POST /v1/payment_intents"})
    automatic.charge_due(now=moment())
    assert house.payment().status == Status.UNKNOWN
    assert automatic.charge_due(now=moment() + timedelta(hours=1)) == 0
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken(), house.mails()) == (Invoice.Status.PAID, DUE, ["receipt"])


def test_a_500_that_sticks_blocks_for_a_day_and_takes_nothing(house: House) -> None:
    leave_card(house)
    pay_by_itself(house)
    house.processor.order({"fault": "sticky-500", "where": "POST /v1/payment_intents"})
    automatic.charge_due(now=moment())
    for hours in (1, 24):
        unresolved.resolve_unknown(now=moment() + timedelta(hours=hours))
        assert (house.payment().status, automatic.charge_due(now=moment() + timedelta(hours=hours))) == (
            Status.UNKNOWN,
            0,
        )


@pytest.mark.parametrize("card", ["succeeds", "declines_later"])
def test_sweeps_that_meet_charge_once(house: House, monkeypatch: pytest.MonkeyPatch, card: str) -> None:
    """Both have found the invoice due before either charges it."""
    leave_card(house, card)
    pay_by_itself(house)
    found, due_charges = threading.Barrier(2, timeout=60), automatic.due_charges

    def both_found(**asked: Any) -> list[automatic.DueCharge]:
        due = list(due_charges(**asked))
        found.wait()
        return due

    monkeypatch.setattr(automatic, "due_charges", both_found)
    charge, turn = automatic.charge, threading.Lock()

    def one_after_the_other(**asked: Any) -> Payment | None:
        with turn:
            return charge(**asked)

    monkeypatch.setattr(automatic, "charge", one_after_the_other)
    assert sorted(at_once(lambda: automatic.charge_due(now=moment()), times=2)) == [0, 1]
    assert len(house.payments()) == 1
    [intent] = house.processor.get("/sandbox/ledger")["intents"]
    assert intent["attempts"] == 1


def test_an_invoice_on_whose_page_the_customer_is_waits(house: House) -> None:
    leave_card(house)
    page = house.pay()
    pay_by_itself(house)
    assert automatic.charge_due(now=moment()) == 0
    collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    assert (automatic.charge_due(now=moment()), house.taken()) == (1, DUE)
    assert type_card(page.action_url)[0] == 200, "the page is over"
    assert house.taken() == DUE


def test_what_is_switched_off_or_cannot_be_charged_is_left_alone(house: House, settings: Settings) -> None:
    leave_card(house)
    pay_by_itself(house)
    settings.STRIPE_SECRET_KEY = ""
    assert automatic.charge_due(now=moment()) == 0
    settings.STRIPE_SECRET_KEY = "sk_test_collecting"
    pay_by_itself(house, on=False)
    assert automatic.charge_due(now=moment()) == 0
    with tenant_scope([house.organization_id]):
        assert not payment_methods.setting_of(house.invoice.organization).is_automatic
    assert house.payments() == []
