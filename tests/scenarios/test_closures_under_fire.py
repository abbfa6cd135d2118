"""Organizations close while workers are killed, Redis is emptied, and the payment processor loses its answers.

As in `test_month_end_under_fire`: two beats, four workers, a SIGKILL every 200 ms. In waves, owners ask twice at once to be closed
on the spot. Some owe and pay by transfer, by page or by card; some have bought credit of which most goes back to their card;
some owe and own nothing. Some have a call of which nobody heard again.

Then there is peace, and by beat's sweeps alone each must come to be closed: one final invoice, paid once, one refund, nothing left.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Organization
from accounts.organizations import NotPossible
from billing.closures.asking import ask_for_closure
from billing.models import Closure, CreditPayout, Invoice, InvoiceSeries, Notice, Payment, Refund
from billing.payments import top_ups
from billing.processors.stripe_answers import to_smallest_unit
from ledger.models import Balance, BillingPeriod
from pricing.tokens import TokenUsage
from tests import stories
from tests.billing.collecting import at_once, type_card
from tests.scenarios.customers import Customer, expect, with_page, with_stored_card
from tests.scenarios.fire import Works, running_works
from tests.scenarios.test_month_end_under_fire import MonthEnd, lose_a_call
from tests.scenarios.test_tax_invoices_under_fire import ByTransfer
from tests.stories import Company

COMPANIES, KILLS = 20, 80
A_WAVE, KILLS_A_WAVE = 2, 6
BOUGHT = Decimal(50_000)
"""Credit, of which a few thousand won are used."""
FAULTS: list[dict[str, Any]] = [
    {"fault": "accept-then-drop", "where": "POST /v1/payment_intents", "times": 2},
    {"fault": "accept-then-drop", "where": "POST /v1/refunds", "times": 2},
    {"fault": "sticky-500-committed", "where": "POST /v1/refunds", "times": 1},
    {"fault": "slow:0.3", "where": "/v1/refunds", "times": 20},
    {"fault": "drop-webhook", "where": "payment_intent.succeeded", "times": 3},
]
STEPS = (
    ("close_organizations",),
    ("render_documents", "sweep_documents"),
    ("deliver_mail", "sweep_mail"),
)
Kind = Notice.Kind


@pytest.fixture
def works(process_environment: dict[str, str], tmp_path: Path, settings: Settings) -> Iterator[Works]:
    """Whoever is asked about a lost call has no day to answer but four seconds."""
    more = {"QUESTION_HOURS": "0.001"}
    with running_works(process_environment, settings=settings, folder=tmp_path, more=more) as works:
        yield works


def test_everybody_is_closed_once_with_nothing_left_whoever_is_killed(works: Works) -> None:
    leavers = Leavers(works, companies=COMPANIES)
    works.processor.order(*FAULTS)
    leavers.live_through_fire(kills=KILLS, hit=lambda fire: fire.has_hit(STEPS))
    leavers.each_has_one_final_invoice()
    leavers.numbers_have_no_gap()
    leavers.each_pdf_is_what_was_noted()
    leavers.each_debt_is_paid_and_each_credit_refunded_once()
    leavers.each_is_told_once()
    leavers.nothing_is_left()


class Leavers(MonthEnd):
    """Of five, one pays with a card on file, one on the page, one by transfer, one from credit, and one has used nothing. All of
    it is of this month, so each has one final invoice, or none."""

    def __init__(self, works: Works, *, companies: int) -> None:
        super().__init__(works, companies=companies)
        self.debtors = [company for number, company in enumerate(self.companies) if number % 5 < 3]
        self.owners_of_credit = [company for number, company in enumerate(self.companies) if number % 5 == 3]

    def _company(self, number: int) -> Company:
        company = stories.make_company(
            f"company{number:02}", now=self.now, credit_line=Decimal(10_000), trial_credit=Decimal(1000)
        )
        if number % 5 == 3:
            self._buy_credit(company)
        if number % 5 < 4:
            usage = TokenUsage(input_tokens=100_000_000 + number * 1_000_000, output_tokens=number * 1000)
            stories.use(company.organization, at=self.now, usage=usage)
        if number % 6 == 0:
            lose_a_call(company, now=self.now, name=f"lost-{number}")
        return company

    def _buy_credit(self, company: Company) -> None:
        now = datetime.now(UTC)
        page = top_ups.start_top_up(
            organization=company.organization, amount=BOUGHT, request_key=uuid4(), user=company.owner, now=now
        )
        type_card(page.action_url)
        bought = top_ups.look_again(organization_id=company.organization.pk, now=datetime.now(UTC))
        assert bought is not None and bought.status == Payment.Status.SUCCEEDED

    def customer(self, number: int, company: Company) -> Customer:
        if number % 5 == 0:
            return with_stored_card(company, works=self.works, now=self.now)
        return with_page(company) if number % 5 == 1 else ByTransfer(company=company)

    def payers(self) -> list[Customer]:
        return [customer for customer in self.customers if customer.company in self.debtors]

    def let_time_pass(self, kill: int) -> None:
        """The next few ask, each twice at once."""
        if kill % KILLS_A_WAVE == 0:
            leaving, self._not_due = self._not_due[:A_WAVE], self._not_due[A_WAVE:]
            for company in leaving:
                expect(at_once(lambda company=company: self._ask(company), times=2), besides=NotPossible)  # type: ignore[misc]

    def _ask(self, company: Company) -> Closure:
        return ask_for_closure(
            organization_id=company.organization.pk, at_once=True, now=datetime.now(UTC), actor=company.owner
        )

    def is_half_done(self) -> bool:
        return not self._not_due and Invoice.objects.using("system").count() >= len(self.companies) / 2

    def unrest(self) -> dict[str, int]:
        closures = Closure.objects.using("system")
        found = {
            "not asked yet": len(self._not_due),
            "closures not settled": closures.exclude(status=Closure.Status.CLOSED).count(),
            "open refunds": Refund.objects.using("system").filter(status__in=Refund.OPEN_STATUSES).count(),
        }
        return super().unrest() | {what: count for what, count in found.items() if count}

    def each_has_one_final_invoice(self) -> None:
        rows = Invoice.objects.using("system").values_list("organization_id", "kind")
        users = self.debtors + self.owners_of_credit
        assert Counter(rows) == Counter((company.organization.pk, "final") for company in users)

    def numbers_have_no_gap(self) -> None:
        sequences = Invoice.objects.using("system").order_by("sequence").values_list("sequence", flat=True)
        count = len(self.debtors) + len(self.owners_of_credit)
        assert list(sequences) == list(range(1, count + 1))
        assert InvoiceSeries.objects.using("system").get().next_number == count + 1

    def each_debt_is_paid_and_each_credit_refunded_once(self) -> None:
        """In our books and in the processor's own, to the won."""
        paid = Payment.objects.using("system").filter(status=Payment.Status.SUCCEEDED)
        of_invoices = Counter(payment.organization_id for payment in paid if payment.invoice_id)
        assert of_invoices == Counter(company.organization.pk for company in self.debtors)
        refunds = list(Refund.objects.using("system").filter(status=Refund.Status.SUCCEEDED))
        assert Counter(refund.organization_id for refund in refunds) == Counter(
            company.organization.pk for company in self.owners_of_credit
        )
        payouts = CreditPayout.objects.using("system").select_related("credit_use")
        assert Counter(refund.amount for refund in refunds) == Counter(payout.to_refund for payout in payouts)

        ledger = self.works.processor.get("/sandbox/ledger")
        theirs = Counter(
            (entry["type"], entry["amount"]) for entry in ledger["entries"] if entry["status"] == "succeeded"
        )
        ours = Counter(
            [("charge", to_smallest_unit(one.amount, "KRW")) for one in paid if one.processor != "bank_transfer"]
            + [("refund", to_smallest_unit(one.amount, "KRW")) for one in refunds]
        )
        assert theirs == ours

    def each_is_told_once(self) -> None:
        notices = Notice.objects.using("system").filter(kind__in=(Kind.CLOSING, Kind.CLOSED))
        assert Counter(notices.values_list("organization_id", "kind")) == Counter(
            (company.organization.pk, kind) for company in self.companies for kind in (Kind.CLOSING, Kind.CLOSED)
        )

    def nothing_is_left(self) -> None:
        assert set(Organization.objects.using("system").values_list("status", flat=True)) == {"closed"}
        assert not BillingPeriod.objects.using("system").exclude(status=BillingPeriod.Status.CLOSED).exists()
        for balance in Balance.objects.using("system"):
            assert (balance.prepaid, balance.receivable, balance.unbilled, balance.held) == (0, 0, 0, 0)
