"""What every page says first to somebody who owes: that an invoice is overdue, from when on calls are refused, or that they are."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from accounts.models import Organization
from billing.models import Invoice, Suspension
from billing.overdue.dunning_policy import Policies
from billing.overdue.standings import refused_from, standings
from billing.overdue.suspension import overdue_invoices, running_suspension
from pricing.exact import ZERO, exact_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Dues:
    """`oldest` is the overdue invoice to pay first, `refused_from` the day on which calls will be refused, if one is set."""

    suspension: Suspension | None = None
    oldest: Invoice | None = None
    count: int = 0
    left: Decimal = ZERO
    refused_from: date | None = None


def dues_of(organization: Organization | None, *, now: datetime) -> Dues:
    """Needs the organization's tenant scope; outside it nothing is said."""
    if organization is None:
        return Dues()
    suspension = running_suspension(organization) if organization.status == Organization.Status.SUSPENDED else None
    late = overdue_invoices(organization, now=now)
    if not late:
        return Dues(suspension=suspension)
    oldest = late[0][0]
    return Dues(
        suspension=suspension,
        oldest=oldest,
        count=len(late),
        left=exact_sum(owed for _invoice, owed in late),
        refused_from=None if suspension or organization.has_ended else _refused_from(organization, oldest, now=now),
    )


def _refused_from(organization: Organization, invoice: Invoice, *, now: datetime) -> date | None:
    policy = Policies(now=now).of(organization.pk)
    found = standings(organization, policy, now=now)
    standing = next((one for one in found if one.invoice == invoice), None)
    if standing is None:
        return None
    return refused_from(standing, organization, reminded_at=standing.last_reminder, now=now)
