"""Which credit pays first, and what is left of each: by priority, then promotional before paid, soonest expiry, oldest."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Case, F, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce

from ledger.models import CreditGrant
from pricing.exact import EXACT, ZERO

CreditLeft = tuple[CreditGrant, Decimal]
"""A credit and what is left of it, tax included."""
ORDER = (
    "priority",
    Case(When(kind=CreditGrant.Kind.PROMOTIONAL, then=Value(0)), default=Value(1)),
    F("expires_at").asc(nulls_last=True),
    "granted_at",
    "pk",
)


def credits_left(organization_id: int, *, using: str = "default") -> list[CreditLeft]:
    """All credits with something left, in the order in which they are used; expired ones among them. Needs the tenant scope.

    Exact while the balance is locked.
    """
    grants = with_left(CreditGrant.objects.using(using).for_organization(organization_id))
    return [(grant, grant.left) for grant in grants.filter(left__gt=ZERO).order_by(*ORDER)]


def with_left(grants: QuerySet[CreditGrant]) -> QuerySet[Any]:
    """The credits with what is left of each, by what was posted, as `left`."""
    used = Coalesce(Sum("uses__amount"), Value(ZERO, output_field=CreditGrant._meta.get_field("amount")))
    return grants.annotate(left=F("amount") - used)


def share_out(grants: Sequence[CreditLeft], amount: Decimal) -> list[CreditLeft]:
    """The part of `amount` that each credit pays, in their order; those that pay nothing are left out."""
    parts = []
    for grant, left in grants:
        part = min(left, amount)
        if part > ZERO:
            parts.append((grant, part))
            amount = EXACT.subtract(amount, part)
    return parts


def is_expired(grant: CreditGrant, *, now: datetime) -> bool:
    """Whether its time is over; it may still cover usage of before."""
    return grant.expires_at is not None and grant.expires_at <= now


def next_expiry(grants: Iterable[CreditLeft]) -> datetime | None:
    """When the first of them expires, or did."""
    return min((grant.expires_at for grant, _left in grants if grant.expires_at is not None), default=None)
