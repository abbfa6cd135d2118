"""Put a list in force: one transaction, after everything in it was judged. Importers of a cost table wait for each other.

Prices hold from ten seconds after the import, when every process has seen them; none is dated back over recorded usage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog import price_book
from catalog.feed import alarms, descriptions, outcomes, quarantine
from catalog.feed.comparison import Change, Comparison, Known, compare
from catalog.feed.facts import facts_to_list
from catalog.feed.known import check_moment, load_known
from catalog.feed.outcomes import Outcome, Validators
from catalog.feed.snapshot import Snapshot, SnapshotRefused
from catalog.first_prices import audit_backdating, waiting_since
from catalog.listing import ModelFacts, list_models, write_facts
from catalog.models import CostTable, LanguageModel, PriceFeed
from catalog.publishing import LEAD, NewPrice, publish_cost_prices

MOST_UNREADABLE = 20
"""With more of them than these the list is broken, and judging its models one by one would be no help."""


class UnreadablePrices(SnapshotRefused):
    """Prices in the list are no numbers. They go into quarantine; one that is refused there is passed over from then on."""

    def __init__(self, reason: str, comparison: Comparison) -> None:
        super().__init__(reason)
        self.comparison = comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did, or with a dry run would do. `described` models got new facts, `approved` doubts were passed over."""

    comparison: Comparison
    effective_from: datetime
    described: int
    approved: int = 0

    @property
    def counts(self) -> dict[str, int]:
        found = self.comparison
        return {
            "new": len(found.first),
            "changed": len(found.changed),
            "unchanged": found.unchanged,
            "quarantined": len(found.doubtful),
            "quarantined_before": len(found.repeated),
            "withdrawn": len(found.ended),
            "missing": len(found.missing),
            "described": self.described,
            "sold_elsewhere": found.sold_elsewhere,
            "left_out": len(found.left_out),
            "approved": self.approved,
        }

    @property
    def changed_anything(self) -> bool:
        found = self.comparison
        return bool(found.first or found.changed or found.doubtful or found.ended or self.described or self.approved)


def preview_snapshot(*, cost_table: CostTable, snapshot: Snapshot, at: datetime) -> Imported:
    """What importing the list would do; nothing is written, no alarm raised. Raises SnapshotRefused."""
    known = load_known(cost_table, at=at)
    found = _judge(snapshot, known)
    described = descriptions.outdated(snapshot, known)
    return Imported(comparison=found, effective_from=at, described=len(described))


def import_snapshot(
    *,
    cost_table: CostTable,
    snapshot: Snapshot,
    origin: str,
    clock: Callable[[], datetime],
    effective_from: datetime | None = None,
    validators: Validators | None = None,
    approve: bool = False,
    actor: User | None = None,
) -> Imported:
    """Import a list into `cost_table`; an unchanged one writes no row. Raises SnapshotRefused, and then no price has changed.

    `effective_from` is given to replay a list of another time. With `approve`, what an operator would be asked about is put in
    force as well, as far as it can be. Alarms follow the outcome. The clock is asked when nobody else imports: who waited long must
    not let prices begin before they can be seen.
    """
    try:
        with transaction.atomic(using="system"):
            feed = outcomes.lock_feed(cost_table)
            now = clock()
            # Nor does a clock that is behind the other importer's undo what that one imported.
            since = effective_from or max(now, feed.imported_at or now) + LEAD
            known = load_known(cost_table, at=since)
            found = _judge(snapshot, known)
            check_moment(cost_table, found, known, since=since, now=now, approve=approve)
            outcome = _write(feed, snapshot, found, known, origin, since, now, actor, approve)
            outcomes.remember_import(
                feed,
                counts=outcome.counts,
                changed_anything=outcome.changed_anything,
                origin=origin,
                validators=validators or Validators(),
                now=now,
            )
    except SnapshotRefused as refusal:
        now = clock()
        _note_unreadable(cost_table, refusal, origin, now)
        outcomes.remember_failure(cost_table=cost_table, reason=str(refusal), outcome=Outcome.REFUSED, now=now)
        raise
    alarms.clear_feed_alarm(cost_table, now=now)
    alarms.watch_quarantine(cost_table, now=now)
    if outcome.changed_anything:
        price_book.forget()
    return outcome


