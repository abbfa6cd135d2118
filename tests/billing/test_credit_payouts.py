"""Unused paid credit goes back: what of it, the way it came, once, and never spent meanwhile."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from accounts.models import AuditEntry
from accounts.tenancy import tenant_scope
from billing.corrections import unresolved_refunds
from billing.corrections.credit_payouts import InvalidPayout, NothingUnused, refund_unused_credit, unused_credit
from billing.corrections.refundable import left_to_refund
from billing.corrections.refunds import InvalidRefund, record_refund, refund_again
from billing.mail.mail_texts import compose
from billing.models import CreditPayout, OutboxMail, Payment, Refund
from billing.payments import unresolved
from ledger.credits import grant_credit
from ledger.models import Account, CreditGrant
from tests.billing.collecting import DUE, LOTS, House, at_once, moment, type_card
from tests.billing.correcting import CREDIT, REFUND, note_on, on_account, refunds
from tests.billing.test_bank_transfers import transfer
from tests.billing.test_refunds import REFUND_CALL, sweep
from tests.billing.test_top_ups import AMOUNT, look, top_up
from tests.stories import use

Status = Refund.Status


@pytest.fixture
def prepaid(house: House) -> House:
    """The invoice is paid by transfer, and ₩50,000 of credit were bought by card after that."""
    transfer(house)
    type_card(top_up(house).action_url)
    look(house)
    assert (house.balance().prepaid, house.taken()) == (AMOUNT, AMOUNT)
    return house


def send_back(house: House, **changes: Any) -> list[CreditPayout]:
    given: dict[str, Any] = {
        "organization_id": house.organization_id,
        "request_key": uuid4(),
        "reason": "Agreed by phone",
        "now": moment(),
        "actor": house.cast.operator,
    }
    return refund_unused_credit(**(given | changes))


def unused(house: House) -> list[Decimal]:
    with tenant_scope([house.organization_id]):
        return [one.left for one in unused_credit(organization_id=house.organization_id, now=moment())]


def taken(house: House, payout: CreditPayout) -> Decimal:
    with tenant_scope([house.organization_id]):
        return payout.to_refund


def give(house: House, amount: int, *, kind: str = "paid", **more: Any) -> CreditGrant:
    with tenant_scope([house.organization_id]):
        grant = grant_credit(
            organization=house.invoice.organization, amount=Decimal(amount), currency="KRW", kind=kind,
            reason="Transfer of 3 November", key=f"console:{uuid4()}", now=moment(), **more,
        )  # fmt: skip
    assert grant is not None
    return grant


def test_what_a_card_bought_and_nobody_used_goes_back_to_the_card(prepaid: House) -> None:
    [payout] = send_back(prepaid)
    assert (taken(prepaid, payout), payout.taken_by) == (AMOUNT, prepaid.cast.operator)
    assert (prepaid.balance().prepaid, prepaid.taken(), unused(prepaid)) == (0, 0, [])
    assert (on_account(prepaid, Account.REFUNDABLE), on_account(prepaid, Account.CLEARING)) == (0, 0)
    [refund] = refunds(prepaid)
    assert (refund.status, refund.amount, refund.origin_id) == (Status.SUCCEEDED, AMOUNT, payout.pk)
    assert prepaid.mails() == ["receipt", "top_up", "refund"]
    actions = AuditEntry.objects.using("system").filter(target__startswith="top-up:").values_list("action", flat=True)
    assert {"credit.taken_out", "refund.started", "refund.succeeded"} <= set(actions)
    call_command("audit")


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_mail_says_what_was_sent_back(prepaid: House, language: str) -> None:
    send_back(prepaid)
    with tenant_scope([prepaid.organization_id]):
        mail = OutboxMail.objects.get(kind="refund")
        mail.language = language
        letter = compose(mail)
    assert "₩50,000" in letter.text and "/o/acme/credit" in letter.text
    assert {"ko": "미사용 크레딧 환불", "en": "Refund of unused credit"}[language] in letter.subject


def test_usage_debts_and_running_calls_keep_the_credit_that_pays_them(prepaid: House) -> None:
    use(prepaid.invoice.organization, at=moment() - timedelta(hours=1), usage=LOTS)
    assert unused(prepaid) == [AMOUNT - 7260]
    [payout] = send_back(prepaid)
    assert (taken(prepaid, payout), prepaid.balance().prepaid, prepaid.taken()) == (AMOUNT - 7260, 7260, 7260)
    call_command("audit")


def test_an_unpaid_invoice_keeps_credit_back(house: House) -> None:
    type_card(top_up(house).action_url)
    look(house)
    assert unused(house) == [AMOUNT - DUE]


def test_a_promotion_is_never_sent_back(house: House) -> None:
    transfer(house)
    give(house, 9000, kind="promotional")
    with pytest.raises(NothingUnused):
        send_back(house)


def test_part_of_one_purchase_goes_back_once_however_often_it_is_asked_for(prepaid: House) -> None:
    with tenant_scope([prepaid.organization_id]):
        [one] = unused_credit(organization_id=prepaid.organization_id, now=moment())
    key = uuid4()
    amounts = {one.grant.pk: Decimal(20_000)}
    answers = at_once(lambda: send_back(prepaid, request_key=key, amounts=amounts), times=4)
    assert len({payout.pk for [payout] in answers}) == 1
    assert (prepaid.balance().prepaid, prepaid.taken()) == (30_000, 30_000)
    call_command("audit")


def test_two_who_send_all_back_at_once_send_it_once(prepaid: House) -> None:
    def click() -> int:
        try:
            return len(send_back(prepaid))
        except NothingUnused:
            return 0

    assert sorted(at_once(click, times=4)) == [0, 0, 0, 1]
    assert (prepaid.balance().prepaid, prepaid.taken()) == (0, 0)
    call_command("audit")


@pytest.mark.parametrize("amount", ["50001", "0", "-1", "0.5"])
def test_no_other_amounts(prepaid: House, amount: str) -> None:
    with tenant_scope([prepaid.organization_id]):
        [one] = unused_credit(organization_id=prepaid.organization_id, now=moment())
    with pytest.raises(InvalidPayout):
        send_back(prepaid, amounts={one.grant.pk: Decimal(amount)})
    with pytest.raises(InvalidPayout):
        send_back(prepaid, amounts={one.grant.pk: Decimal(1), 0: Decimal(1)})
    assert (prepaid.balance().prepaid, refunds(prepaid)) == (AMOUNT, [])


@pytest.mark.parametrize("fault", ["accept-then-drop", "drop", "sticky-500-committed"])
def test_credit_that_is_on_its_way_is_not_spent_meanwhile(prepaid: House, fault: str) -> None:
    prepaid.processor.order({"fault": fault, "where": REFUND_CALL})
    send_back(prepaid)
    [refund] = refunds(prepaid)
    assert (refund.status, prepaid.balance().prepaid) == (Status.UNKNOWN, 0)
    assert -on_account(prepaid, Account.REFUNDABLE) == AMOUNT
    assert sweep() == 1
    assert (prepaid.taken(), on_account(prepaid, Account.REFUNDABLE)) == (0, 0)
    call_command("audit")


def test_what_a_card_does_not_take_back_is_sent_by_hand(prepaid: House) -> None:
    prepaid.processor.order({"fault": "sticky-500", "where": REFUND_CALL})
    [payout] = send_back(prepaid)
    sweep(minutes=26 * 60)
    payment_id = refunds(prepaid)[0].payment_id
    by_hand(prepaid, payout.pk, payment_id=payment_id, amount=Decimal(10_000))
    with tenant_scope([prepaid.organization_id]):
        assert left_to_refund(payout) == AMOUNT - 10_000
    again = refund_again(organization_id=prepaid.organization_id, origin_id=payout.pk, now=moment(), actor=None)
    unresolved_refunds.call_first(again, now=moment())
    assert (prepaid.taken(), on_account(prepaid, Account.REFUNDABLE)) == (10_000, 0)
    assert on_account(prepaid, Account.BANK) == DUE - 10_000
    call_command("audit")


def by_hand(house: House, origin_id: UUID, **changes: Any) -> Refund:
    given: dict[str, Any] = {
        "organization_id": house.organization_id, "origin_id": origin_id, "payment_id": None, "amount": Decimal(9000),
        "sent_on": moment().date() - timedelta(days=1), "reference": "1", "now": moment(), "actor": None,
    }  # fmt: skip
    return record_refund(**(given | changes))


def test_credit_that_an_operator_entered_as_paid_goes_back_by_hand(house: House) -> None:
    transfer(house)
    give(house, 9000)
    [payout] = send_back(house)
    assert (refunds(house), house.balance().prepaid, -on_account(house, Account.REFUNDABLE)) == ([], 0, 9000)
    with pytest.raises(InvalidRefund):
        by_hand(house, payout.pk, amount=Decimal(9001))
    with pytest.raises(Payment.DoesNotExist):
        by_hand(house, payout.pk, payment_id=house.payment().pk)
    by_hand(house, payout.pk)
    assert (on_account(house, Account.REFUNDABLE), on_account(house, Account.BANK)) == (0, DUE)
    call_command("audit")


def test_an_overpayment_goes_back_on_its_payment_and_leaves_the_invoices_part_refundable(house: House) -> None:
    transfer(house, amount=DUE + 1000)
    [payout] = send_back(house)
    payment = house.payment()
    by_hand(house, payout.pk, payment_id=payment.pk, amount=Decimal(1000))
    note = note_on(house, money_back=REFUND)
    with pytest.raises(InvalidRefund):
        by_hand(house, note.pk, payment_id=payment.pk, amount=Decimal(DUE + 1), reference="2")
    by_hand(house, note.pk, payment_id=payment.pk, amount=Decimal(DUE), reference="2")
    assert (on_account(house, Account.BANK), on_account(house, Account.REFUNDABLE)) == (0, 0)
    call_command("audit")


def test_credit_of_a_note_goes_back_to_the_card_that_paid_the_invoice(house: House) -> None:
    type_card(house.pay().action_url)
    unresolved.resolve_unknown(now=moment() + timedelta(minutes=1))
    note_on(house, {1: 1000}, money_back=CREDIT)
    send_back(house)
    assert (house.taken(), house.balance().prepaid) == (DUE - 1100, 0)
    call_command("audit")


def test_what_was_taken_out_is_history(prepaid: House) -> None:
    [payout] = send_back(prepaid)
    for change in (lambda: CreditPayout.objects.update(reason="x"), lambda: CreditPayout.objects.all().delete()):
        with pytest.raises(DatabaseError), tenant_scope([prepaid.organization_id]):
            change()
    assert payout.reason == "Agreed by phone"
