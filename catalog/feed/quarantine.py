"""Prices that wait for an operator: noticed by imports, withdrawn when the feed changes its mind, approved or refused by a person.

Until approved, the old price stays in force. A refusal holds as long as the feed repeats that very price.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime
from typing import Any

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog import price_book
from catalog.feed.alarms import watch_quarantine
from catalog.feed.comparison import Doubtful
from catalog.feed.facts import facts_to_list
from catalog.feed.outcomes import lock_feed
from catalog.first_prices import audit_backdating, waiting_since
from catalog.listing import ModelFacts, list_models
from catalog.models import CostTable, LanguageModel, QuarantinedPrice
from catalog.price_sheets import sheet_from_json, sheet_to_json
from catalog.publishing import LEAD, delist, publish_cost_price

Doubt, Status = QuarantinedPrice.Doubt, QuarantinedPrice.Status
NOT_APPROVABLE = frozenset({Doubt.NEGATIVE, Doubt.UNREADABLE})


class AlreadyDecided(Exception):
    """Somebody decided, or the feed took the price back, before this decision arrived."""


class NotApprovable(ValueError):
    """There is nothing that could be put in force."""


def open_entries(
    cost_table: CostTable, doubtful: Iterable[Doubtful], *, origin: str, now: datetime
) -> list[QuarantinedPrice]:
    """Put new doubts in quarantine. Inside the import's transaction; earlier doubts of the same models have been ended."""
    rows = [
        QuarantinedPrice(
            cost_table=cost_table,
            slug=one.slug,
            language_model=one.model,
            doubt=one.doubt,
            raw=one.raw,
            sheet=sheet_to_json(one.entry.sheet) if one.entry and one.entry.sheet else None,
            before=one.before,
            facts=_facts_to_json(one),
            origin=origin,
            noticed_at=now,
        )
        for one in doubtful
    ]
    QuarantinedPrice.objects.using("system").bulk_create(rows, batch_size=500)
    if rows:
        write_audit_entry(
            action="prices.quarantined",
            target=rows[0].slug if len(rows) == 1 else "",
            now=now,
            detail={"cost_table": cost_table.slug, "count": len(rows), "models": [row.slug for row in rows[:20]]},
            using="system",
        )
    return rows


def end_standing(standing: Collection[QuarantinedPrice], *, now: datetime) -> None:
    """The feed says something else of these models now: what waited is withdrawn, what was refused is over."""
    rows = QuarantinedPrice.objects.using("system").filter(pk__in=[row.pk for row in standing], ended_at=None)
    withdrawn = rows.filter(status=Status.OPEN).update(status=Status.WITHDRAWN, ended_at=now)
    rows.filter(status=Status.REFUSED).update(ended_at=now)
    if withdrawn:
        write_audit_entry(
            action="quarantine.withdrawn",
            now=now,
            detail={"count": withdrawn, "models": [row.slug for row in standing][:20]},
            using="system",
        )


def approve(*, entry_id: int, reason: str, clock: Callable[[], datetime], actor: User | None) -> QuarantinedPrice:
    """Put a quarantined price in force, or delist a model that is gone. Raises AlreadyDecided, NotApprovable.

    The clock is asked when the turn has come, however long an importer took before: the price must not begin before it is seen.
    """
    with transaction.atomic(using="system"):
        entry = _lock_open(entry_id)
        now = clock()
        put_in_force(entry, effective_from=now + LEAD, now=now, actor=actor)
        _decide(entry, Status.APPROVED, reason=reason, now=now, actor=actor)
    price_book.forget()
    watch_quarantine(entry.cost_table, now=now)
    return entry


def refuse(*, entry_id: int, reason: str, clock: Callable[[], datetime], actor: User | None) -> QuarantinedPrice:
    """Keep what is in force, until the feed says something else again. Raises AlreadyDecided."""
    with transaction.atomic(using="system"):
        entry = _lock_open(entry_id)
        now = clock()
        _decide(entry, Status.REFUSED, reason=reason, now=now, actor=actor)
    watch_quarantine(entry.cost_table, now=now)
    return entry


