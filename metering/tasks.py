"""Doorbells of metering."""

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from ledger.partitions import make_ahead
from metering import archiving, key_expiry, proven_days, runaway_keys, unrated

logger = logging.getLogger(__name__)
HOURS = 3600


@shared_task
def create_partitions() -> None:
    """Make the partitions of this month and the next ones ahead of need, of all tables."""
    make_ahead(now=timezone.now())


@shared_task
def rate_unrated_usage() -> None:
    """Charge waiting events whose price has arrived."""
    unrated.rate_waiting(now=timezone.now())


@shared_task(time_limit=HOURS)
def prove_days() -> None:
    """Prove the sums of the days that are over, so that closing their periods reads no event again."""
    found = proven_days.prove_days(now=timezone.now())
    if found.different:
        logger.error("rollups are not the sums of their events", extra={"days": found.different})


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
