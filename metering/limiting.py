"""Set a spend limit with what was used of it so far: the one thing that the ledger, which owns limits, cannot know."""

from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from accounts.models import ApiKey, Organization, User
from ledger.limit_setting import keys_of, put_limit
from ledger.models import LimitWindow, SpendLimit
from metering.models import UsageRollup
from pricing.exact import ZERO


def set_limit(
    *,
    organization: Organization,
    amount: Decimal,
    actor: User | None,
    now: datetime,
    api_key: ApiKey | None = None,
    member: User | None = None,
    window: str = LimitWindow.MONTH,
    hard: bool = True,
) -> SpendLimit:
    """Cap a day or month of `organization`, of a member or of a key at `amount` (tax included); changes the limit there is.

    Raises NotAMember.
    """
    rollups = UsageRollup.objects.for_organization(organization)
    if api_key is not None:
        rollups = rollups.filter(api_key_id=api_key.pk)
    if member is not None:
        rollups = rollups.filter(api_key_id__in=keys_of(organization, member).values("pk"))

    def spent_between(start: datetime, end: datetime | None) -> Decimal:
        window = rollups.filter(hour__gte=start)
        if end is not None:
            window = window.filter(hour__lt=end)
        return window.aggregate(spent=Sum("amount"))["spent"] or ZERO

    return put_limit(
        organization=organization,
        api_key=api_key,
        member=member,
        window=window,
        amount=amount,
        hard=hard,
        spent_between=spent_between,
        actor=actor,
        now=now,
    )
