"""Commercial terms: a minimum monthly fee, a discount on usage, invoices of 0 or none, review before an invoice is issued.

A billing period is charged by the terms in force at its start, whatever is agreed later; so terms begin with a month that is not
closed. Without any the defaults hold, which are: prices, and nothing else. Decision 0023.
"""

from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.round_trips import Rows, Statement, run
from accounts.stored_rows import columns, instance
from billing.models import BillingTerms
from ledger.cutting import MOMENT, is_rest
from ledger.models import BillingPeriod
from ledger.periods import month_bounds
from pricing.conditions import Conditions, is_discount, minimum_of_days
from pricing.plain_text import plain
from pricing.totals import FractionOfMinorUnit, round_to_minor

TERMS_OF = Statement(
    f"SELECT {columns(BillingTerms, 'terms')} FROM billing_billingterms AS terms WHERE terms.organization_id = %s"
)


class InvalidTerms(ValueError):
    """The minimum is below 0 or no whole minor unit, or the discount is no fraction of at most 4 decimals."""


class MonthClosed(Exception):
    """The month, or one after it, is closed: it was charged by the terms that it began with."""


def set_terms(
    *,
    organization: Organization,
    month: date,
    minimum_fee: Decimal,
    discount: Decimal,
    zero_invoices: str,
    reviewed: bool,
    reason: str,
    actor: User | None,
    now: datetime,
) -> BillingTerms:
    """Let these terms hold from `month` (its first day) on, in the organization's zone, until others do.

    The very same terms as are in force then change nothing, and are returned. Raises InvalidTerms, MonthClosed.
    """
    _check(minimum_fee, discount, organization.billing_currency)
    since = datetime.combine(month.replace(day=1), time(), ZoneInfo(organization.zone))
    wanted = BillingTerms(minimum_fee=minimum_fee, discount=discount, zero_invoices=zero_invoices, reviewed=reviewed)
    with transaction.atomic(using="system"):
        _keep_open(organization, since)
        rows = list(BillingTerms.objects.using("system").for_organization(organization))
        before = in_force(rows, since)
        if _agreed(before) == _agreed(wanted):
            return before
        wanted.organization, wanted.effective_from, wanted.reason = organization, since, reason
        wanted.revision = 1 + max((row.revision for row in rows if row.effective_from == since), default=0)
        wanted.created_by, wanted.created_at = actor, now
        wanted.save(using="system")
        write_audit_entry(
            action="terms.set",
            target=organization.slug,
            organization=organization,
            actor=actor,
            now=now,
            detail={
                "from": since.isoformat(),
                "minimum_fee": plain(minimum_fee),
                "discount": plain(discount),
                "zero_invoices": zero_invoices,
                "reviewed": reviewed,
                "reason": reason,
            },
            using="system",
        )
    return wanted


def terms_of(organization: Organization) -> list[BillingTerms]:
    """All that was ever agreed with the organization. Needs its tenant scope."""
    return terms_in(run([(TERMS_OF, [organization.pk])])[0])


def terms_in(rows: Rows) -> list[BillingTerms]:
    """What TERMS_OF returned."""
    return [instance(BillingTerms, row) for row in rows]


def in_force(rows: Iterable[BillingTerms], at: datetime) -> BillingTerms:
    """Which of an organization's terms hold for a period that starts at `at`; the defaults, unsaved, where there are none."""
    begun = [row for row in rows if row.effective_from <= at]
    return max(begun, key=lambda row: (row.effective_from, row.revision), default=BillingTerms())


def conditions_of(terms: BillingTerms, *, organization: Organization, period: BillingPeriod) -> Conditions:
    """What `terms` mean for a period: the minimum of an organization's first month is for the days from its opening on, that of its
    last one for those until it closed, that day included; what is charged to the rest of that month owes no other.
    """
    zone, whole = ZoneInfo(period.zone), month_bounds(period.starts_at, zone=period.zone)
    first, end = (moment.astimezone(zone).date() for moment in whole)
    last = (period.ends_at - MOMENT).astimezone(zone).date()
    opened = organization.created_at.astimezone(zone).date()
    minimum = minimum_of_days(
        Decimal(terms.minimum_fee),
        days=0 if is_rest(period) else (last - (max(first, opened) if opened < end else first)).days + 1,
        of=(end - first).days,
        currency=organization.billing_currency,
    )
    return Conditions(discount=Decimal(terms.discount), minimum=minimum)


def _check(minimum_fee: Decimal, discount: Decimal, currency: str) -> None:
    try:
        is_whole = round_to_minor(minimum_fee, currency) == minimum_fee
    except FractionOfMinorUnit:
        is_whole = False
    if minimum_fee < 0 or not is_whole:
        raise InvalidTerms(f"a minimum of {minimum_fee} {currency} is no whole amount of money")
    if not is_discount(discount):
        raise InvalidTerms(f"a discount of {discount} is no fraction from 0 to 1 of at most 4 decimals")


def _keep_open(organization: Organization, since: datetime) -> None:
    """Nobody closes a month that the terms are for, until they are committed. Raises MonthClosed."""
    periods = BillingPeriod.objects.using("system").select_for_update().for_organization(organization)
    for period in periods.filter(starts_at__gte=since).order_by("starts_at"):
        if period.status == BillingPeriod.Status.CLOSED:
            raise MonthClosed(f"the month of {period.starts_at.isoformat()} is closed")


def _agreed(terms: BillingTerms) -> tuple[object, ...]:
    return terms.minimum_fee, terms.discount, terms.zero_invoices, terms.reviewed
