"""Set, change and remove spend limits. A new one counts from the start of the running window, as if it had always been there."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from accounts.audit_log import write_audit_entry
from accounts.models import ApiKey, Membership, Organization, User
from accounts.tenancy import TenantQuerySet, tenant_scope
from ledger.limits import move_on, window_bounds
from ledger.models import Balance, Hold, HoldStatus, LimitWindow, SpendLimit
from ledger.settling import lock_balance
from pricing.exact import exact_sum

HIGHEST_LIMIT = Decimal(10) ** 12
"""In the billing currency."""
SpentBetween = Callable[[datetime, datetime | None], Decimal]
"""What was charged, before tax, for usage in [start, end); no end is all after. Metering answers, under the balance's lock."""


class NotAMember(ValueError):
    """A member's limit is for somebody who belongs to the organization."""


def put_limit(
    *,
    organization: Organization,
    api_key: ApiKey | None,
    member: User | None,
    window: str,
    amount: Decimal,
    hard: bool,
    spent_between: SpentBetween,
    actor: User | None,
    now: datetime,
) -> SpendLimit:
    """Cap a day or month of `organization`, of a member or of a key at `amount` (tax included, in the billing currency).

    There may be a hard one and a soft one of each; the same one again changes its amount. Whoever charges or holds meanwhile
    waits at the balance, so that nothing is counted twice or missed. Raises NotAMember.
    """
    with tenant_scope([organization.pk]):
        lock_balance(organization.pk)
        if member is not None and not Membership.objects.for_organization(organization).filter(user=member).exists():
            raise NotAMember(member.pk)
        limits = SpendLimit.objects.for_organization(organization)
        limit = limits.filter(api_key=api_key, member=member, window=window, hard=hard).first()
        if limit is None:
            limit = SpendLimit(
                organization=organization, api_key=api_key, member=member, window=window, hard=hard, created_at=now
            )
            _begin(limit, spent_between, now=now)
        limit.amount = amount
        limit.save(
            using="default"
        )  # a new row would follow its organization to the connection that this was looked up by
        Balance.objects.for_organization(organization).update(limited=True)
        write_audit_entry(
            action="spend_limit.set",
            target=target_of(limit),
            organization=organization,
            actor=actor,
            now=now,
            detail={"amount": format(amount, "f"), "hard": hard, "window": limit.window},
        )
    return limit


def _begin(limit: SpendLimit, spent_between: SpentBetween, *, now: datetime) -> None:
    """Let it count from the start of the running window."""
    start, end = window_bounds(limit.window, now, zone=limit.organization.zone)
    holds = Hold.objects.for_organization(limit.organization).filter(
        status__in=(HoldStatus.OPEN, HoldStatus.QUESTIONED), created_at__gte=start, created_at__lt=end
    )
    if limit.api_key is not None:
        holds = holds.filter(api_key_id=limit.api_key.pk)
    if limit.member is not None:
        holds = holds.filter(api_key_id__in=keys_of(limit.organization, limit.member).values("pk"))
    limit.window_start, limit.window_end = start, end
    limit.spent, limit.spent_ahead = spent_between(start, end), spent_between(end, None)
    limit.held = exact_sum(holds.values_list("amount", flat=True))


def keys_of(organization: Organization, member: User) -> TenantQuerySet[ApiKey]:
    """The keys that count for a member: those that the member made."""
    return ApiKey.objects.for_organization(organization).filter(created_by=member)


def remove_limit(
    *,
    organization: Organization,
    actor: User | None,
    now: datetime,
    api_key: ApiKey | None = None,
    member: User | None = None,
    window: str = LimitWindow.MONTH,
    hard: bool = True,
) -> bool:
    """Lift a limit. False if there was none."""
    with tenant_scope([organization.pk]):
        lock_balance(organization.pk)
        limits = SpendLimit.objects.for_organization(organization)
        found = limits.filter(api_key=api_key, member=member, window=window, hard=hard)
        limit = found.select_related("api_key").first()
        if limit is None:
            return False
        detail = {"amount": format(limit.amount, "f"), "hard": hard, "window": window}
        limit.delete()
        if not limits.exists():
            Balance.objects.for_organization(organization).update(limited=False)
        write_audit_entry(
            action="spend_limit.removed",
            target=target_of(limit),
            organization=organization,
            actor=actor,
            now=now,
            detail=detail,
        )
    return True


def limits_at(organization: Organization, *, now: datetime) -> list[SpendLimit]:
    """All limits as they stand at `now`, to be looked at, not stored: the organization's, members', keys'; days before months."""
    rows = SpendLimit.objects.for_organization(organization).select_related(
        "organization__balance", "api_key", "member"
    )
    limits = list(rows)
    for limit in limits:
        move_on(limit, now=now)
    return sorted(limits, key=lambda one: (one.api_key_id or 0, one.member_id or 0, one.window, not one.hard))


def target_of(limit: SpendLimit) -> str:
    """What the audit log calls it."""
    if limit.member_id is not None:
        return f"user {limit.member_id}"
    return limit.api_key.prefix if limit.api_key else "organization"
