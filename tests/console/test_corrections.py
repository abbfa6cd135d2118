"""What an operator does to a final invoice: credit notes whole, by line and as proposed, refunds, write-offs."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from billing.bank.bank_transfers import record_transfer
from billing.models import CreditNote, CreditNoteProposal, Invoice, Refund, WriteOff
from billing.settlement import outstanding
from console.read_only import address_of
from metering.correcting_usage import correct_usage
from metering.correction_decisions import Asked
from metering.pushed_corrections import Action
from metering.reports import Status
from pricing.tokens import TokenUsage
from tests.console.conftest import audited, carry_out, last_month, refused
from tests.metering.test_correcting_usage import by
from tests.stories import Cast, use

BIG, PRICE = 100_000_000, 6600
"""Tokens of a call, and what it costs before tax, in won."""
REASON = {"reason_code": "02", "reason": "Agreed by phone", "money_back": "credit"}


def left(invoice: Invoice) -> dict[str, str]:
    noted = sum(invoice.credit_notes.values_list("subtotal", flat=True), Decimal(0))
    return {"left": str(invoice.subtotal - noted)}


def pay(invoice: Invoice, cast: Cast, now: datetime, *, amount: Decimal | None = None) -> None:
    record_transfer(
        organization_id=invoice.organization_id, invoice_id=invoice.pk, amount=amount or invoice.amount_due,
        payer_name="Acme", key="1", received_at=now, actor=cast.operator, now=now,
    )  # fmt: skip


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_whole_note_says_where_the_money_goes(operator: Client, invoice: Invoice, cast: Cast, language: str) -> None:
    address = reverse("admin:credit_invoice", args=[invoice.pk])
    review = carry_out(operator, address, REASON | left(invoice), language=language)
    shown = review.content.decode()
    assert f"₩{invoice.total:,.0f}" in shown and "₩5,000" in shown and f"₩{invoice.amount_due:,.0f}" in shown
    note = CreditNote.objects.get()
    assert (note.total, note.credit_returned, note.issued_by) == (invoice.total, 5000, cast.operator)
    assert audited("credit_note.issued", cast).detail["reason"] == "Agreed by phone"
    assert operator.get(address_of(note)).status_code == 200


def test_by_line(operator: Client, invoice: Invoice) -> None:
    address = reverse("admin:credit_lines", args=[invoice.pk])
    assert operator.get(address).content.decode().count('name="amount_') == invoice.lines.count()
    carry_out(operator, address, REASON | left(invoice) | {"amount_1": "1000"})
    note = CreditNote.objects.get()
    assert (note.subtotal, note.tax, outstanding(invoice)) == (1000, 100, invoice.amount_due - 1100)


def test_a_wrong_amount_is_told_beside_its_line(operator: Client, invoice: Invoice) -> None:
    address = reverse("admin:credit_lines", args=[invoice.pk])
    operator.cookies["invoicedream_language"] = "en"
    answer = operator.post(address, REASON | left(invoice) | {"amount_1": "0.5", "amount_2": "999999999"})
    form = answer.context["form"]
    assert set(form.errors) == {"amount_1", "amount_2"}
    text = answer.content.decode()
    assert 'id="id_amount_1_error"' in text and 'href="#id_amount_2"' in text
    assert [group.name for group in form.groups] == list(dict.fromkeys(row.line.model for row in form.rows))
    assert all(f'id="lines-{number}"' in text for number, _group in enumerate(form.groups, start=1))


def test_of_a_long_invoice_only_the_models_with_an_amount_are_open(
    operator: Client, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = reverse("admin:credit_lines", args=[invoice.pk])
    assert all(group.is_open for group in operator.get(address).context["form"].groups)
    monkeypatch.setattr("console.credit_note_deeds.MOST_SHOWN", invoice.lines.count() - 1)
    assert not any(group.is_open for group in operator.get(address).context["form"].groups)
    answer = operator.post(address, REASON | left(invoice) | {"amount_1": "0.5"})
    assert [group.is_open for group in answer.context["form"].groups].count(True) == 1
    assert answer.content.decode().count('<details class="credit-group" open>') == 1


@pytest.mark.parametrize(
    "wrong",
    [{"amount_1": "999999999"}, {"amount_1": "0.5"}, {"amount_1": "-1"}, {}, {"amount_1": "1", "reason": ""},
     {"amount_1": "1", "left": "1"}],
    ids=["too much", "half a won", "below zero", "nothing", "no reason", "changed meanwhile"],
)  # fmt: skip
def test_what_cannot_be_taken_back(operator: Client, invoice: Invoice, wrong: dict[str, str]) -> None:
    refused(operator, reverse("admin:credit_lines", args=[invoice.pk]), REASON | left(invoice) | wrong)
    assert not CreditNote.objects.exists()


def test_a_double_click_makes_one_note(operator: Client, invoice: Invoice) -> None:
    values: dict[str, Any] = REASON | left(invoice) | {"amount_1": "1000", "confirm": "1"}
    address = reverse("admin:credit_lines", args=[invoice.pk])
    assert [operator.post(address, values).status_code for _click in range(2)] == [302, 422]
    assert CreditNote.objects.count() == 1


def test_an_invoice_with_a_note_is_not_voided(operator: Client, invoice: Invoice) -> None:
    carry_out(operator, reverse("admin:credit_lines", args=[invoice.pk]), REASON | left(invoice) | {"amount_1": "1"})
    assert b"/void/" not in operator.get(address_of(invoice)).content
    said = refused(operator, reverse("admin:void_invoice", args=[invoice.pk]), {"reason": "x"}, steps=1)
    assert "credit note" in said


@pytest.fixture
def another_call(cast: Cast, now: datetime) -> UUID:
    """One that acme's invoice is for, too."""
    outcome = use(
        cast.acme.organization, at=last_month(now), source_id=cast.source.pk, usage=TokenUsage(input_tokens=BIG)
    )
    assert outcome.event_id is not None
    return outcome.event_id


