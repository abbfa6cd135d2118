"""What will it cost? The open period so far with a forecast. The same pipeline as the invoice's; volumes are `what_if`'s.

Lines, terms and totals come from `period_charges`; so on the same usage an estimate equals the invoice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from django.conf import settings

from accounts.models import Organization
from billing.models import BillingTerms
from billing.period_charges import PeriodCharges, charges_of
from billing.terms import conditions_of, in_force, terms_of
from billing.usage_lines import UsageLine
from catalog import price_book
from ledger.models import Balance, BillingPeriod
from ledger.periods import month_bounds
from pricing.conditions import AgreedLine, charged
from pricing.exact import ZERO, exact_sum
from pricing.totals import Totals

LEAST_ELAPSED = timedelta(days=1)
"""A forecast from less than a day would be a guess."""
_GUESS = Context(prec=38, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """Who asks what it costs: the terms that choose the rate, the tax on it, and what was agreed for the month.

    A volume alone is discounted as it would be on an invoice. `minimum_fee` is of a whole month's usage, so it is told beside it.
    """

    terms: price_book.Terms
    tax_rate: Decimal
    discount: Decimal = ZERO
    minimum_fee: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodEstimate:
    """A period as its invoice would look if it ended now. `forecast` goes on at the average pace until the period's end."""

    starts_at: datetime
    ends_at: datetime
    status: str
    charges: PeriodCharges
    forecast: Totals | None

    @property
    def lines(self) -> Sequence[UsageLine]:
        """What was used; `rounded_lines` are their shares of the supply value."""
        return self.charges.lines

    @property
    def rounded_lines(self) -> Sequence[Decimal]:
        return self.charges.charged.usage_lines

    @property
    def agreed(self) -> Sequence[AgreedLine]:
        """What the terms make of it: a discount, a minimum fee."""
        return self.charges.charged.agreed

    @property
    def totals(self) -> Totals:
        return self.charges.charged.totals


def public_buyer() -> Buyer:
    """A visitor: list prices in won, 10 % VAT."""
    return Buyer(terms=price_book.PUBLIC_TERMS, tax_rate=settings.VAT_RATE)


def buyer_of(organization: Organization, *, at: datetime) -> Buyer:
    """The organization's own terms in the month of `at`. Needs its tenant scope."""
    agreed = in_force(terms_of(organization), month_bounds(at, zone=organization.zone)[0])
    return Buyer(
        terms=price_book.terms_of(organization),
        tax_rate=tax_rate_of(organization),
        discount=agreed.discount,
        minimum_fee=agreed.minimum_fee,
    )


def tax_rate_of(organization: Organization) -> Decimal:
    """A fraction. Needs the tenant scope."""
    return Balance.objects.for_organization(organization).get().tax_rate


def open_periods(*, organization: Organization, now: datetime) -> list[PeriodEstimate]:
    """The periods not invoiced yet, the oldest first; the last is that of `now`, even if nothing was used in it.

    Needs the organization's tenant scope.
    """
    tax_rate = tax_rate_of(organization)
    start, end = month_bounds(now, zone=organization.zone)
    periods = list(
        BillingPeriod.objects.for_organization(organization)
        .exclude(status=BillingPeriod.Status.CLOSED)
        .filter(starts_at__lte=now)
        .order_by("starts_at")
    )
    if not periods or periods[-1].ends_at <= now:
        periods.append(BillingPeriod(organization=organization, starts_at=start, ends_at=end, zone=organization.zone))
    agreed = terms_of(organization)
    return [
        _estimate(organization, period, in_force(agreed, period.starts_at), tax_rate, now=now) for period in periods
    ]


def _estimate(
    organization: Organization, period: BillingPeriod, terms: BillingTerms, tax_rate: Decimal, *, now: datetime
) -> PeriodEstimate:
    charges = charges_of(organization=organization, period=period, terms=terms, tax_rate=tax_rate)
    return PeriodEstimate(
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        status=period.status,
        charges=charges,
        forecast=_forecast(charges, period, organization, tax_rate, now=now),
    )


def _forecast(
    charges: PeriodCharges, period: BillingPeriod, organization: Organization, tax_rate: Decimal, *, now: datetime
) -> Totals | None:
    """Usage so far × whole period / elapsed part; what is left over from earlier months does not grow."""
    elapsed = now - period.starts_at
    if now >= period.ends_at or elapsed < LEAST_ELAPSED:
        return None
    own = exact_sum(line.amount for line in charges.lines if line.service_month is None)
    late = exact_sum(line.amount for line in charges.lines if line.service_month is not None)
    microsecond = timedelta(microseconds=1)
    whole = _GUESS.multiply(own, (period.ends_at - period.starts_at) // microsecond)
    return charged(
        [_GUESS.divide(whole, elapsed // microsecond), late],
        conditions=conditions_of(charges.terms, organization=organization, period=period),
        currency=organization.billing_currency,
        tax_rate=tax_rate,
    ).totals
