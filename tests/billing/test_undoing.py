"""A wrong match is undone: what it paid is owed again, what it became as credit is gone, and the deposit waits for its owner."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.bank import undoing
from billing.bank.bank_statements import ZONE
from billing.bank.deposit_decisions import match_deposit, set_aside
from billing.bank.transfer_matching import match_waiting, undecided
from billing.corrections.write_offs import write_off_invoice
from billing.invoicing import PartIsCredit, void_invoice
from billing.mail.mail_texts import compose
from billing.models import DepositDecision, Invoice, OutboxMail, PayerAlias, Payment
from billing.overdue import dunning
from billing.payments.reversing import GivenBack
from ledger.models import Account
from ledger.settling import CreditSpent
from tests.billing.collecting import DUE, House, at_once
from tests.billing.correcting import CREDIT, note_on, on_account
from tests.billing.depositing import NOW, Debtors, meet_debtors_of_transfers, next_invoice, statement, take
from tests.billing.test_deposits import confirm

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def owing(db: None) -> Debtors:
    return meet_debtors_of_transfers()


def matched(owing: Debtors, amount: int = DUE) -> DepositDecision:
    """A deposit of globex's that an operator confirmed as acme's."""
    take(statement(("2026-11-05 14:03", "홍길동", amount)))
    confirm(undecided()[0], owing.cast.acme, owing)
    return DepositDecision.objects.using("system").get()


def undo(decision: DepositDecision, **changes: Any) -> DepositDecision:
    given: dict[str, Any] = {"decision_id": decision.pk, "reason": "It was globex's", "now": LATER, "actor": None}
    return undoing.undo_decision(**(given | changes))


def house(owing: Debtors) -> House:
    return House(owing.cast, owing.acme, None)  # type: ignore[arg-type]


def prepaid(owing: Debtors) -> Decimal:
    return house(owing).balance().prepaid


def test_the_wrong_invoice_is_open_again_and_the_right_one_is_paid(owing: Debtors) -> None:
    decision = matched(owing)
    assert owing.left(owing.acme) == 0
    undo(decision)
    assert (owing.left(owing.acme), house(owing).status(), owing.paid(owing.cast.acme)) == (DUE, "open", [])
    assert (on_account(house(owing), Account.BANK), house(owing).balance().receivable) == (0, DUE)
    call_command("audit")
    confirm(undecided()[0], owing.cast.globex, owing)
    assert (owing.left(owing.globex), undecided()) == (0, [])
    entry = AuditEntry.objects.using("system").get(action="deposit.undone")
    assert (entry.detail["reason"], entry.organization_id) == ("It was globex's", owing.acme.organization_id)
    call_command("audit")


def test_it_can_be_matched_with_the_same_customer_again(owing: Debtors) -> None:
    undo(matched(owing))
    confirm(undecided()[0], owing.cast.acme, owing)
    assert (owing.left(owing.acme), owing.paid(owing.cast.acme)) == (0, [DUE])
    call_command("audit")


def test_the_payer_is_forgotten_and_nothing_is_matched_by_itself_again(owing: Debtors) -> None:
    undo(matched(owing))
    with tenant_scope([owing.acme.organization_id]):
        assert not PayerAlias.objects.exists()
    take(statement(("2026-11-06 14:03", "에이크미", DUE)))
    [automatic] = DepositDecision.objects.using("system").filter(undone_at=None)
    undo(automatic)
    assert match_waiting(now=LATER) == [] and len(undecided()) == 2
    call_command("audit")


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_customer_is_told_that_the_receipt_is_void(owing: Debtors, language: str) -> None:
    undo(matched(owing))
    with tenant_scope([owing.acme.organization_id]):
        mail = OutboxMail.objects.get(kind="payment_reversed")
        mail.language = language
        letter = compose(mail)
    assert owing.acme.number in letter.subject and "₩2,260" in letter.text and "홍길동" not in letter.text
    assert {"ko": "영수증", "en": "receipt is void"}[language] in letter.text


def test_what_was_too_much_takes_its_credit_along(owing: Debtors) -> None:
    decision = matched(owing, DUE + 500)
    assert prepaid(owing) == 500
    undo(decision)
    assert (prepaid(owing), owing.left(owing.acme)) == (0, DUE)
    call_command("audit")


def test_what_became_credit_does_not_pay_the_invoice_that_is_open_again(owing: Debtors) -> None:
    """Half of it was somebody else's money. What the customer paid meanwhile was more than was lacking then: that is credit."""
    wrong = matched(owing, DUE - 100)
    take(statement(("2026-11-07 10:00", "(주)에이크미", 300), start=2_000_000))
    [own] = undecided()
    confirm(own, owing.cast.acme, owing)
    assert (owing.left(owing.acme), prepaid(owing)) == (0, 200)
    undo(wrong)
    assert (owing.left(owing.acme), house(owing).status()) == (DUE - 100, "open")
    assert (house(owing).balance().receivable, prepaid(owing)) == (DUE - 100, 200)
    with pytest.raises(PartIsCredit):
        void_invoice(
            organization_id=owing.acme.organization_id, invoice_id=owing.acme.pk, reason="x", now=LATER, actor=None
        )
    call_command("audit")