def _judge(snapshot: Snapshot, known: Known) -> Comparison:
    found = compare(
        snapshot,
        known,
        jump_limit=Fraction(settings.PRICE_JUMP_LIMIT),
        most_missing=Fraction(settings.PRICE_FEED_MOST_MISSING),
    )
    unreadable = found.unreadable
    if unreadable:
        fault = snapshot.entries[unreadable[0]].fault
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise UnreadablePrices(f"The price of {unreadable[0]} cannot be read: {fault}{more}.", found)
    return found


def _write(
    feed: PriceFeed,
    snapshot: Snapshot,
    found: Comparison,
    known: Known,
    origin: str,
    since: datetime,
    now: datetime,
    actor: User | None,
    approve: bool,
) -> Imported:
    described = descriptions.outdated(snapshot, known)
    write_facts(described, now=now)
    listed = _list_new(feed.cost_table, found.first, now=now, actor=actor)
    reaching_back = _reaching_back(feed.cost_table, found.first, since)
    prices = [
        _new_price(feed.cost_table, change, listed, origin, reaching_back.get(change.entry.slug, since))
        for change in (*found.first, *found.changed)
    ]
    publish_cost_prices(prices, now=now, actor=actor)
    quarantine.end_standing(found.ended, now=now)
    waiting = quarantine.open_entries(feed.cost_table, found.doubtful, origin=origin, now=now)
    approved = 0
    if approve:
        approved = quarantine.approve_within_import(
            [*waiting, *found.repeated], effective_from=since, now=now, actor=actor
        )
    for slug, moment in reaching_back.items():
        audit_backdating(feed.cost_table, slug, moment, now=now, actor=actor)
    if described:
        write_audit_entry(
            action="models.described",
            target=described[0][0].slug if len(described) == 1 else "",
            actor=actor,
            now=now,
            detail={"count": len(described), "origin": origin},
            using="system",
        )
    return Imported(comparison=found, effective_from=since, described=len(described), approved=approved)


def _list_new(
    cost_table: CostTable, first: list[Change], *, now: datetime, actor: User | None
) -> dict[str, LanguageModel]:
    """Models that are not listed yet; what an operator listed before keeps the table it is sold from."""
    new = [change.entry for change in first if change.model is None]
    facts = [
        ModelFacts(slug=entry.slug, cost_table=cost_table, **facts_to_list(entry.slug, entry.facts)) for entry in new
    ]
    return list_models(facts, now=now, actor=actor) if facts else {}


def _reaching_back(cost_table: CostTable, first: list[Change], since: datetime) -> dict[str, datetime]:
    """First prices that begin earlier than the others of their list, because usage waits for them."""
    sold_here = [
        change.entry.slug for change in first if change.model is None or change.model.cost_table_id == cost_table.pk
    ]
    return {slug: moment for slug, moment in waiting_since(sold_here).items() if moment < since}


def _new_price(
    cost_table: CostTable, change: Change, listed: dict[str, LanguageModel], origin: str, since: datetime
) -> NewPrice:
    return NewPrice(
        cost_table=cost_table,
        language_model=change.model or listed[change.entry.slug],
        sheet=change.entry.sheet,
        effective_from=since,
        raw=change.entry.raw,
        origin=origin,
    )


def _note_unreadable(cost_table: CostTable, refusal: SnapshotRefused, origin: str, now: datetime) -> None:
    """The list is refused whole, but an operator can see the prices that are at fault, and refuse them one by one."""
    if not isinstance(refusal, UnreadablePrices) or len(refusal.comparison.unreadable) > MOST_UNREADABLE:
        return
    doubtful = [one for one in refusal.comparison.doubtful if one.doubt == quarantine.Doubt.UNREADABLE]
    with transaction.atomic(using="system"):
        outcomes.lock_feed(cost_table)
        standing = load_known(cost_table, at=now).standing
        fresh = [one for one in doubtful if one.slug not in standing or standing[one.slug].raw != one.raw]
        quarantine.end_standing([standing[one.slug] for one in fresh if one.slug in standing], now=now)
        quarantine.open_entries(cost_table, fresh, origin=origin, now=now)
