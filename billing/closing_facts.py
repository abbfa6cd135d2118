"""What a close has to know, in one message: the rows of period and balance, locked in this order, and what was committed before.

Each statement sees what is committed when it begins, so all that stands after the locks is what the locks protect.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from accounts.round_trips import Rows, Statement, tenant_transaction
from accounts.stored_rows import columns, instance
from billing.buyers import BUYER, Buyer, buyer_in
from billing.models import BillingTerms, Seller
from billing.sellers import current_seller
from billing.terms import TERMS_OF, terms_in
from billing.usage_lines import SUMS
from catalog.rate_details import KnownRates
from ledger.credit_order import CREDITS_LEFT, CreditLeft, credits_in
from ledger.models import Balance, BillingPeriod
from ledger.settling import LOCK_BALANCE, balance_in
from metering.proven_days import CHANGED_DAYS

LOCK_PERIOD = Statement(
    f"SELECT {columns(BillingPeriod, 'period')} FROM ledger_billingperiod AS period "
    "WHERE period.organization_id = %s AND period.id = %s FOR UPDATE"
)


class Known:
    """What many closes of one moment ask for and what is the same for all of them."""

    def __init__(self, *, now: datetime) -> None:
        self.rates = KnownRates()
        self._now = now

    @cached_property
    def seller(self) -> Seller:
        """The one in force. Raises NoSeller."""
        return current_seller(now=self._now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingFacts:
    """Of a period whose row is locked with its balance: whom it is invoiced to, all terms, the credits with something left, its
    CHANGED_DAYS, the SUMS of its usage."""

    period: BillingPeriod
    balance: Balance
    buyer: Buyer
    terms: list[BillingTerms]
    grants: list[CreditLeft]
    days: Rows
    sums: Rows


@contextmanager
def facts_for_closing(*, organization_id: int, period_id: int) -> Iterator[ClosingFacts]:
    """A tenant scope that begins with them. Raises BillingPeriod.DoesNotExist."""
    of_organization, of_period = [organization_id], [organization_id, period_id]
    steps = [
        (LOCK_PERIOD, of_period),
        (LOCK_BALANCE, of_organization),
        (BUYER, of_organization),
        (TERMS_OF, of_organization),
        (CREDITS_LEFT, of_organization),
        (CHANGED_DAYS, of_period),
        (SUMS, of_period),
    ]
    with tenant_transaction([organization_id], steps) as begun:
        period, balance, buyer, terms, grants, days, sums = begun.rows
        if not period:
            raise BillingPeriod.DoesNotExist
        yield ClosingFacts(
            period=instance(BillingPeriod, period[0]),
            balance=balance_in(balance),
            buyer=buyer_in(buyer),
            terms=terms_in(terms),
            grants=credits_in(grants),
            days=days,
            sums=sums,
        )