def test_of_several_invoices_all_are_open_again(owing: Debtors) -> None:
    second = next_invoice(owing.cast.acme)
    decision = matched(owing, DUE + 100)
    assert (owing.left(owing.acme), owing.left(second)) == (0, second.amount_due - 100)
    undo(decision)
    assert (owing.left(owing.acme), owing.left(second)) == (DUE, second.amount_due)
    call_command("audit")


def test_a_prepayment_is_taken_back_while_its_credit_is_untouched(owing: Debtors) -> None:
    matched(owing)
    take(statement(("2026-11-06 14:03", "홍길순", 3000)))
    confirm(undecided()[0], owing.cast.acme, owing)
    assert prepaid(owing) == 3000
    undo(DepositDecision.objects.using("system").latest("pk"))
    assert prepaid(owing) == 0
    call_command("audit")


def test_credit_that_was_used_keeps_the_match(owing: Debtors) -> None:
    decision = matched(owing, DUE + 500)
    next_invoice(owing.cast.acme)
    assert prepaid(owing) == 0
    with pytest.raises(CreditSpent):
        undo(decision)
    decision.refresh_from_db(using="system")
    assert (decision.undone_at, owing.left(owing.acme)) == (None, 0)
    call_command("audit")


def test_money_that_a_note_gave_back_keeps_the_match(owing: Debtors) -> None:
    decision = matched(owing)
    note_on(house(owing), {1: 100}, money_back=CREDIT, now=LATER)
    with pytest.raises(GivenBack):
        undo(decision)
    call_command("audit")


def test_what_was_recovered_is_bad_debt_again(owing: Debtors) -> None:
    write_off_invoice(
        organization_id=owing.acme.organization_id, invoice_id=owing.acme.pk, reason="x", now=NOW, actor=None
    )
    take(statement(("2026-11-05 14:03", "홍길동", DUE)))
    match_deposit(
        deposit=undecided()[0], organization_id=owing.acme.organization_id, first=owing.acme.pk,
        kind=DepositDecision.Kind.CONFIRMED, now=NOW, actor=None,
    )  # fmt: skip
    assert house(owing).status() == Invoice.Status.PAID
    undo(DepositDecision.objects.using("system").get())
    assert (house(owing).status(), on_account(house(owing), Account.BAD_DEBT)) == (Invoice.Status.UNCOLLECTIBLE, DUE)
    call_command("audit")


def test_what_was_set_aside_waits_again(owing: Debtors) -> None:
    take(statement(("2026-11-05 14:03", "이자", 12)))
    decision = set_aside(deposit=undecided()[0], reason="Interest", now=NOW, actor=None)
    undo(decision)
    assert len(undecided()) == 1
    call_command("audit")


def test_undone_by_many_at_once_it_is_undone_once(owing: Debtors) -> None:
    decision = matched(owing)
    results = at_once(lambda: undo(decision), times=4)
    assert [type(result).__name__ for result in results].count("DepositDecision") == 1, results
    assert (owing.left(owing.acme), house(owing).balance().receivable) == (DUE, DUE)
    call_command("audit")


def test_dunning_goes_on_where_it_was(owing: Debtors) -> None:
    undo(matched(owing))
    assert owing.acme.due_on == date(2026, 11, 16)
    steps = list(dunning.dun_all(now=datetime.combine(date(2026, 11, 17), time(10), ZONE)))
    assert owing.acme.pk in {step.invoice_id for step in steps}


def test_history_is_undone_once_and_only_as_a_whole(owing: Debtors) -> None:
    decision = undo(matched(owing))
    with pytest.raises(undoing.AlreadyUndone):
        undo(decision)
    with pytest.raises(DatabaseError), tenant_scope([owing.acme.organization_id]):
        DepositDecision.objects.update(undone_at=None)
    with pytest.raises(DatabaseError), tenant_scope([owing.acme.organization_id]):
        Payment.objects.update(status="succeeded")
