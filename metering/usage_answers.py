"""How the REST API writes usage: sums, events, receipts. Amounts are exact decimal text before tax."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import ApiKey
from catalog.rate_answers import rate_json
from metering.models import EventKind, Evidence, UnratedUsage, UsageEvent
from metering.receipts import Receipt
from metering.rollups import COUNTS
from metering.tag_sums import TagSums
from metering.usage_queries import UsageRow, UsageSum
from pricing.plain_text import plain


def sum_json(total: UsageSum) -> dict[str, Any]:
    return dict(total.counts) | {"amount": plain(total.amount)}


def row_json(row: UsageRow, group_by: str, zone: ZoneInfo) -> dict[str, Any]:
    """A group as UsageRowAnswer; times in the organization's zone."""
    group: dict[str, Any] = {}
    if group_by == "hour":
        group["hour"] = _local(row.start, zone).isoformat()
    elif group_by == "day":
        group["day"] = _local(row.start, zone).date().isoformat()
    elif group_by == "model":
        group["model"] = row.model and row.model.slug
    elif group_by == "api_key":
        group["api_key"] = key_name(row.api_key)
    elif group_by == "member":
        group["member"] = row.member and {"id": str(row.member.pk), "name": row.member.get_full_name()}
    elif group_by == "tag":
        group |= {"tag": row.tag, "tag_kind": row.tag_kind}
    return group | sum_json(row.total)


def tag_json(name: str, sums: TagSums) -> dict[str, Any]:
    """What was summed by a tag, as TagAnswer."""
    return {"name": name, "read_from": sums.read_from, "declared_since": sums.declared_since}


def key_name(key: ApiKey | None) -> dict[str, str] | None:
    return None if key is None else {"id": str(key.pk), "name": key.name, "prefix": key.prefix}


def event_json(
    event: UsageEvent,
    *,
    currency: str,
    models: Mapping[int, str],
    keys: Mapping[int, ApiKey],
    sources: Mapping[int, str],
) -> dict[str, Any]:
    """An event as EventAnswer; `models` and `sources` are slugs by number."""
    return {
        "id": str(event.id),
        "key": event.key,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "kind": EventKind(event.kind).name.lower(),
        "evidence": Evidence(event.evidence).name.lower(),
        "model": models[event.model_id],
        "applied_rate_id": event.applied_rate_id,
        "requested_model": models[event.requested_model_id] if event.requested_model_id else None,
        "api_key": key_name(keys.get(event.api_key_id) if event.api_key_id else None),
        "source": sources[event.source_id],
        "request_id": event.request_id,
        "generation_id": event.generation_id,
        "usage": {name: getattr(event, name) for name in COUNTS},
        "amount": plain(event.amount),
        "currency": currency,
        "upstream": event.upstream,
        "status": event.status,
        "streamed": event.streamed,
        "latency_ms": event.latency_ms,
        "first_token_ms": event.first_token_ms,
        "finish_reason": event.finish_reason,
        "end_user": event.end_user,
        "tags": event.tags or {},
        "reverses": str(event.reverses_id) if event.reverses_id else None,
        "replaces": str(event.replaces_id) if event.replaces_id else None,
        "reason": event.reason,
    }


def receipt_json(receipt: Receipt, event: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt as ReceiptAnswer; `event` is its event as EventAnswer."""
    lines = [
        {
            "token_class": line.token_class.value,
            "quantity": line.quantity,
            "unit_cost_usd": plain(receipt.rate.unit_costs[line.token_class]),
            "unit_price": plain(line.unit_price),
            "amount": plain(line.amount),
        }
        for line in receipt.lines
    ]
    rate = {"applied_rate": rate_json(receipt.rate), "cost_usd": plain(receipt.event.cost), "formula": receipt.formula}
    corrections = {
        "reversed_by": str(receipt.reversed_by) if receipt.reversed_by else None,
        "replaced_by": str(receipt.replaced_by) if receipt.replaced_by else None,
    }
    return {**event, "lines": lines, **rate, **corrections}


def waiting_json(waiting: UnratedUsage) -> dict[str, Any]:
    """An event that has no price yet."""
    return {
        "id": str(waiting.event_id),
        "key": waiting.key,
        "occurred_at": waiting.occurred_at,
        "received_at": waiting.received_at,
        "model": waiting.model,
        "amount": None,
        "waits_for": waiting.reason,
    }


def _local(moment: datetime | None, zone: ZoneInfo) -> datetime:
    assert moment is not None, "rows by time have a start"
    return moment.astimezone(zone)
