"""The velocity breaker's ledger: which keys are stopped, what a key may spend in a short time, stopping and lifting.

Whether a key runs away is judged from committed rows by `metering/runaway_keys.py`; here it is written down, and `holds.reserve`
reads it. An organization of which no key is stopped pays nothing for that: `Balance.stopped` stands on the row that is read anyway.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from accounts.audit_log import write_audit_entry
from accounts.models import ApiKey, Organization, User
from accounts.tenancy import tenant_scope
from ledger.models import Balance, KeyStop, VelocityCap
from ledger.settling import lock_balance


class KeyIsStopped(Exception):
    """The key spent so much in so short a time that its calls are refused until an owner or admin lifts that."""

    def __init__(self, stop: KeyStop) -> None:
        super().__init__(stop.pk)
        self.api_key_id = stop.api_key_id
        self.seconds = stop.seconds
        self.spent = stop.spent
        self.stopped_at = stop.stopped_at


def find_stops(organization_ids: Sequence[int]) -> dict[int | None, KeyIsStopped]:
    """The stopped keys of these organizations. Without organizations there is no query."""
    if not organization_ids:
        return {}
    stops = KeyStop.objects.filter(organization_id__in=organization_ids, lifted_at=None)
    return {stop.api_key_id: KeyIsStopped(stop) for stop in stops}


def stop_key(
    *,
    organization_id: int,
    api_key_id: int,
    cause: str,
    seconds: int,
    spent: Decimal,
    allowed: Decimal,
    now: datetime,
) -> KeyStop | None:
    """Refuse further calls of a key. None if it is stopped already.

    Holds that are committed go on; whoever reserves afterwards waits at the balance and finds it.
    """
    with tenant_scope([organization_id]):
        lock_balance(organization_id)
        stops = KeyStop.objects.for_organization(organization_id)
        if stops.filter(api_key_id=api_key_id, lifted_at=None).exists():
            return None
        stop = stops.create(
            organization_id=organization_id,
            api_key_id=api_key_id,
            cause=cause,
            seconds=seconds,
            spent=spent,
            allowed=allowed,
            stopped_at=now,
        )
        Balance.objects.for_organization(organization_id).update(stopped=True)
        write_audit_entry(
            action="api_key.stopped",
            target=stop.api_key.prefix,
            organization=stop.organization,
            now=now,
            detail={"cause": cause, "seconds": seconds, "spent": format(spent, "f"), "allowed": format(allowed, "f")},
        )
    return stop


def lift_stop(*, organization: Organization, api_key: ApiKey, actor: User | None, now: datetime) -> bool:
    """Let a stopped key call again; what it spent until now is not held against it. False if it was not stopped."""
    with tenant_scope([organization.pk]):
        lock_balance(organization.pk)
        stops = KeyStop.objects.for_organization(organization)
        if not stops.filter(api_key=api_key, lifted_at=None).update(lifted_at=now, lifted_by=actor):
            return False
        if not stops.filter(lifted_at=None).exists():
            Balance.objects.for_organization(organization).update(stopped=False)
        write_audit_entry(
            action="api_key.stop_lifted", target=api_key.prefix, organization=organization, actor=actor, now=now
        )
    return True


def open_stops(organization: Organization) -> list[KeyStop]:
    """What is stopped now, the latest first. Needs the tenant scope."""
    stops = KeyStop.objects.for_organization(organization).filter(lifted_at=None)
    return list(stops.select_related("api_key").order_by("-stopped_at"))


def set_velocity_cap(
    *, organization: Organization, api_key: ApiKey | None, amount: Decimal | None, actor: User | None, now: datetime
) -> VelocityCap:
    """Say what a key, or each key of the organization, may spend within VELOCITY_SECONDS, tax included; None: anything."""
    with tenant_scope([organization.pk]):
        cap, _made = VelocityCap.objects.update_or_create(
            organization=organization, api_key=api_key, defaults={"amount": amount}
        )
        _note(cap, "velocity_cap.set", actor, now=now, amount=None if amount is None else format(amount, "f"))
    return cap


def remove_velocity_cap(
    *, organization: Organization, api_key: ApiKey | None, actor: User | None, now: datetime
) -> bool:
    """Go back to what holds otherwise. False if nothing of its own was set."""
    with tenant_scope([organization.pk]):
        cap = VelocityCap.objects.for_organization(organization).filter(api_key=api_key).first()
        if cap is None:
            return False
        cap.delete()
        _note(cap, "velocity_cap.removed", actor, now=now)
    return True


def _note(cap: VelocityCap, action: str, actor: User | None, *, now: datetime, **detail: str | None) -> None:
    write_audit_entry(
        action=action,
        target=cap.api_key.prefix if cap.api_key else "organization",
        organization=cap.organization,
        actor=actor,
        now=now,
        detail=detail,
    )
