"""What still stands between an organization whose usage has ended and its closure: in the order in which it is settled."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from django.db.models import Sum

from accounts.models import Organization
from billing.models import Invoice, Payment, Refund
from billing.settlement import outstanding_by_invoice
from ledger.credit_expiry import balance_at
from ledger.credit_payouts import unused_paid
from ledger.models import Account, BillingPeriod, Hold, HoldStatus, LedgerEntry
from metering.models import UnratedUsage
from pricing.exact import EXACT, ZERO, exact_sum

UNRESOLVED = (HoldStatus.OPEN, HoldStatus.QUESTIONED)


class Step(StrEnum):
    """What there is to be done."""

    CALLS = "calls"
    PRICES = "prices"
    INVOICE = "invoice"
    PAYMENT = "payment"
    CREDIT = "credit"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """`count` calls, periods or invoices, or an `amount` of money, tax included."""

    step: Step
    count: int = 0
    amount: Decimal = ZERO


def remaining(organization: Organization, *, now: datetime) -> list[Remaining]:
    """Nothing: it can be closed. Needs the tenant scope."""
    rows = (
        *unresolved_usage(organization),
        Remaining(step=Step.INVOICE, count=_open_periods(organization)),
        _unpaid(organization),
        Remaining(step=Step.CREDIT, amount=credit_to_return(organization, now=now)),
        Remaining(step=Step.REFUND, amount=_refundable(organization), count=_payments_and_refunds(organization)),
    )
    return [row for row in rows if row.count or row.amount]


def unresolved_usage(organization: Organization) -> list[Remaining]:
    """Calls of which nobody knows yet what they cost, and reported ones that wait for a price. Needs the tenant scope."""
    holds = Hold.objects.for_organization(organization).filter(status__in=UNRESOLVED).count()
    waiting = UnratedUsage.objects.for_organization(organization).count()
    return [Remaining(step=Step.CALLS, count=holds), Remaining(step=Step.PRICES, count=waiting)]


def credit_to_return(organization: Organization, *, now: datetime) -> Decimal:
    """Credit that was paid for and nothing needs; promotional credit lapses. Needs the tenant scope."""
    return exact_sum(left for _grant, left in unused_paid(balance_at(organization, now=now), now=now))


def _open_periods(organization: Organization) -> int:
    periods = BillingPeriod.objects.for_organization(organization)
    return periods.exclude(status=BillingPeriod.Status.CLOSED).count()


def _unpaid(organization: Organization) -> Remaining:
    invoices = list(Invoice.objects.for_organization(organization).filter(status=Invoice.Status.OPEN))
    owed = outstanding_by_invoice(invoices)
    return Remaining(step=Step.PAYMENT, count=len(invoices), amount=exact_sum(owed.values()))


def _refundable(organization: Organization) -> Decimal:
    """What was set aside for the customer and has not left us."""
    entries = LedgerEntry.objects.for_organization(organization).filter(account=Account.REFUNDABLE)
    return EXACT.minus(entries.aggregate(sum=Sum("amount"))["sum"] or ZERO)


def _payments_and_refunds(organization: Organization) -> int:
    """Attempts that are under way."""
    payments = Payment.objects.for_organization(organization).filter(status__in=Payment.OPEN_STATUSES)
    refunds = Refund.objects.for_organization(organization).filter(status__in=Refund.OPEN_STATUSES)
    return payments.count() + refunds.count()
