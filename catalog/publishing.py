"""Put a cost price in force, or delist a model: always a new dated row, written as the `system` role, audited."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.models import CostPrice, CostTable, LanguageModel
from catalog.price_sheets import sheet_to_json
from pricing.bands import PriceSheet


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
        before = _in_force(cost_table, language_model, effective_from)
        if before is None or before.sheet is None:
            return None
        return _add(cost_table, language_model, None, effective_from, {}, origin, now, actor)


def _in_force(cost_table: CostTable, language_model: LanguageModel, at: datetime) -> CostPrice | None:
    return (
        CostPrice.objects.using("system")
        .filter(cost_table=cost_table, language_model=language_model, effective_from__lte=at)
        .order_by("-effective_from")
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
