"""Every credit of an organization as it stands: what is left of it, and whether its time is over."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import Organization
from ledger.credit_expiry import is_due, lost
from ledger.credit_order import credits_left, is_expired
from ledger.models import Balance, CreditGrant
from pricing.exact import EXACT, ZERO

MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CreditStanding:
    """`left` counts tax in. Of an expired credit it is what usage made in time keeps until it is invoiced."""

    grant: CreditGrant
    left: Decimal
    is_expired: bool

    @property
    def last_moment(self) -> datetime | None:
        """The last one in which it admits calls: what expires at midnight ends with the day before."""
        return self.grant.expires_at - MOMENT if self.grant.expires_at else None


def credit_standings(organization: Organization | int, *, now: datetime) -> list[CreditStanding]:
    """All credits, the newest first; what expired up to `now` is gone, posted or not. Needs the tenant scope."""
    balance = Balance.objects.for_organization(organization).get()
    found = credits_left(balance.pk)
    left = {grant.pk: amount for grant, amount in found}
    if is_due(balance, now=now):
        for grant, amount in lost(found, balance=balance, now=now):
            left[grant.pk] = EXACT.subtract(left[grant.pk], amount)
    grants = CreditGrant.objects.for_organization(balance.pk).order_by("-granted_at", "-pk")
    return [CreditStanding(grant, left.get(grant.pk, ZERO), is_expired(grant, now=now)) for grant in grants]
