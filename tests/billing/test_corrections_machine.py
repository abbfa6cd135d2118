"""Whatever accountants do to invoices, in any order, the books stay balanced and nobody gets back more than there was."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command

from accounts.invariants import all_invariants
from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.bank.bank_transfers import record_prepayment
from billing.bank.deposit_decisions import match_deposit
from billing.bank.statement_import import import_statement
from billing.corrections.credit_payouts import NothingUnused, refund_unused_credit
from billing.corrections.creditable import NotCreditable, TooMuch
from billing.corrections.refundable import refundable_payments
from billing.corrections.refunds import InvalidRefund, record_refund
from billing.corrections.write_offs import write_off_invoice
from billing.models import CreditNote, CreditPayout, DepositDecision, Invoice
from billing.settlement import outstanding
from ledger.models import Account
from ledger.settling import CreditSpent
from tests.billing.collecting import AFTER, House, meet_the_debtors, open_invoice
from tests.billing.correcting import CREDIT, REFUND, TWO_LINES, note_on, on_account
from tests.billing.depositing import ACCOUNT, deposits, statement
from tests.billing.test_bank_transfers import transfer
from tests.stories import SEOUL

STEPS = 25
MONEY = {"1", "2", "3", "3b", "3c", "14", "16", "17", "21", "32", "40", "41", "42", "43", "57", "60"}
REFUSALS = (
    NotCreditable,
    NothingUnused,
    TooMuch,
    InvalidRefund,
    CreditSpent,
    invoicing.Credited,
    invoicing.NotOpen,
    invoicing.StillLive,
)
"""What may be answered to somebody who asks for something that is not possible any more."""


class Accountant:
    """Does something at random to one of two customers' invoices; `now` goes on by an hour each time."""

    def __init__(self, random: Random) -> None:
        cast = meet_the_debtors()
        self.random, self.now, self.number = random, AFTER, 0
        companies = (cast.acme, cast.globex)
        self.houses = [House(cast, open_invoice(company, usage=TWO_LINES), None) for company in companies]  # type: ignore[arg-type]

    def act(self) -> str:
        self.now += timedelta(hours=1)
        self.number += 1
        house = self.random.choice(self.houses)
        deed = self.random.choices(
            [
                self.pay,
                self.note_line,
                self.note_whole,
                self.refund,
                self.void,
                self.reissue,
                self.write_off,
                self.prepay,
                self.give_unused_back,
                self.deposit,
            ],
            weights=[6, 6, 1, 5, 2, 3, 1, 2, 2, 2],
        )[0]
        with suppress(*REFUSALS):
            deed(house)
        return deed.__name__

    def pay(self, house: House) -> None:
        transfer(house, self.random.randint(1, 4000), key=f"in-{self.number}", received_at=self.now, now=self.now)

    def note_line(self, house: House) -> None:
        back = self.random.choice([CREDIT, REFUND])
        amount = self.random.randint(1, 3000)
        note_on(house, {self.random.choice([1, 2]): amount}, money_back=back, now=self.now)

    def note_whole(self, house: House) -> None:
        note_on(house, money_back=self.random.choice([CREDIT, REFUND]), now=self.now)

    def refund(self, house: House) -> None:
        with tenant_scope([house.organization_id]):
            origins = [*CreditNote.objects.filter(to_refund__gt=0), *CreditPayout.objects.all()]
            ways = [(origin, payment) for origin in origins for payment, _left in refundable_payments(origin)]
        if ways:
            origin, payment = self.random.choice(ways)
            record_refund(
                organization_id=house.organization_id, origin_id=origin.pk, payment_id=payment.pk,
                amount=Decimal(self.random.randint(1, int(origin.to_refund))), sent_on=self.now.date(),
                reference=f"out-{self.number}", now=self.now, actor=None,
            )  # fmt: skip

    def void(self, house: House) -> None:
        self.correct(invoicing.void_invoice, house, invoice_id=house.invoice.pk, reason="x")

    def reissue(self, house: House) -> None:
        house.invoice = self.correct(invoicing.reissue_invoice, house, period_id=house.invoice.period_id)

    def write_off(self, house: House) -> None:
        self.correct(write_off_invoice, house, invoice_id=house.invoice.pk, reason="x")

    def prepay(self, house: House) -> None:
        record_prepayment(
            organization_id=house.organization_id, amount=Decimal(self.random.randint(1, 3000)), currency="KRW",
            payer_name="x", key=f"pre-{self.number}", received_at=self.now, now=self.now, actor=None,
        )  # fmt: skip

    def give_unused_back(self, house: House) -> None:
        self.correct(refund_unused_credit, house, request_key=UUID(int=self.number), reason="x")

    def deposit(self, house: House) -> None:
        """Money on our account that an operator puts on whatever this customer owes; what is too much becomes credit."""
        line = (f"{self.now.astimezone(SEOUL):%Y-%m-%d %H:%M:%S}", f"payer {self.number}", self.random.randint(1, 4000))
        content = statement(line, start=self.number * 1_000_000)
        import_statement(content, file_name="x.csv", account=ACCOUNT, now=self.now, actor=None)
        match_deposit(
            deposit=deposits()[-1], organization_id=house.organization_id, kind=DepositDecision.Kind.CONFIRMED,
            now=self.now, actor=None,
        )  # fmt: skip

    def correct(self, verb: Any, house: House, **what: Any) -> Any:
        return verb(organization_id=house.organization_id, now=self.now, actor=None, **what)


@pytest.mark.parametrize("seed", range(8))
def test_the_books_stay_balanced_whatever_is_corrected_in_whatever_order(db: None, seed: int) -> None:
    accountant, done = Accountant(Random(seed)), []
    watched = [invariant for invariant in all_invariants() if invariant.number in MONEY]
    for _step in range(STEPS):
        done.append(accountant.act())
        broken = {invariant.number: found for invariant in watched if (found := invariant.find())}
        assert not broken, (done, broken)
        for house in accountant.houses:
            with tenant_scope([house.organization_id]):
                owed = sum((outstanding(invoice) for invoice in Invoice.objects.all()), Decimal(0))
            assert house.balance().receivable == on_account(house, Account.RECEIVABLE) == owed, done
    call_command("audit")
