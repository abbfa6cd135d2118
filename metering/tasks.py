"""Doorbells of metering."""

from celery import shared_task
from django.utils import timezone

from ledger.partitions import make_ahead
from metering import key_expiry, runaway_keys, unrated


@shared_task
def create_partitions() -> None:
    """Make the partitions of this month and the next ones ahead of need, of all tables."""
    make_ahead(now=timezone.now())


@shared_task
def rate_unrated_usage() -> None:
    """Charge waiting events whose price has arrived."""
    unrated.rate_waiting(now=timezone.now())


@shared_task
def stop_runaway_keys() -> None:
    """Stop keys that spend far too fast."""
    runaway_keys.stop_runaway_keys(now=timezone.now())


@shared_task
def remove_old_keys() -> None:
    """Let go of keys that nobody can repeat any more."""
    key_expiry.remove_old_keys(now=timezone.now())
