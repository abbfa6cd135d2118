"""Credit notes: before and after payment, whole and by line, by two operators at once; and what they give back."""

import contextlib
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing import collection, invoicing
from billing.corrections import credit_notes, creditable
from billing.corrections.credit_note_queries import find_note
from billing.corrections.credit_notes import ChangedMeanwhile
from billing.corrections.creditable import NotCreditable, TooMuch
from billing.models import CreditNote, CreditNoteLine, Invoice, Notice, OutboxMail
from ledger.models import Account, CreditGrant
from tests.billing.collecting import DUE, House, at_once, meet_the_debtors, moment, open_invoice
from tests.billing.correcting import CREDIT, REFUND, TWO_LINES, credits_of, note_on, on_account, owed
from tests.billing.test_bank_transfers import transfer


@pytest.fixture
def two_lines(house: House) -> House:
    """Globex's open invoice, of two lines."""
    return House(house.cast, open_invoice(house.cast.globex, usage=TWO_LINES), house.processor)


def lines(house: House) -> list[Decimal]:
    with tenant_scope([house.organization_id]):
        return list(
            Invoice.objects.get(pk=house.invoice.pk).lines.order_by("position").values_list("amount", flat=True)
        )


def test_a_note_before_payment_leaves_less_to_pay(house: House) -> None:
    revenue, tax = on_account(house, Account.REVENUE), on_account(house, Account.TAX_PAYABLE)
    note = note_on(house, {1: 1005})
    assert (note.number, note.subtotal, note.tax, note.total) == ("CN-000001", 1005, 100, 1105)
    assert (note.applied, note.to_credit, note.to_refund, note.credit_returned) == (1105, 0, 0, 0)
    assert (owed(house), house.balance().receivable, house.status()) == (DUE - 1105, DUE - 1105, Invoice.Status.OPEN)
    assert on_account(house, Account.REVENUE) - revenue == 1005
    assert on_account(house, Account.TAX_PAYABLE) - tax == 100
    transfer(house, DUE - 1105)
    assert (house.status(), house.balance().receivable) == (Invoice.Status.PAID, 0)
    call_command("audit")


def test_a_whole_note_on_an_unpaid_invoice_closes_it_and_gives_the_credit_back(house: House) -> None:
    note = note_on(house)
    assert (note.subtotal, note.tax, note.total) == (6600, 660, 7260)
    assert (note.applied, note.credit_returned, note.to_credit) == (DUE, 5000, 0)
    assert (house.status(), house.balance().receivable, house.balance().prepaid) == (Invoice.Status.PAID, 0, 5000)
    assert credits_of(house, "promotional") == [5000], "what was a promotion is one again, never money"
    with pytest.raises(NotCreditable):
        note_on(house)
    call_command("audit")


def test_after_payment_the_money_becomes_credit(house: House) -> None:
    transfer(house)
    note = note_on(house, {1: 1000}, money_back=CREDIT)
    assert (note.total, note.applied, note.to_credit) == (1100, 0, 1100)
    assert (credits_of(house), house.balance().prepaid, house.status()) == ([1100], 1100, Invoice.Status.PAID)
    call_command("audit")


def test_of_a_part_that_was_paid_only_that_part_comes_back(house: House) -> None:
    transfer(house, 2000)
    note = note_on(house, {1: 500})
    assert (note.total, note.applied, note.to_credit) == (550, 260, 290)
    assert (house.status(), owed(house), credits_of(house)) == (Invoice.Status.PAID, 0, [290])
    call_command("audit")


def test_money_comes_back_before_credit_and_a_promotion_never_as_money(house: House) -> None:
    transfer(house)
    first = note_on(house, {1: 3000}, money_back=REFUND)
    assert (first.total, first.to_refund, first.credit_returned) == (3300, DUE, 3300 - DUE)
    second = note_on(house, money_back=REFUND)
    assert (second.total, second.to_refund, second.credit_returned) == (3960, 0, 3960)
    assert credits_of(house, "promotional") == [3300 - DUE, 3960]
    assert on_account(house, Account.REFUNDABLE) == -DUE
    call_command("audit")


def test_by_line_until_nothing_is_left(two_lines: House) -> None:
    first, second = lines(two_lines)
    total = two_lines.invoice.total
    one = note_on(two_lines, {1: int(first) - 5, 2: 1})
    two = note_on(two_lines, {1: 5})
    for too_much in ({1: 1}, {2: int(second)}, {3: 1}, {1: -1}, {}):
        with pytest.raises(TooMuch):
            note_on(two_lines, too_much)
    three = note_on(two_lines)
    assert [three.subtotal, one.total + two.total + three.total] == [second - 1, total], (
        "the last takes the rest of the tax"
    )
    assert [note.number for note in (one, two, three)] == ["CN-000001", "CN-000002", "CN-000003"]
    with pytest.raises(NotCreditable):
        note_on(two_lines, {2: 1})
    call_command("audit")


