"""Set, change and remove spend limits. A new one counts from the start of the running window, as if it had always been there."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from accounts.audit_log import write_audit_entry
from accounts.models import ApiKey, Organization, User
from accounts.tenancy import tenant_scope
from ledger.limits import move_on
from ledger.models import Balance, Hold, HoldStatus, LimitWindow, SpendLimit
from ledger.periods import month_bounds
from ledger.settling import lock_balance
from pricing.exact import exact_sum

SpentBetween = Callable[[datetime, datetime | None], Decimal]
"""What was charged, before tax, for usage in [start, end); no end is all after. Metering answers, under the balance's lock."""


def put_limit(
    *,
    organization: Organization,
    api_key: ApiKey | None,
    amount: Decimal,
    hard: bool,
    spent_between: SpentBetween,
    actor: User | None,
    now: datetime,
) -> SpendLimit:
    """Cap a month of `organization`, or of one of its keys, at `amount` (tax included, in the billing currency).

    Whoever charges or holds meanwhile waits at the balance, so that nothing is counted twice or missed.
    """
    with tenant_scope([organization.pk]):
        lock_balance(organization.pk)
        limits = SpendLimit.objects.for_organization(organization)
        limit = limits.filter(api_key=api_key, window=LimitWindow.MONTH).first()
        if limit is None:
            limit = _begin(organization, api_key, spent_between, now=now)
        limit.amount, limit.hard = amount, hard
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


def _begin(
    organization: Organization, api_key: ApiKey | None, spent_between: SpentBetween, *, now: datetime
) -> SpendLimit:
    start, end = month_bounds(now, zone=organization.zone)
    holds = Hold.objects.for_organization(organization).filter(
        status__in=(HoldStatus.OPEN, HoldStatus.QUESTIONED), created_at__gte=start
    )
    if api_key is not None:
        holds = holds.filter(api_key_id=api_key.pk)
    return SpendLimit(
        organization=organization,
        api_key=api_key,
        window_start=start,
        window_end=end,
        spent=spent_between(start, end),
        spent_ahead=spent_between(end, None),
        held=exact_sum(holds.values_list("amount", flat=True)),
        created_at=now,
    )


def remove_limit(*, organization: Organization, api_key: ApiKey | None, actor: User | None, now: datetime) -> bool:
    """Lift the limit of a month. False if there was none."""
    with tenant_scope([organization.pk]):
        lock_balance(organization.pk)
        limits = SpendLimit.objects.for_organization(organization)
        limit = limits.filter(api_key=api_key, window=LimitWindow.MONTH).select_related("api_key").first()
        if limit is None:
            return False
        limit.delete()
        if not limits.exists():
            Balance.objects.for_organization(organization).update(limited=False)
        write_audit_entry(
            action="spend_limit.removed", target=target_of(limit), organization=organization, actor=actor, now=now
        )
    return True


def limit_of(organization: Organization, *, api_key_id: int | None, now: datetime) -> SpendLimit | None:
    """The limit of a month as it stands at `now`, to be looked at, not stored."""
    limits = SpendLimit.objects.for_organization(organization).select_related("organization__balance")
    limit = limits.filter(api_key_id=api_key_id, window=LimitWindow.MONTH).first()
    if limit is not None:
        move_on(limit, now=now)
    return limit


def target_of(limit: SpendLimit) -> str:
    """What the audit log calls it."""
    return limit.api_key.prefix if limit.api_key else "organization"
