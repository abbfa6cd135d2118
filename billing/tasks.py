"""Doorbells of billing: ids in, one call, ring the next step. Work that a lost message leaves undone is swept up by beat."""

from celery import shared_task
from django.utils import timezone

from billing import cycle, invoicing


@shared_task
def close_due_periods() -> None:
    """Ring for every period whose grace time is over."""
    for period in cycle.due_periods(now=timezone.now()):
        close_period.delay(organization_id=period.organization_id, period_id=period.period_id)


@shared_task
def close_period(*, organization_id: int, period_id: int) -> None:
    """Close one period and finalize its invoice."""
    invoicing.close_period(organization_id=organization_id, period_id=period_id, now=timezone.now())
