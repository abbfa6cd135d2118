"""A deposit was matched with the wrong debtor, who was let call again; once that is undone, reminders and suspension come back."""

from datetime import datetime

import pytest
from django.core.management import call_command

from accounts.tenancy import tenant_scope
from billing.bank import undoing
from billing.bank.deposit_decisions import match_deposit
from billing.bank.transfer_matching import undecided
from billing.mail.mail_texts import compose
from billing.models import DepositDecision, Invoice, Notice, OutboxMail
from billing.overdue import suspension
from billing.overdue.dunning_policy import Policy, set_policy
from tests.billing.collecting import DUE, at_once
from tests.billing.depositing import NOW, Debtors, meet_debtors_of_transfers, next_invoice, statement, take
from tests.billing.test_deposits import confirm
from tests.billing.test_dunning import day, mails, pay, status, steps, sweep, write_off
from tests.stories import SEOUL


@pytest.fixture
def owing(db: None) -> Debtors:
    """Acme and globex owe ₩2,260 each, due on 16 November 2026."""
    return meet_debtors_of_transfers()


def dun(*numbers: int) -> None:
    """Sweep on these days after the due date."""
    for number in numbers:
        sweep(day(number))


def matched(owing: Debtors, amount: int = DUE, *, at: str = "2026-11-05 14:03") -> DepositDecision:
    """A deposit of globex's that an operator confirmed as acme's."""
    take(statement((at, "홍길동", amount)))
    confirm(undecided()[0], owing.cast.acme, owing)
    return DepositDecision.objects.using("system").latest("pk")


def undo(decision: DepositDecision, *, now: datetime) -> None:
    undoing.undo_decision(decision_id=decision.pk, reason="It was globex's", now=now, actor=None)


def restored(owing: Debtors, *, now: datetime) -> bool:
    return owing.acme.organization_id in suspension.restore_paid(now=now)


def new_steps(invoice: Invoice, before: list[tuple[str, int, bool]]) -> list[tuple[str, int, bool]]:
    return steps(invoice)[len(before) :]


def notices(owing: Debtors) -> list[str]:
    with tenant_scope([owing.acme.organization_id]):
        return list(Notice.objects.order_by("created_at").values_list("kind", flat=True))


