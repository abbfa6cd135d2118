"""How the last import of a cost table went: one row, which is also the lock that importers take in turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.storable_text import NO_SIGN, storable_text
from catalog.feed.alarms import clear_feed_alarm, raise_feed_alarm, watch_quarantine
from catalog.models import CostTable, PriceFeed

Outcome = PriceFeed.Outcome
SECONDS_AFTER_A_FAILURE = 600
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What the next fetch of `url` may ask with whether anything changed since: one that could not be stored is none."""

    url: str = ""
    etag: str = ""
    last_modified: str = ""

    def __post_init__(self) -> None:
        for name in ("etag", "last_modified"):
            if NO_SIGN.search(getattr(self, name)):
                object.__setattr__(self, name, "")


def lock_feed(cost_table: CostTable) -> PriceFeed:
    """The row of a cost table, locked until the transaction ends. Inside one."""
    PriceFeed.objects.using("system").bulk_create([PriceFeed(cost_table=cost_table)], ignore_conflicts=True)
    return PriceFeed.objects.using("system").select_for_update().get(cost_table=cost_table)


def validators_of(cost_table: CostTable, *, url: str) -> Validators:
    """Those of the list imported last, if it came from this address."""
    feed = PriceFeed.objects.using("system").filter(cost_table=cost_table, url=url).first()
    if feed is None:
        return Validators(url=url)
    return Validators(url=url, etag=feed.etag, last_modified=feed.last_modified)


def last_import(cost_table_slug: str) -> PriceFeed | None:
    """How the last one went; None before the first."""
    feed = PriceFeed.objects.using("system").filter(cost_table__slug=cost_table_slug).first()
    return feed if feed and feed.imported_at else None


def make_due(cost_table: CostTable, *, now: datetime, actor: User | None) -> None:
    """Let beat fetch the feed at its next look, whole, whenever that was done last."""
    with transaction.atomic(using="system"):
        feed = lock_feed(cost_table)
        feed.tried_at, feed.etag, feed.last_modified = None, "", ""
        feed.save(using="system")
        write_audit_entry(action="price_feed.asked_for", target=cost_table.slug, now=now, actor=actor, using="system")


def note_try(cost_table: CostTable, *, now: datetime) -> None:
    """Before fetching: whatever becomes of it, even if it ends the process, the next try is not at the next minute."""
    with transaction.atomic(using="system"):
        feed = lock_feed(cost_table)
        feed.tried_at = now
        feed.save(using="system", update_fields=["tried_at"])


def is_due(cost_table_slug: str, *, now: datetime) -> bool:
    """Whether the feed should be fetched: an hour after it was tried last, sooner after a failure."""
    feed = PriceFeed.objects.using("system").filter(cost_table__slug=cost_table_slug).first()
    if feed is None or feed.tried_at is None:
        return True
    seconds = settings.PRICE_FEED_SECONDS
    if feed.outcome in (Outcome.REFUSED, Outcome.UNREACHABLE):
        seconds = min(seconds, SECONDS_AFTER_A_FAILURE)
    return now >= feed.tried_at + timedelta(seconds=seconds)


def remember_import(
    feed: PriceFeed,
    *,
    counts: Mapping[str, int],
    changed_anything: bool,
    origin: str,
    validators: Validators,
    now: datetime,
) -> None:
    """Note a good import in its own transaction."""
    feed.outcome = Outcome.IMPORTED if changed_anything else Outcome.UNCHANGED
    feed.reason, feed.counts, feed.origin = "", dict(counts), origin
    feed.tried_at = feed.imported_at = now
    if changed_anything:
        feed.changed_at = now
    feed.url, feed.etag, feed.last_modified = validators.url, validators.etag, validators.last_modified
    feed.save(using="system")


def remember_not_modified(*, cost_table: CostTable, now: datetime) -> None:
    """The source says that its list is still the one imported last."""
    with transaction.atomic(using="system"):
        feed = lock_feed(cost_table)
        feed.outcome, feed.reason, feed.tried_at, feed.imported_at = Outcome.UNCHANGED, "", now, now
        feed.save(using="system")
    clear_feed_alarm(cost_table, now=now)
    watch_quarantine(cost_table, now=now)


def remember_failure(*, cost_table: CostTable, reason: str, outcome: str, now: datetime) -> None:
    """Keep why nothing was imported, and raise the alarm. A refused list is never "not modified": the next is fetched whole."""
    with transaction.atomic(using="system"):
        feed = lock_feed(cost_table)
        feed.outcome, feed.reason, feed.tried_at = outcome, storable_text(reason)[:LONGEST_REASON], now
        if outcome == Outcome.REFUSED:
            feed.url = feed.etag = feed.last_modified = ""
        feed.save(using="system")
    raise_feed_alarm(cost_table, reason, now=now)
    watch_quarantine(cost_table, now=now)