def put_in_force(entry: QuarantinedPrice, *, effective_from: datetime, now: datetime, actor: User | None) -> None:
    """Do what the entry says. Raises NotApprovable."""
    if entry.doubt in NOT_APPROVABLE:
        raise NotApprovable(f"The price of {entry.slug} is none that could be charged.")
    model = entry.language_model or _list_model(entry, now=now, actor=actor)
    if entry.sheet is not None:
        _become(model, is_router=False, now=now)
        oldest = waiting_since([entry.slug]).get(entry.slug) if entry.before is None else None
        if oldest is not None and oldest < effective_from and not model.prices.using("system").exists():
            effective_from = oldest
            audit_backdating(entry.cost_table, entry.slug, oldest, now=now, actor=actor)
        publish_cost_price(
            cost_table=entry.cost_table,
            language_model=model,
            sheet=sheet_from_json(entry.sheet),
            effective_from=effective_from,
            raw=entry.raw or {},
            origin=entry.origin,
            now=now,
            actor=actor,
        )
        return
    tombstone = delist(
        cost_table=entry.cost_table,
        language_model=model,
        effective_from=effective_from,
        origin=entry.origin,
        now=now,
        actor=actor,
    )
    if tombstone is None and entry.doubt == Doubt.ROUTER:
        _become(model, is_router=True, now=now)


def approve_within_import(
    entries: Iterable[QuarantinedPrice], *, effective_from: datetime, now: datetime, actor: User | None
) -> int:
    """Put in force what can be of the doubts of a list that an operator vouches for; returns how many. Inside its transaction."""
    approvable = [entry for entry in entries if entry.doubt not in NOT_APPROVABLE and entry.status == Status.OPEN]
    for entry in approvable:
        put_in_force(entry, effective_from=effective_from, now=now, actor=actor)
        _decide(entry, Status.APPROVED, reason="approved with the list", now=now, actor=actor)
    return len(approvable)


def _lock_open(entry_id: int) -> QuarantinedPrice:
    """The entry, if it still waits. Importers and deciders take the feed's row first, so that none of them waits in a circle."""
    entry = QuarantinedPrice.objects.using("system").select_related("cost_table").filter(pk=entry_id).first()
    if entry is None:
        raise AlreadyDecided(str(entry_id))
    lock_feed(entry.cost_table)
    locked = (
        QuarantinedPrice.objects.using("system")
        .select_for_update(of=("self",))
        .select_related("cost_table", "language_model__cost_table")
        .filter(pk=entry_id, status=Status.OPEN)
        .first()
    )
    if locked is None:
        raise AlreadyDecided(entry.slug)
    return locked


def _decide(entry: QuarantinedPrice, status: str, *, reason: str, now: datetime, actor: User | None) -> None:
    entry.status, entry.reason, entry.decided_at, entry.decided_by = status, reason, now, actor
    if status == Status.APPROVED:
        entry.ended_at = now
    entry.save(using="system")
    write_audit_entry(
        action=f"quarantine.{status}",
        target=entry.slug,
        actor=actor,
        now=now,
        detail={"cost_table": entry.cost_table.slug, "doubt": entry.doubt, "reason": reason},
        using="system",
    )


def _list_model(entry: QuarantinedPrice, *, now: datetime, actor: User | None) -> LanguageModel:
    facts = facts_to_list(entry.slug, entry.facts)
    if "released_on" in facts:
        facts["released_on"] = date.fromisoformat(facts["released_on"])
    listed = list_models(
        [ModelFacts(slug=entry.slug, cost_table=entry.cost_table, is_router=entry.sheet is None, **facts)],
        now=now,
        actor=actor,
    )
    return listed[entry.slug]


def _become(model: LanguageModel, *, is_router: bool, now: datetime) -> None:
    if model.is_router != is_router:
        LanguageModel.objects.using("system").filter(pk=model.pk).update(is_router=is_router, updated_at=now)


def _facts_to_json(one: Doubtful) -> dict[str, Any]:
    if one.entry is None or one.model is not None:
        return {}
    return {field: value.isoformat() if isinstance(value, date) else value for field, value in one.entry.facts.items()}
