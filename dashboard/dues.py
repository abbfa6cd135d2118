"""What every page says first to somebody who owes: that an invoice is overdue, from when on calls are refused, or that they are."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Organization
from billing.dunning_plan import Kind, schedule
from billing.dunning_policy import Policies
from billing.models import Invoice, Suspension
from billing.suspension import overdue_invoices, running_suspension
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
    late = overdue_invoices(organization, now=now)
    suspension = running_suspension(organization) if organization.status == Organization.Status.SUSPENDED else None
    if not late:
        return Dues(suspension=suspension)
    oldest = late[0][0]
    today = now.astimezone(ZoneInfo(organization.zone)).date()
    policy = Policies(now=now).of(organization.pk)
    planned = schedule(issued_on=oldest.issued_on, due_on=oldest.due_on, policy=policy, has_card=False)
    refused_from = next((step.on for step in planned if step.kind == Kind.SUSPENSION and step.on > today), None)
    return Dues(
        suspension=suspension,
        oldest=oldest,
        count=len(late),
        left=exact_sum(owed for _invoice, owed in late),
        refused_from=None if suspension else refused_from,
    )
