"""Doorbells of the catalog."""

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from catalog import rate_import, rate_watch
from catalog.feed import outcomes, running
from catalog.feed.fetching import Unreachable
from catalog.feed.snapshot import SnapshotRefused

logger = logging.getLogger(__name__)


@shared_task
def import_prices() -> None:
    """Import the price list when an hour has passed since it was tried last. What goes wrong is an alarm already."""
    if not settings.PRICE_FEED_URL or not outcomes.is_due(settings.PRICE_FEED_TABLE, now=timezone.now()):
        return
    try:
        imported = running.import_feed(clock=timezone.now)
    except (SnapshotRefused, Unreachable) as fault:
        logger.warning("price list not imported: %s", fault)
    except Exception as fault:
        running.note_unexpected(fault, now=timezone.now())
        raise
    else:
        logger.info("price list imported: %s", imported.counts if imported else "not modified")


@shared_task
def import_exchange_rates() -> None:
    """Ask the configured sources what they published."""
    rate_import.import_configured(clock=timezone.now)


@shared_task
def watch_exchange_rates() -> None:
    """Notice that exchange rates run out before they have."""
    rate_watch.watch_exchange_rates(now=timezone.now())
