"""Put a cost price in force, or delist a model: always a new dated row, written as the `system` role, audited.

Who enters one price takes turns with the importers of its cost table, so that neither overrules what it has not seen.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.feed.outcomes import lock_feed
from catalog.models import CostPrice, CostTable, LanguageModel
from catalog.price_sheets import sheet_to_json
from pricing.bands import PriceSheet

LEAD = timedelta(seconds=10)
"""Every process has seen a change of the tables by then, so all of them price by it from the same moment on."""
BY_HAND, CORRECTION = "console", "correction"
"""The origins of prices that an operator entered: from then on, or dated back."""
FROM_OPERATORS = frozenset({BY_HAND, CORRECTION})
"""What no list may overrule unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPrice:
    """A price of one model in one cost table from `effective_from` on; without a sheet it delists the model there."""

    cost_table: CostTable
    language_model: LanguageModel
    sheet: PriceSheet | None
    effective_from: datetime
    raw: Mapping[str, Any]
    origin: str


def publish_cost_price(
    *,
    cost_table: CostTable,
    language_model: LanguageModel,
    sheet: PriceSheet,
    effective_from: datetime,
    raw: Mapping[str, Any],
    origin: str,
    now: datetime,
    actor: User | None = None,
) -> CostPrice | None:
    """Let `sheet` hold from `effective_from` on; None if the very same sheet is in force then already."""
    stored = sheet_to_json(sheet)
    with transaction.atomic(using="system"):
        lock_feed(cost_table)
        before = _in_force(cost_table, language_model, effective_from)
        if before is not None and before.sheet == stored:
            return None
        return _add(cost_table, language_model, stored, effective_from, raw, origin, now, actor)


def delist(
    *,
    cost_table: CostTable,
    language_model: LanguageModel,
    effective_from: datetime,
    origin: str,
    now: datetime,
    actor: User | None = None,
) -> CostPrice | None:
    """Stop selling from `effective_from` on by a tombstone row; history and pages stay. None if it was not sold anyway."""
    with transaction.atomic(using="system"):
        lock_feed(cost_table)
        before = _in_force(cost_table, language_model, effective_from)
        if before is None or before.sheet is None:
            return None
        return _add(cost_table, language_model, None, effective_from, {}, origin, now, actor)


def publish_cost_prices(prices: Iterable[NewPrice], *, now: datetime, actor: User | None = None) -> int:
    """Publish a whole price list at once, with one audit entry; returns how many rows it took.

    As in `publish_cost_price`, a price that is in force at its moment anyway, in the tables or by an earlier entry of the
    list, is not written again.
    """
    ordered = sorted(prices, key=lambda price: price.effective_from)
    with transaction.atomic(using="system"):
        history = _histories({price.language_model.pk for price in ordered})
        rows = []
        for price in ordered:
            entries = history[price.cost_table.pk, price.language_model.pk]
            stored = None if price.sheet is None else sheet_to_json(price.sheet)
            position = bisect_right(entries, price.effective_from, key=lambda entry: entry[0])
            if stored == (entries[position - 1][1] if position else None):
                continue
            entries.insert(position, (price.effective_from, stored))
            rows.append(
                CostPrice(
                    cost_table=price.cost_table,
                    language_model=price.language_model,
                    sheet=stored,
                    effective_from=price.effective_from,
                    raw=dict(price.raw),
                    origin=price.origin,
                    created_at=now,
                )
            )
        CostPrice.objects.using("system").bulk_create(rows, batch_size=500)
        if rows:
            write_audit_entry(
                action="cost_prices.published",
                target=", ".join(sorted({row.origin for row in rows})),
                actor=actor,
                now=now,
                detail={"count": len(rows)},
                using="system",
            )
    return len(rows)


def _histories(model_ids: Iterable[int]) -> dict[tuple[int, int], list[tuple[datetime, dict[str, Any] | None]]]:
    """What these models cost in every table, since when, oldest first."""
    histories: dict[tuple[int, int], list[tuple[datetime, dict[str, Any] | None]]] = defaultdict(list)
    rows = (
        CostPrice.objects.using("system").filter(language_model_id__in=model_ids).order_by("effective_from", "revision")
    )
    for table, model, since, sheet in rows.values_list("cost_table_id", "language_model_id", "effective_from", "sheet"):
        histories[table, model].append((since, sheet))
    return histories


def _in_force(cost_table: CostTable, language_model: LanguageModel, at: datetime) -> CostPrice | None:
    return (
        CostPrice.objects.using("system")
        .filter(cost_table=cost_table, language_model=language_model, effective_from__lte=at)
        .order_by("-effective_from", "-revision")
        .first()
    )


def _add(
    cost_table: CostTable,
    language_model: LanguageModel,
    sheet: dict[str, Any] | None,
    effective_from: datetime,
    raw: Mapping[str, Any],
    origin: str,
    now: datetime,
    actor: User | None,
) -> CostPrice:
    price = CostPrice.objects.using("system").create(
        cost_table=cost_table,
        language_model=language_model,
        sheet=sheet,
        effective_from=effective_from,
        raw=dict(raw),
        origin=origin,
        created_at=now,
    )
    write_audit_entry(
        action="cost_price.published" if sheet else "cost_price.delisted",
        target=language_model.slug,
        actor=actor,
        now=now,
        detail={"cost_table": cost_table.slug, "effective_from": effective_from.isoformat(), "origin": origin},
        using="system",
    )
    return price
