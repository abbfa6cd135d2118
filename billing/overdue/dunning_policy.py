"""How an organization's invoices are dunned: its own dated policy, else everybody's, else what is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from billing.models.dunning import DunningPolicy

LATEST_DAY = 365


class InvalidPolicy(ValueError):
    """Days that are not rising, too many or too late; or a suspension before anybody was reminded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Days from the due date on, in the organization's zone. None: no reminder before it, no suspension."""

    days_before_due: int | None = 3
    overdue_days: tuple[int, ...] = (1, 7, 14)
    charge_days: tuple[int, ...] = (1, 3, 7)
    suspend_after: int | None = 30

    @property
    def is_exempt(self) -> bool:
        return self.suspend_after is None


DEFAULT = Policy()


class Policies:
    """The policies in force at a moment, looked up once for many organizations. Looks at all tenants."""

    def __init__(self, *, now: datetime) -> None:
        rows = DunningPolicy.objects.using("system").filter(since__lte=now).order_by("since", "pk")
        self._rows = {row.organization_id: row for row in rows}

    def of(self, organization_id: int | None) -> Policy:
        row = self._rows.get(organization_id)
        if row is None or row.follows_default:
            row = self._rows.get(None)
        return DEFAULT if row is None else policy_from(row)

    def has_own(self, organization_id: int) -> bool:
        row = self._rows.get(organization_id)
        return row is not None and not row.follows_default


def policy_from(row: DunningPolicy) -> Policy:
    return Policy(
        days_before_due=row.days_before_due,
        overdue_days=tuple(row.overdue_days),
        charge_days=tuple(row.charge_days),
        suspend_after=row.suspend_after,
    )


def set_policy(
    *, organization: Organization | None, policy: Policy | None, reason: str, now: datetime, actor: User | None
) -> DunningPolicy:
    """Put a policy in force from now on, everybody's without an organization; None lets one follow everybody's again.

    As the `system` role. Raises InvalidPolicy.
    """
    if policy is not None:
        check(policy)
    values = policy or DEFAULT
    with transaction.atomic(using="system"):
        row = DunningPolicy.objects.using("system").create(
            organization=organization,
            follows_default=policy is None,
            days_before_due=values.days_before_due,
            overdue_days=list(values.overdue_days),
            charge_days=list(values.charge_days),
            suspend_after=values.suspend_after,
            since=now,
            reason=reason,
            created_at=now,
            created_by=actor,
        )
        write_audit_entry(
            action="dunning_policy.set",
            target=organization.slug if organization else "",
            organization=organization,
            actor=actor,
            now=now,
            detail={"reason": reason, "follows_default": True}
            if policy is None
            else {
                "reason": reason,
                "days_before_due": values.days_before_due,
                "overdue_days": list(values.overdue_days),
                "charge_days": list(values.charge_days),
                "suspend_after": values.suspend_after,
            },
            using="system",
        )
    return row


def check(policy: Policy) -> None:
    """Raises InvalidPolicy."""
    for days in (policy.overdue_days, policy.charge_days):
        if not _rises(days) or len(days) > 10:
            raise InvalidPolicy(f"days must rise and be ten at most: {list(days)}")
    singles = [day for day in (policy.days_before_due, policy.suspend_after) if day is not None]
    if any(not 1 <= day <= LATEST_DAY for day in (*policy.overdue_days, *policy.charge_days, *singles)):
        raise InvalidPolicy(f"days are from 1 to {LATEST_DAY}")
    if policy.suspend_after is not None and policy.overdue_days and policy.suspend_after <= policy.overdue_days[0]:
        raise InvalidPolicy("nobody is suspended before a reminder")


def _rises(days: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(days))
