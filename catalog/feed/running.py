"""The hourly import: fetch the list that the settings name, and put it in force. What beat, the command and the console call."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings

from accounts.models import User
from catalog.feed import outcomes
from catalog.feed.fetching import Source, Unreachable, fetch
from catalog.feed.importing import Imported, import_snapshot, preview_snapshot
from catalog.feed.outcomes import Outcome
from catalog.feed.reading import read_models
from catalog.feed.snapshot import SnapshotRefused
from catalog.models import CostTable
from catalog.publishing import LEAD
from catalog.seed import our_table


class NoFeed(Exception):
    """The settings name no list to fetch."""


def feed_table() -> CostTable:
    """The cost table that the feed fills."""
    slug = settings.PRICE_FEED_TABLE
    name = our_table.cost_tables().get(slug, slug)
    return CostTable.objects.using("system").get_or_create(slug=slug, defaults={"name": name})[0]


def source() -> Source:
    """The list that the settings name. Raises NoFeed."""
    if not settings.PRICE_FEED_URL:
        raise NoFeed("PRICE_FEED_URL is empty: no price list is fetched.")
    return Source(
        url=settings.PRICE_FEED_URL,
        api_key=settings.PRICE_FEED_API_KEY,
        timeout=settings.PRICE_FEED_TIMEOUT,
        attempts=settings.PRICE_FEED_ATTEMPTS,
        pause=settings.PRICE_FEED_PAUSE,
    )


def import_feed(*, clock: Callable[[], datetime], actor: User | None = None) -> Imported | None:
    """Fetch and import; None if the source says that nothing changed. Raises NoFeed, SnapshotRefused, Unreachable.

    The clock is asked again after the network was: prices must not begin while the answer was on its way.
    """
    wanted = source()
    cost_table = feed_table()
    outcomes.note_try(cost_table, now=clock())
    try:
        fetched = fetch(wanted, known=outcomes.validators_of(cost_table, url=wanted.url))
        snapshot = None if fetched.pages is None else read_models(fetched.pages)
    except (SnapshotRefused, Unreachable) as fault:
        outcome = Outcome.UNREACHABLE if isinstance(fault, Unreachable) else Outcome.REFUSED
        outcomes.remember_failure(cost_table=cost_table, reason=str(fault), outcome=outcome, now=clock())
        raise
    if snapshot is None:
        outcomes.remember_not_modified(cost_table=cost_table, now=clock())
        return None
    return import_snapshot(
        cost_table=cost_table,
        snapshot=snapshot,
        origin=f"{cost_table.name} feed",
        clock=clock,
        validators=fetched.validators,
        actor=actor,
    )


def note_unexpected(fault: Exception, *, now: datetime) -> None:
    """Raise the alarm about a fault of ours: nothing was imported, and the log has the rest."""
    outcomes.remember_failure(
        cost_table=feed_table(),
        reason=f"The import failed unexpectedly, see the log: {type(fault).__name__}.",
        outcome=Outcome.REFUSED,
        now=now,
    )


def preview_feed(*, clock: Callable[[], datetime]) -> Imported:
    """What `import_feed` would do with the list as it is now. Raises NoFeed, SnapshotRefused, Unreachable."""
    wanted = source()
    fetched = fetch(wanted, known=outcomes.Validators())
    assert fetched.pages is not None, "nothing was asked that could be answered with 'not modified'"
    return preview_snapshot(cost_table=feed_table(), snapshot=read_models(fetched.pages), at=clock() + LEAD)
