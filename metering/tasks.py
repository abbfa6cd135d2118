"""Doorbells of metering."""

from celery import shared_task
from django.utils import timezone

from ledger.partitions import ensure_partitions, following_months
from metering import unrated

MONTHS_AHEAD = 3


@shared_task
def create_partitions() -> None:
    """Make the partitions of this month and the next ones ahead of need."""
    months = following_months(timezone.now().date(), MONTHS_AHEAD)
    for table in ("metering_usageevent", "ledger_hold"):
        ensure_partitions(table, months)


@shared_task
def rate_unrated_usage() -> None:
    """Charge waiting events whose price has arrived."""
    unrated.rate_waiting(now=timezone.now())