def take_back(call: UUID, invoice: Invoice, cast: Cast, now: datetime) -> None:
    asked = Asked(organization_id=invoice.organization_id, call=call, action=Action.VOID, reason="never happened")
    [outcome] = correct_usage([asked], by=by(cast), now=now)
    assert outcome.status == Status.ACCEPTED


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Taken back by later months already"), ("ko", "이후 월에서 이미 차감됨")]
)
def test_a_whole_note_leaves_out_what_a_reporter_took_back(
    operator: Client, another_call: UUID, invoice: Invoice, cast: Cast, now: datetime, language: str, words: str
) -> None:
    take_back(another_call, invoice, cast, now)
    address = reverse("admin:credit_invoice", args=[invoice.pk])
    review = carry_out(operator, address, REASON | {"left": str(invoice.subtotal - PRICE)}, language=language)
    [told] = [str(value) for label, value in review.context["review"] if label == words]
    assert f">₩{PRICE:,}<" in told
    assert CreditNote.objects.get().subtotal == invoice.subtotal - PRICE


def test_a_proposal_that_calls_were_taken_back_since_wants_another_look(
    operator: Client, another_call: UUID, invoice: Invoice, cast: Cast, now: datetime
) -> None:
    proposal = propose(invoice, now)
    take_back(another_call, invoice, cast, now)
    address = reverse("admin:accept_proposal", args=[proposal.pk])
    said = refused(operator, address, {"reason": "As found", "money_back": "credit"})
    assert "looked at again" in said
    assert not CreditNote.objects.exists()


