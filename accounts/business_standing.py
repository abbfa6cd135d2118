"""Is the business behind a registration number still one? Asked after a number was saved, again monthly, and before a tax invoice.

Saving a number never waits: it leaves a row, and the sweep asks about it. Without a register, or while it does not answer, numbers
are unchecked, which hinders nothing: the tax office itself refuses what it must.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q

from accounts.models import BillingProfile, BusinessStanding
from accounts.registry.interface import BusinessRegistry, RegistryFailed
from accounts.registry.selection import business_registry
from accounts.tenancy import tenant_scope

logger = logging.getLogger(__name__)
PAUSE: timedelta = timedelta(minutes=5) * settings.SWEEP_PACE
"""After a question in vain."""
MOST = 1000
AWAY: timedelta = timedelta(minutes=1) * settings.SWEEP_PACE
"""So long after a question in vain nobody waits for the register before a tax invoice: thousands have one deadline."""
_in_vain_at: list[datetime] = []
"""When this process asked in vain last; empty while the register answers."""


def note_number(*, organization_id: int, number: str) -> BusinessStanding:
    """Leave a row for the sweep, in the transaction that saves the number."""
    row, _made = BusinessStanding.objects.get_or_create(organization_id=organization_id, number=number)
    return row


def standing_of(*, organization_id: int, number: str) -> BusinessStanding | None:
    """What is known of a number. Needs the tenant scope."""
    return BusinessStanding.objects.for_organization(organization_id).filter(number=number).first()


def fresh_standing(*, organization_id: int, number: str, now: datetime) -> BusinessStanding:
    """What the register says now, if the last answer is older than REGISTRATION_HOURS; the old one if it does not answer."""
    with tenant_scope([organization_id]):
        row = note_number(organization_id=organization_id, number=number)
    registry = business_registry()
    is_fresh = row.checked_at and now - row.checked_at < timedelta(hours=settings.REGISTRATION_HOURS)
    if registry is None or is_fresh or any(now - at < AWAY for at in _in_vain_at):
        return row
    _ask(registry, [row], now=now)
    with tenant_scope([organization_id]):
        return BusinessStanding.objects.for_organization(organization_id).get(pk=row.pk)


def check_waiting(*, now: datetime) -> int:
    """Ask about numbers in use that were never answered about, or not for REGISTRATION_DAYS. Returns how many were answered."""
    registry = business_registry()
    if registry is None:
        return 0
    old = now - timedelta(days=settings.REGISTRATION_DAYS)
    rows = BusinessStanding.objects.using("system").filter(
        Q(checked_at=None) | Q(checked_at__lte=old), organization__billing_profile__registration_number=F("number")
    )
    due = list(rows.filter(Q(asked_at=None) | Q(asked_at__lte=now - PAUSE)).order_by("asked_at", "pk")[:MOST])
    answered = 0
    for first in range(0, len(due), registry.most):
        answered += _ask(registry, due[first : first + registry.most], now=now)
    return answered


def note_numbers_in_use() -> int:
    """Rows for numbers that were entered before there were any. Returns how many were made."""
    known = BusinessStanding.objects.filter(
        organization_id=OuterRef("organization_id"), number=OuterRef("registration_number")
    )
    profiles = BillingProfile.objects.using("system").exclude(registration_number="").exclude(Exists(known))
    missing = [
        BusinessStanding(organization_id=organization_id, number=number)
        for organization_id, number in profiles.values_list("organization_id", "registration_number")
    ]
    BusinessStanding.objects.using("system").bulk_create(missing, ignore_conflicts=True)
    return len(missing)


def forget() -> None:
    """Ask again, whatever became of the last question."""
    _in_vain_at.clear()


def _ask(registry: BusinessRegistry, rows: Sequence[BusinessStanding], *, now: datetime) -> int:
    """One call, outside of any transaction, then what it answered."""
    system = BusinessStanding.objects.using("system")
    system.filter(pk__in=[row.pk for row in rows]).update(asked_at=now)
    try:
        facts = registry.look_up(sorted({row.number for row in rows}))
    except RegistryFailed as error:
        logger.warning("the register of businesses does not answer", extra={"reason": str(error)})
        _in_vain_at[:] = [now]
        return 0
    _in_vain_at.clear()
    answered = 0
    for row in rows:
        if (told := facts.get(row.number)) is not None:
            answered += system.filter(pk=row.pk).update(state=told.state, tax_type=told.tax_type, checked_at=now)
    return answered
