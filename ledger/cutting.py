"""A month that ends before its time, because its organization closes. What is charged to it afterwards goes to the rest of it."""

from datetime import datetime, timedelta

from ledger.models import BillingPeriod
from ledger.periods import add_month, month_bounds

MOMENT = timedelta(microseconds=1)


def lock_month(*, organization_id: int, zone: str, at: datetime) -> BillingPeriod | None:
    """The open period that `at` lies within, locked; None where one ends there by itself, or is closed. Needs the tenant scope.

    The period up to `at` is made if there is none.
    """
    add_month(organization_id=organization_id, at=at - MOMENT, zone=zone)
    periods = BillingPeriod.objects.select_for_update().for_organization(organization_id)
    return periods.filter(starts_at__lt=at, ends_at__gt=at, status=BillingPeriod.Status.OPEN).first()


def cut(period: BillingPeriod, *, at: datetime) -> None:
    """Let a locked open period end at `at`, which lies within it."""
    period.ends_at = at
    period.save(update_fields=["ends_at"])


def is_rest(period: BillingPeriod) -> bool:
    """Whether it is what was left of a month that had been cut."""
    return period.starts_at != month_bounds(period.starts_at, zone=period.zone)[0]