def test_whom_somebody_elses_money_let_call_is_reminded_and_suspended_again(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    decision, before = matched(owing), steps(owing.acme)
    assert restored(owing, now=day(32)) and status(owing.acme) == "active"
    undo(decision, now=day(33))
    dun(33)
    assert new_steps(owing.acme, before) == []
    dun(34, 34, 35, 36)
    assert (new_steps(owing.acme, before), status(owing.acme)) == ([("overdue", 4, False)], "active")
    with tenant_scope([owing.acme.organization_id]):
        told = OutboxMail.objects.filter(kind="overdue").latest("created_at")
    assert told.context == {"suspension_on": day(37).date().isoformat()}
    dun(37, 38, 60)
    assert new_steps(owing.acme, before) == [("overdue", 4, False), ("suspension", 2, False)]
    assert notices(owing) == ["account.suspended", "account.restored", "account.suspended"]
    assert status(owing.acme) == "suspended"
    call_command("audit")
    pay(owing.acme, now=day(61))
    assert restored(owing, now=day(61))
    dun(62, 90)
    assert (status(owing.acme), mails(owing.acme)) == ("active", ["overdue"] * 4)
    call_command("audit")


def test_a_second_mistake_is_dunned_as_the_first(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    for number, at in ((40, "2026-11-05 14:03"), (50, "2026-11-06 14:03")):
        decision = matched(owing, at=at)
        assert restored(owing, now=day(number))
        undo(decision, now=day(number + 1))
        dun(number + 2, number + 5)
        assert status(owing.acme) == "suspended"
    assert steps(owing.acme)[-4:] == [
        ("overdue", 4, False),
        ("suspension", 2, False),
        ("overdue", 5, False),
        ("suspension", 3, False),
    ]


def test_who_pays_after_the_reminder_stays_active(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    pay(owing.acme, 1000, now=day(31))
    decision = matched(owing, DUE - 1000)
    assert restored(owing, now=day(32))
    undo(decision, now=day(33))
    assert owing.left(owing.acme) == DUE - 1000
    dun(34)
    assert mails(owing.acme) == ["overdue"] * 4
    pay(owing.acme, DUE - 1000, now=day(35))
    dun(37, 60)
    assert status(owing.acme) == "active"


def test_whom_an_operator_let_call_is_reminded_alone(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    suspension.restore(organization_id=owing.acme.organization_id, reason="Promised", now=day(31), actor=None)
    decision, before = matched(owing), steps(owing.acme)
    undo(decision, now=day(33))
    dun(34, 37, 60)
    assert (new_steps(owing.acme, before), status(owing.acme)) == ([("overdue", 4, False)], "active")


def test_undone_before_anybody_was_let_call_nothing_has_ended(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    undo(matched(owing), now=day(31))
    assert not restored(owing, now=day(31))
    dun(32, 35, 60)
    assert (status(owing.acme), notices(owing)) == ("suspended", ["account.suspended"])
    assert steps(owing.acme)[-1] == ("overdue", 4, False)


def test_of_several_invoices_one_suspends_and_each_is_reminded_of(owing: Debtors) -> None:
    second = next_invoice(owing.cast.acme)
    late = (second.due_on - day(0).date()).days
    dun(1, 7, 14, 30, *(late + number for number in (2, 8, 15, 30)))
    assert [step for step in steps(second) if step[0] == "suspension"] == [("suspension", 1, True)]
    decision = matched(owing, DUE + int(second.amount_due))
    assert restored(owing, now=day(late + 40))
    undo(decision, now=day(late + 41))
    dun(*(late + number for number in range(42, 50)))
    assert steps(owing.acme)[-2:] == [("overdue", 4, False), ("suspension", 2, False)]
    assert steps(second)[-2:] == [("overdue", 4, False), ("suspension", 2, True)]
    with tenant_scope([owing.acme.organization_id]):
        sent = OutboxMail.objects.filter(kind="overdue", created_at__gte=day(late + 41))
        days = [mail.created_at.astimezone(SEOUL).date() for mail in sent.order_by("created_at")]
    assert days == [day(late + 42).date(), day(late + 43).date()]
    call_command("audit")


def test_nobody_is_suspended_by_reminders_from_before_the_payment(owing: Debtors) -> None:
    dun(1, 7, 14)
    undo(matched(owing), now=day(40))
    dun(40)
    assert status(owing.acme) == "active"
    dun(41, 43)
    assert (mails(owing.acme), status(owing.acme)) == (["overdue"] * 4, "active")
    dun(44)
    assert status(owing.acme) == "suspended"


def test_a_reminder_that_is_still_to_come_is_the_only_one(owing: Debtors) -> None:
    dun(1, 7)
    undo(matched(owing), now=day(8))
    dun(*range(9, 30))
    assert mails(owing.acme) == ["overdue"] * 3
    dun(30)
    assert status(owing.acme) == "suspended"


def test_without_reminders_the_news_of_the_payment_has_its_days_to_be_read(owing: Debtors) -> None:
    set_policy(organization=None, policy=Policy(overdue_days=()), reason="", now=day(0), actor=None)
    undo(matched(owing), now=day(40))
    dun(40, 42)
    assert status(owing.acme) == "active"
    dun(43)
    assert status(owing.acme) == "suspended"
    decision = matched(owing, at="2026-11-06 14:03")
    assert restored(owing, now=day(44))
    undo(decision, now=day(45))
    dun(47)
    assert status(owing.acme) == "active"
    dun(48)
    assert (status(owing.acme), mails(owing.acme)) == ("suspended", [])


def test_who_was_exempted_meanwhile_is_reminded_alone(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    decision = matched(owing)
    assert restored(owing, now=day(32))
    acme = owing.cast.acme.organization
    set_policy(organization=acme, policy=Policy(suspend_after=None), reason="Public", now=day(32), actor=None)
    undo(decision, now=day(33))
    dun(34, 37, 60)
    assert (status(owing.acme), mails(owing.acme)) == ("active", ["overdue"] * 4)


def recovered(owing: Debtors, *, at: str = "2026-11-05 14:03") -> DepositDecision:
    """A deposit that an operator took for the payment of what acme never paid."""
    take(statement((at, "홍길동", DUE)))
    match_deposit(
        deposit=undecided()[0], organization_id=owing.acme.organization_id, first=owing.acme.pk,
        kind=DepositDecision.Kind.CONFIRMED, now=NOW, actor=None,
    )  # fmt: skip
    return DepositDecision.objects.using("system").latest("pk")


def test_a_debt_that_was_given_up_and_seemed_recovered_suspends_again(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    write_off(owing.acme, now=day(31))
    decision = recovered(owing)
    assert restored(owing, now=day(32))
    undo(decision, now=day(33))
    with tenant_scope([owing.acme.organization_id]):
        letter = compose(OutboxMail.objects.get(kind="payment_reversed"))
    assert letter.text.count("₩2,260") == 2
    dun(34, 35)
    assert status(owing.acme) == "active"
    dun(36, 37)
    assert notices(owing) == ["account.suspended", "account.restored", "account.suspended"]
    assert not restored(owing, now=day(38)) and status(owing.acme) == "suspended"
    call_command("audit")
    pay(owing.acme, now=day(39))
    assert restored(owing, now=day(39))
    dun(40, 60)
    assert (status(owing.acme), mails(owing.acme)) == ("active", ["overdue"] * 3)


def test_what_is_given_up_while_one_may_call_suspends_nobody(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    decision = matched(owing)
    assert restored(owing, now=day(32))
    undo(decision, now=day(33))
    write_off(owing.acme, now=day(33, 11))
    dun(34, 37, 60)
    assert status(owing.acme) == "active"


def test_over_a_debt_that_was_given_up_nobody_exempt_is_suspended_nor_on_a_day_with_other_mail(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    write_off(owing.acme, now=day(31))
    later = next_invoice(owing.cast.acme)
    decision = recovered(owing)
    late = (later.due_on - day(0).date()).days
    assert restored(owing, now=day(late))
    undo(decision, now=day(late))
    acme = owing.cast.acme.organization
    set_policy(organization=acme, policy=Policy(suspend_after=None), reason="Public", now=day(late), actor=None)
    dun(late + 4)
    set_policy(organization=acme, policy=None, reason="Over", now=day(late + 7), actor=None)
    dun(late + 7)
    assert (steps(later)[-1], status(owing.acme)) == (("overdue", 2, False), "active")
    dun(late + 8)
    assert status(owing.acme) == "suspended"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_operators_word_about_a_debt_that_was_given_up_stands(owing: Debtors, when: str) -> None:
    """Whoever let it call did not want the payment for that, or knew that there was none."""
    dun(1, 7, 14, 30)
    write_off(owing.acme, now=day(31))
    if when == "before":
        suspension.restore(organization_id=owing.acme.organization_id, reason="Sorted out", now=day(31, 11), actor=None)
        undo(recovered(owing), now=day(33))
    else:
        decision = recovered(owing)
        assert restored(owing, now=day(32))
        undo(decision, now=day(33))
        dun(36)
        suspension.restore(organization_id=owing.acme.organization_id, reason="Sorted out", now=day(37), actor=None)
    dun(38, 60)
    assert status(owing.acme) == "active"
    later = next_invoice(owing.cast.acme)
    late = (later.due_on - day(0).date()).days
    dun(*(late + number for number in (60, 64)))
    assert status(owing.acme) == "suspended"
    pay(later, int(later.amount_due), now=day(late + 65))
    assert restored(owing, now=day(late + 65))


def test_reminded_by_many_at_once_it_hears_once(owing: Debtors) -> None:
    dun(1, 7, 14, 30)
    decision = matched(owing)
    assert restored(owing, now=day(32))
    undo(decision, now=day(33))
    at_once(lambda: sweep(day(34)), times=4)
    assert mails(owing.acme) == ["overdue"] * 4
    at_once(lambda: sweep(day(37)), times=4)
    assert notices(owing) == ["account.suspended", "account.restored", "account.suspended"]
    call_command("audit")
