"""Doorbells of metering."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from ledger.partitions import make_ahead
from metering import archiving, key_expiry, runaway_keys, unrated

HOURS = 3600


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


@shared_task(time_limit=12 * HOURS)
def archive_old_months() -> None:
    """Take months out of the database that are older than USAGE_ARCHIVE_MONTHS, if that is set."""
    if settings.USAGE_ARCHIVE_MONTHS:
        archiving.archive_regularly(older_than=settings.USAGE_ARCHIVE_MONTHS, now=timezone.now())