def propose(invoice: Invoice, now: datetime) -> CreditNoteProposal:
    line = invoice.lines.order_by("position").first()
    assert line is not None
    return CreditNoteProposal.objects.create(
        organization=invoice.organization, invoice=invoice, reason="The upstream had lowered its price.",
        currency="KRW", subtotal_change=-10, tax_change=-1, total_change=-11, exact_change=Decimal("-10.2"),
        event_count=1, created_at=now,
        lines=[{"applied_rate": line.applied_rate_id, "token_class": line.token_class, "service_month": None,
                "difference": "-10.2", "model": line.model, "quantity": 1, "unit_price": "1", "new_unit_price": "1",
                "before": "1", "after": "1"}],
    )  # fmt: skip


def test_a_proposal_is_accepted_once(operator: Client, invoice: Invoice, now: datetime) -> None:
    proposal = propose(invoice, now)
    assert b"/accept/" in operator.get(address_of(proposal)).content
    address = reverse("admin:accept_proposal", args=[proposal.pk])
    carry_out(operator, address, {"reason": "As found", "money_back": "credit"})
    note = CreditNote.objects.get()
    assert (note.subtotal, note.total, note.proposal, note.reason_code) == (10, 11, proposal, "02")
    proposal.refresh_from_db()
    assert proposal.status == "accepted"
    again = operator.post(address, {"reason": "x", "money_back": "credit", "confirm": "1"})
    assert again.status_code == 422


def test_a_refund_by_hand(operator: Client, invoice: Invoice, cast: Cast, now: datetime) -> None:
    pay(invoice, cast, now)
    carry_out(
        operator,
        reverse("admin:credit_lines", args=[invoice.pk]),
        REASON | left(invoice) | {"amount_1": "1000", "money_back": "refund"},
    )
    note = CreditNote.objects.get()
    assert {str(tile.value) for tile in operator.get("/").context["tiles"] if "credit" in str(tile.url)} == {"1"}
    address = reverse("admin:record_refund", args=[note.pk])
    offered = operator.get(address_of(note)).content.decode()
    assert address in offered
    assert reverse("admin:refund_to_card", args=[note.pk]) not in offered, "it came by transfer"
    page = operator.get(address)
    [(payment_id, _label)] = page.context["form"].fields["payment"].choices
    values = {"payment": payment_id, "amount": "1100", "sent_on": now.date().isoformat(), "reference": "77-1"}
    refused(operator, address, values | {"amount": "1101"}, steps=1)
    refused(operator, address, values | {"sent_on": (now + timedelta(days=2)).date().isoformat()}, steps=1)
    carry_out(operator, address, values)
    assert (Refund.objects.get().amount, Refund.objects.get().started_by) == (1100, cast.operator)
    assert audited("refund.succeeded", cast).target == note.number
    assert b"/record-refund/" not in operator.get(address_of(note)).content
    refused(operator, reverse("admin:refund_to_card", args=[note.pk]), {"confirm": "1"}, steps=1)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_write_off_and_the_money_that_comes_after_all(
    operator: Client, invoice: Invoice, cast: Cast, now: datetime, language: str
) -> None:
    address = reverse("admin:write_off_invoice", args=[invoice.pk])
    review = carry_out(operator, address, {"reason": "Insolvent"}, language=language).content.decode()
    assert {"ko": "조직의 이용을 정지", "en": "Suspend the organization"}[language] in review
    assert (WriteOff.objects.get().amount, WriteOff.objects.get().written_off_by) == (invoice.amount_due, cast.operator)
    assert operator.post(address, {"reason": "x", "confirm": "1"}).status_code == 422
    transfer = reverse("admin:record_transfer", args=[invoice.pk])
    assert transfer.encode() in operator.get(address_of(invoice)).content
    assert operator.get(transfer).context["form"].initial["amount"] == str(int(invoice.amount_due))
    values = {"amount": "100", "payer_name": "Acme", "received_at": now.strftime("%Y-%m-%dT00:00"), "key": "2"}
    said = operator.post(transfer, values).content.decode()
    assert {"ko": "대손", "en": "recovered from bad debt"}[language] in said
    why = refused(operator, reverse("admin:credit_invoice", args=[invoice.pk]), REASON | left(invoice), steps=1)
    assert "Record the customer" in why
