"""Whatever happens to an account, in any order, its books stay right: usage, invoices, voids, payments, credits that expire."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from itertools import count

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.invariants import all_invariants
from accounts.tenancy import tenant_scope
from billing import invoicing
from billing.bank.bank_transfers import record_transfer
from billing.models import Invoice
from billing.sellers import set_seller
from billing.settlement import outstanding
from ledger import credit_expiry, holds
from ledger.balances import available
from ledger.credits import grant_credit
from ledger.event_ids import new_id
from ledger.models import BillingPeriod, CreditGrant, CreditUse, LedgerEntry
from ledger.settling import CreditSpent
from metering.models import EventKind, UsageEvent
from metering.recording import record
from metering.reversing import Correction, reverse, reversed_among
from pricing.tokens import TokenUsage
from tests import stories
from tests.stories import SELLER, usage_report

START = datetime(2026, 9, 25, 3, tzinfo=UTC)
OF_THE_BOOKS = {"1", "2", "3", "3b", "3c", "5", "14", "15", "21", "30", "32"}
_numbers = count(1)


class Account(RuleBasedStateMachine):
    """One organization; time only goes on, by hours or weeks."""

    @initialize()
    def open(self) -> None:
        number = next(_numbers)
        self.now = START
        company = stories.make_company(
            f"company-{number}", now=START, credit_line=Decimal(1000), trial_credit=Decimal(number % 3 * 50)
        )
        self.organization = company.organization

    @precondition(lambda self: self.now < START + timedelta(days=60))
    @rule(hours=st.sampled_from([1, 24, 24 * 9, 24 * 20]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(tokens=st.lists(st.integers(1, 3_000_000), min_size=1, max_size=4), days_late=st.sampled_from([0, 0, 20]))
    def use(self, tokens: list[int], days_late: int) -> None:
        at = max(self.now - timedelta(days=days_late), START)
        usages = [TokenUsage(input_tokens=number, output_tokens=number // 3) for number in tokens]
        record([usage_report(self.organization, at=at, usage=usage) for usage in usages], now=self.now)

    @rule()
    def take_usage_back(self) -> None:
        with tenant_scope([self.organization.pk]):
            events = list(UsageEvent.objects.filter(kind=EventKind.USAGE).order_by("-id")[:4])
            gone = reversed_among(events, organization_id=self.organization.pk)
            left = [Correction(event=event) for event in events if event.id not in gone]
            reverse(left, reason="It was never made.", actor=None, now=self.now)

    @rule(
        amount=st.integers(1, 400),
        kind=st.sampled_from(CreditGrant.Kind.values),
        days=st.sampled_from([None, 1, 20]),
        priority=st.sampled_from([1, 100]),
    )
    def give(self, amount: int, kind: str, days: int | None, priority: int) -> None:
        grant_credit(
            organization=self.organization,
            amount=Decimal(amount),
            currency="KRW",
            kind=kind,
            reason="test",
            key=f"test-{next(_numbers)}",
            now=self.now,
            expires_at=None if days is None else self.now + timedelta(days=days),
            priority=priority,
        )

    @rule()
    def sweep(self) -> None:
        credit_expiry.expire_due(now=self.now)
        assert credit_expiry.expire_due(now=self.now) == 0

    @rule(more=st.sampled_from([0, 1]))
    def call(self, more: int) -> None:
        """A call is admitted up to what a reader of the balance sees, and not a won beyond; it turns out to cost nothing."""
        with tenant_scope([self.organization.pk]):
            left = available(credit_expiry.balance_at(self.organization, now=self.now))
        amount = max(left.to_integral_value(ROUND_FLOOR), Decimal(0)) + more
        hold_id = new_id(self.now)
        request = holds.HoldRequest(
            organization_id=self.organization.pk, id=hold_id, created_at=self.now,
            expires_at=self.now + timedelta(minutes=15), api_key_id=None, model_id=1, amount=amount,
            request_id="req", upstream="test",
        )  # fmt: skip
        assert (holds.reserve([request]) == [None]) is (amount <= left)
        holds.release(organization_id=self.organization.pk, hold_id=hold_id, now=self.now)

    @rule()
    def invoice(self) -> None:
        for period in self._rows(BillingPeriod, ends_at__lte=self.now).exclude(status="closed").order_by("starts_at"):
            invoicing.close_period(organization_id=self.organization.pk, period_id=period.pk, now=self.now)

    @rule(whole=st.booleans())
    def void(self, whole: bool) -> None:
        invoice = self._last(status="open") or self._last(status="paid", amount_due=0)
        if invoice is None:
            return
        try:
            invoicing.void_invoice(
                organization_id=self.organization.pk, invoice_id=invoice.pk, reason="test", now=self.now, actor=None
            )
        except CreditSpent:
            return
        if whole:
            invoicing.reissue_invoice(
                organization_id=self.organization.pk, period_id=invoice.period_id, now=self.now, actor=None
            )

    @rule(part=st.sampled_from([Decimal("0.5"), Decimal(1), Decimal("1.7")]))
    def pay(self, part: Decimal) -> None:
        invoice = self._last(status="open")
        if invoice is not None:
            with tenant_scope([self.organization.pk]):
                due = outstanding(invoice)
            self._transfer(invoice, max((due * part).to_integral_value(), Decimal(1)))

    @precondition(lambda self: self._last() is not None)
    @rule(amount=st.integers(1, 300))
    def pay_what_is_not_due(self, amount: int) -> None:
        invoice = self._last(status="paid") or self._last(status="void")
        if invoice is not None:
            self._transfer(invoice, Decimal(amount))

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "organization"):
            return
        found = {one.number: one.find() for one in all_invariants() if one.number in OF_THE_BOOKS}
        assert not any(found.values()), found
        assert (self._rows(LedgerEntry).aggregate(sum=Sum("amount"))["sum"] or 0) == 0

    @invariant()
    def no_credit_is_used_twice(self) -> None:
        if hasattr(self, "organization"):
            used = self._rows(CreditUse).values_list("grant").annotate(sum=Sum("amount"))
            given = dict(self._rows(CreditGrant).values_list("pk", "amount"))
            assert all(0 <= amount <= given[grant] for grant, amount in used)

    def _transfer(self, invoice: Invoice, amount: Decimal) -> None:
        record_transfer(
            organization_id=self.organization.pk, invoice_id=invoice.pk, amount=amount, payer_name="Acme",
            key=str(next(_numbers)), received_at=self.now, actor=None, now=self.now,
        )  # fmt: skip

    def _last(self, **wanted: object) -> Invoice | None:
        if not hasattr(self, "organization"):
            return None
        found: Invoice | None = self._rows(Invoice).filter(**wanted).order_by("-finalized_at", "-sequence").first()
        return found

    def _rows(self, model: type, **wanted: object):  # type: ignore[no-untyped-def]
        return model.objects.using("system").for_organization(self.organization).filter(**wanted)


@pytest.fixture
def catalog(db: None) -> Iterator[None]:
    stories.make_catalog(now=datetime(2026, 11, 22, 3, tzinfo=UTC))
    set_seller(now=START - timedelta(days=30), **SELLER)
    yield


def test_the_books_stay_right_whatever_happens(catalog: None) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Account,
        settings=settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=checks),
    )
