"""Months in which nothing was used, of those who are invoiced all the same: their periods. Others' are made by the first charge."""

from collections.abc import Iterator
from datetime import datetime

from accounts.models import Organization
from billing.models import BillingTerms
from billing.terms import in_force
from ledger.models import BillingPeriod
from ledger.periods import month_bounds


def make_quiet_months(*, now: datetime) -> int:
    """Make the periods that have ended and are owed a minimum fee or an invoice of 0; missed months, too. Again it makes none."""
    missing = missing_quiet_months(now=now)
    if missing:
        BillingPeriod.objects.using("system").bulk_create(missing, ignore_conflicts=True)
    return len(missing)


def missing_quiet_months(*, now: datetime) -> list[BillingPeriod]:
    """Those periods, not stored, as far as there are none yet.

    Looks at all tenants, in two queries. A closed month is followed by the next one only, so nothing before it is looked at.
    """
    agreed: dict[int, list[BillingTerms]] = {}
    rows = BillingTerms.objects.using("system").select_related("organization")
    ended = (Organization.Status.CLOSING, Organization.Status.CLOSED)
    for terms in rows.exclude(organization__status__in=ended):
        agreed.setdefault(terms.organization_id, []).append(terms)
    agreed = {owner: rows for owner, rows in agreed.items() if any(row.invoices_quiet_months for row in rows)}
    if not agreed:
        return []
    known, closed_until = _known(agreed)
    return [
        BillingPeriod(organization=rows[0].organization, starts_at=start, ends_at=end, zone=rows[0].organization.zone)
        for owner, rows in agreed.items()
        for start, end in _quiet_months(rows, after=closed_until.get(owner), now=now)
        if (owner, start) not in known
    ]


def _quiet_months(
    rows: list[BillingTerms], *, after: datetime | None, now: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The months that have ended, and are invoiced without usage, by terms that hold for them."""
    organization = rows[0].organization
    begun = max(min(row.effective_from for row in rows), organization.created_at, after or organization.created_at)
    start, end = month_bounds(begun, zone=organization.zone)
    while end <= now:
        if in_force(rows, start).invoices_quiet_months:
            yield start, end
        start, end = month_bounds(end, zone=organization.zone)


def _known(agreed: dict[int, list[BillingTerms]]) -> tuple[set[tuple[int, datetime]], dict[int, datetime]]:
    """Which periods there are, and until when each organization's are closed."""
    periods = BillingPeriod.objects.using("system").filter(organization_id__in=agreed)
    known: set[tuple[int, datetime]] = set()
    closed_until: dict[int, datetime] = {}
    for owner, start, end, status in periods.values_list("organization_id", "starts_at", "ends_at", "status"):
        known.add((owner, start))
        if status == BillingPeriod.Status.CLOSED:
            closed_until[owner] = max(end, closed_until.get(owner, end))
    return known, closed_until