def test_a_note_in_fractions_of_a_won_is_refused(house: House) -> None:
    with pytest.raises(TooMuch):
        note_on(house, amounts={1: Decimal("0.5")})


def test_two_operators_with_the_same_page_make_one_note(house: House) -> None:
    def click() -> object:
        try:
            return note_on(house, {1: 1000}, expected_left=Decimal(6600))
        except ChangedMeanwhile:
            return None

    results = at_once(click, times=4)
    assert len([note for note in results if note]) == 1
    assert owed(house) == DUE - 1100
    call_command("audit")


def test_two_operators_at_once_never_take_back_more_than_there_was(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked at what is left before either writes, unless the second one waits for the first."""
    both, look = threading.Barrier(2), creditable.left_of

    def looked(invoice: Invoice) -> creditable.Left:
        left = look(invoice)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=1)
        return left

    monkeypatch.setattr(credit_notes, "left_of", looked)

    def click() -> bool:
        try:
            return bool(note_on(house, {1: 4000}))
        except TooMuch:
            return False

    assert sorted(at_once(click, times=2)) == [False, True]
    call_command("audit")


def test_an_invoice_with_a_note_is_not_voided(house: House) -> None:
    note_on(house, {1: 1})
    with pytest.raises(invoicing.Credited):
        invoicing.void_invoice(
            organization_id=house.organization_id, invoice_id=house.invoice.pk, reason="x", now=moment(), actor=None
        )
    note_on(house)
    with pytest.raises(invoicing.StillLive):
        invoicing.reissue_invoice(
            organization_id=house.organization_id, period_id=house.invoice.period_id, now=moment(), actor=None
        )
    call_command("audit")


def test_a_void_invoice_gets_no_note_and_the_next_one_does(house: House) -> None:
    invoicing.void_invoice(
        organization_id=house.organization_id, invoice_id=house.invoice.pk, reason="x", now=moment(), actor=None
    )
    with pytest.raises(NotCreditable):
        note_on(house)
    again = invoicing.reissue_invoice(
        organization_id=house.organization_id, period_id=house.invoice.period_id, now=moment(), actor=None
    )
    assert note_on(House(house.cast, again, house.processor)).total == again.total
    call_command("audit")


def test_while_a_page_is_open_to_be_paid_on_no_note_is_made(house: House) -> None:
    house.pay()
    with pytest.raises(invoicing.PaymentInProgress):
        note_on(house, {1: 1})
    collection.cancel_attempt(organization_id=house.organization_id, invoice_id=house.invoice.pk, now=moment())
    note_on(house, {1: 1000})
    assert house.pay().amount == DUE - 1100
    call_command("audit")


def test_the_neighbour_can_neither_see_nor_make_it(house: House) -> None:
    note = note_on(house, {1: 1})
    globex = house.cast.globex.organization
    with tenant_scope([globex.pk]):
        assert find_note(organization=globex, note_id=note.pk) is None
        assert CreditNote.objects.count() == 0
    with pytest.raises(Invoice.DoesNotExist):
        note_on(house, organization_id=globex.pk)


def test_notes_are_history(house: House) -> None:
    note = note_on(house, {1: 1})
    for change in (
        lambda: CreditNote.objects.filter(pk=note.pk).update(total=2),
        lambda: CreditNoteLine.objects.filter(credit_note=note).delete(),
    ):
        with pytest.raises(DatabaseError), tenant_scope([house.organization_id]):
            change()


def test_it_is_told_by_mail_webhook_and_audit_log(house: House) -> None:
    note = note_on(house, {1: 1000})
    with tenant_scope([house.organization_id]):
        mail = OutboxMail.objects.get(kind="credit_note")
        notice = Notice.objects.get(kind="credit_note.issued")
    assert (mail.recipient, mail.context) == (house.invoice.buyer["contact_email"], {"credit_note": str(note.pk)})
    assert (notice.data["total"], notice.data["invoice"]) == ("1100", str(house.invoice.pk))
    entry = AuditEntry.objects.using("system").get(action="credit_note.issued")
    assert (entry.actor_id, entry.target, entry.detail["reason"]) == (
        house.cast.operator.pk, "CN-000001", "Agreed by phone",
    )  # fmt: skip


def test_expired_credit_comes_back_for_a_while(db: None) -> None:
    cast = meet_the_debtors()
    invoice = open_invoice(cast.acme)
    house = House(cast, invoice, None)  # type: ignore[arg-type]
    with tenant_scope([house.organization_id]):
        trial = CreditGrant.objects.get(kind="promotional")
    now = (trial.expires_at or moment()) + timedelta(days=100)
    note_on(house, now=now)
    with tenant_scope([house.organization_id]):
        back = CreditGrant.objects.filter(kind="promotional").latest("pk")
    assert back.amount == 5000
    assert back.expires_at == (None if trial.expires_at is None else now + timedelta(days=30))
