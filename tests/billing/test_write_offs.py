"""What nobody will pay is written off; what comes in after all is recovered."""

from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import AuditEntry
from billing import collection, invoicing
from billing.corrections.creditable import NotCreditable
from billing.corrections.write_offs import write_off_invoice
from billing.models import Invoice
from ledger.models import Account
from tests.billing.collecting import DUE, House, moment
from tests.billing.correcting import credits_of, note_on, on_account, owed
from tests.billing.test_bank_transfers import transfer


def write_off(house: House, **changes: Any) -> None:
    given: dict[str, Any] = {
        "organization_id": house.organization_id,
        "invoice_id": house.invoice.pk,
        "reason": "Insolvent",
        "now": moment(),
        "actor": house.cast.operator,
    }
    write_off_invoice(**(given | changes))


def test_what_is_owed_becomes_bad_debt(house: House) -> None:
    transfer(house, 260)
    note_on(house, {1: 1000})
    write_off(house)
    assert (house.status(), owed(house), house.balance().receivable) == (Invoice.Status.UNCOLLECTIBLE, 0, 0)
    assert on_account(house, Account.BAD_DEBT) == DUE - 260 - 1100
    entry = AuditEntry.objects.using("system").get(action="invoice.written_off")
    assert entry.detail == {"amount": str(DUE - 260 - 1100), "reason": "Insolvent"}
    call_command("audit")


def test_a_payment_after_it_is_recovered_and_what_is_too_much_becomes_credit(house: House) -> None:
    write_off(house)
    transfer(house, 1000)
    assert (house.status(), on_account(house, Account.BAD_DEBT)) == (Invoice.Status.UNCOLLECTIBLE, DUE - 1000)
    call_command("audit")
    transfer(house, DUE, key="second")
    assert (house.status(), on_account(house, Account.BAD_DEBT)) == (Invoice.Status.PAID, 0)
    assert (credits_of(house), house.balance().receivable) == ([1000], 0)
    entries = AuditEntry.objects.using("system").filter(action="payment.succeeded").order_by("pk")
    assert [entry.detail["recovered"] for entry in entries] == ["1000", str(DUE - 1000)]
    call_command("audit")


def test_only_what_is_open_and_not_being_paid(house: House) -> None:
    house.pay()
    with pytest.raises(invoicing.PaymentInProgress):
        write_off(house)
    collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    write_off(house)
    with pytest.raises(invoicing.NotOpen):
        write_off(house)
    with pytest.raises(NotCreditable):
        note_on(house)
    with pytest.raises(invoicing.NotOpen):
        invoicing.void_invoice(
            organization_id=house.organization_id, invoice_id=house.invoice.pk, reason="x", now=moment(), actor=None
        )
    with pytest.raises(collection.InvoiceNotOpen):
        house.pay()
    with pytest.raises(Invoice.DoesNotExist):
        write_off(house, organization_id=house.cast.globex.organization.pk)
