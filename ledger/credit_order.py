"""Which credit pays first, and what is left of each: by priority, then promotional before paid, soonest expiry, oldest."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from accounts.round_trips import Rows, Statement, run
from accounts.stored_rows import columns, instance
from ledger.models import CreditGrant
from pricing.exact import EXACT, ZERO

CreditLeft = tuple[CreditGrant, Decimal]
"""A credit and what is left of it, tax included."""
CREDITS_LEFT = Statement(f"""
SELECT {columns(CreditGrant, "credit")}, credit.amount - used.amount
FROM ledger_creditgrant AS credit CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount), 0) AS amount FROM ledger_credituse
    WHERE grant_id = credit.id AND organization_id = credit.organization_id
) AS used
WHERE credit.organization_id = %s AND credit.amount > used.amount
ORDER BY credit.priority, credit.kind <> 'promotional', credit.expires_at NULLS LAST, credit.granted_at, credit.id
""")
"""All credits with something left, in the order in which they are used; expired ones among them."""


def credits_left(organization_id: int, *, using: str = "default") -> list[CreditLeft]:
    """CREDITS_LEFT. Needs the tenant scope. Exact while the balance is locked."""
    return credits_in(run([(CREDITS_LEFT, [organization_id])], using=using)[0])


def credits_in(rows: Rows) -> list[CreditLeft]:
    """What CREDITS_LEFT returned."""
    return [(instance(CreditGrant, row[:-1]), row[-1]) for row in rows]


def less(grants: Iterable[CreditLeft], parts: Iterable[CreditLeft]) -> list[CreditLeft]:
    """The credits that have something left after `parts` went out of them."""
    gone = {grant.pk: part for grant, part in parts}
    rest = [(grant, EXACT.subtract(left, gone.get(grant.pk, ZERO))) for grant, left in grants]
    return [(grant, left) for grant, left in rest if left > ZERO]


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
