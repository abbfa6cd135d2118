"""Doorbells of metering."""

from celery import shared_task
from django.utils import timezone

from ledger.partitions import make_ahead
from metering import unrated


@shared_task
def create_partitions() -> None:
    """Make the partitions of this month and the next ones ahead of need, of all tables."""
    make_ahead(now=timezone.now())


@shared_task
def rate_unrated_usage() -> None:
    """Charge waiting events whose price has arrived."""
    unrated.rate_waiting(now=timezone.now())
