"""Transfers: recorded once, whole, in parts or too much; and what becomes of a card page that was open meanwhile."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing import collection, invoicing
from billing.bank.bank_transfers import InvalidAmount, KeyInUse, record_transfer
from billing.models import Invoice, Payment
from billing.payments import unresolved
from ledger.models import CreditGrant
from tests.billing.collecting import DUE, House, at_once, moment, type_card

Status = Payment.Status


def transfer(house: House, amount: int | str = DUE, **changes: Any) -> Payment:
    given: dict[str, Any] = {
        "organization_id": house.organization_id,
        "invoice_id": house.invoice.pk,
        "amount": Decimal(amount),
        "payer_name": "에이크미(주)",
        "key": "2026-11-05-0001",
        "received_at": moment() - timedelta(hours=1),
        "actor": house.cast.operator,
        "now": moment(),
    }
    return record_transfer(**(given | changes))


def kept_as_credit(house: House) -> list[Decimal]:
    with tenant_scope([house.organization_id]):
        return list(CreditGrant.objects.filter(kind="paid").order_by("pk").values_list("amount", flat=True))


def test_a_transfer_pays_the_invoice(house: House) -> None:
    payment = transfer(house)
    assert (payment.status, payment.payer_name, payment.processor) == (
        Status.SUCCEEDED,
        "에이크미(주)",
        "bank_transfer",
    )
    assert (house.status(), house.balance().receivable, house.mails()) == (Invoice.Status.PAID, 0, ["receipt"])
    with tenant_scope([house.organization_id]):
        entry = AuditEntry.objects.get(action="payment.succeeded")
    assert (entry.actor, entry.target) == (house.cast.operator, house.invoice.number)
    call_command("audit")


def test_the_same_line_of_the_statement_counts_once(house: House) -> None:
    first = transfer(house)
    assert transfer(house).pk == first.pk
    for change in ({"amount": Decimal(1)}, {"payer_name": "somebody else"}):
        with pytest.raises(KeyInUse):
            transfer(house, **change)
    assert len(house.payments()) == 1
    call_command("audit")


def test_recorded_by_many_at_once_it_counts_once(house: House) -> None:
    results = at_once(lambda: transfer(house), times=5)
    assert {result.pk for result in results} == {house.payment().pk}
    assert house.balance().receivable == 0
    call_command("audit")


def test_parts_add_up(house: House) -> None:
    transfer(house, 2000)
    assert (house.status(), house.balance().receivable) == (Invoice.Status.OPEN, 260)
    call_command("audit")
    transfer(house, 260, key="second")
    assert (house.status(), house.balance().receivable) == (Invoice.Status.PAID, 0)
    call_command("audit")


def test_the_rest_is_paid_by_card(house: House) -> None:
    transfer(house, 2000)
    page = house.pay()
    assert page.amount == 260
    type_card(page.action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    assert (house.status(), house.taken()) == (Invoice.Status.PAID, 260)
    call_command("audit")


def test_too_much_becomes_credit(house: House) -> None:
    transfer(house, DUE + 740)
    transfer(house, 1000, key="again")
    assert (house.status(), house.balance().receivable, house.balance().prepaid) == (Invoice.Status.PAID, 0, 1740)
    assert kept_as_credit(house) == [740, 1000]
    call_command("audit")


def test_money_for_a_void_invoice_becomes_credit(house: House) -> None:
    prepaid = house.balance().prepaid
    _void(house)
    transfer(house)
    assert house.status() == Invoice.Status.VOID
    assert kept_as_credit(house) == [DUE]
    assert house.balance().prepaid == prepaid + 5000 + DUE
    call_command("audit")


def test_what_was_paid_of_an_invoice_that_is_voided_pays_the_next(house: House) -> None:
    transfer(house, 2000)
    _void(house)
    call_command("audit")
    again = invoicing.reissue_invoice(
        organization_id=house.organization_id, period_id=house.invoice.period_id, now=moment(), actor=None
    )
    assert (again.credit_applied, again.amount_due) == (7000, 260)
    call_command("audit")


def _void(house: House) -> None:
    invoicing.void_invoice(
        organization_id=house.organization_id,
        invoice_id=house.invoice.pk,
        reason="wrong buyer",
        now=moment(),
        actor=house.cast.operator,
    )


@pytest.mark.parametrize("amount", [DUE, 2000])
def test_a_page_whose_amount_is_not_needed_any_more_is_closed(house: House, amount: int) -> None:
    page = house.pay()
    transfer(house, amount)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    ended = next(payment for payment in house.payments() if payment.pk == page.pk)
    assert ended.status == Status.CANCELED
    type_card(page.action_url)
    assert house.taken() == 0


def test_a_page_that_was_paid_on_meanwhile_becomes_credit(house: House) -> None:
    page = house.pay()
    transfer(house)
    type_card(page.action_url)
    collection.look_again(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    assert (house.status(), house.taken(), kept_as_credit(house)) == (Invoice.Status.PAID, DUE, [DUE])
    assert house.mails() == ["receipt", "receipt"]
    call_command("audit")


@pytest.mark.parametrize("amount", ["0", "-1", "0.5", "1.01"])
def test_amounts_that_cannot_be(house: House, amount: str) -> None:
    with pytest.raises(InvalidAmount):
        transfer(house, amount)


def test_invoices_of_others_and_of_nobody(house: House) -> None:
    for change in ({"organization_id": house.cast.globex.organization.pk}, {"invoice_id": uuid4()}):
        with pytest.raises(Invoice.DoesNotExist):
            transfer(house, **change)
    assert house.payments() == []
