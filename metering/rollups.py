"""Hourly rollups: added to in the transaction of the events, so that they are never behind or ahead (DESIGN §5.3)."""

from datetime import datetime
from zoneinfo import ZoneInfo

from pricing.tokens import FIELD_OF, TokenClass

COUNTS = tuple(FIELD_OF[token_class] for token_class in TokenClass)
"""Names of the count columns, the same in TokenUsage, events and rollups."""
TAGS = ("tag_1", "tag_2", "tag_3")
"""The columns for declared tags, see `rollup_tags`."""
KEY = ("organization_id", "period_id", "hour", "api_key_id", "model_id", "applied_rate_id", *TAGS)
SUMMED = (*COUNTS, "cost", "amount")


def upsert(source: str) -> str:
    """The statement that adds the events of `source`, a FROM item with the columns KEY, SUMMED and `digest`, to the rollups.

    Rows are touched in the order of the key, so that two writers never deadlock.
    """
    key = ", ".join(KEY)
    return f"""
INSERT INTO metering_usagerollup AS rollup ({key}, event_count, event_digest, {", ".join(SUMMED)})
SELECT {key}, count(*), bit_xor(digest), {", ".join(f"coalesce(sum({name}), 0)" for name in SUMMED)}
FROM {source} GROUP BY {key} ORDER BY {key}
ON CONFLICT ({key}) DO UPDATE SET
    event_count = rollup.event_count + EXCLUDED.event_count, event_digest = rollup.event_digest # EXCLUDED.event_digest,
    {", ".join(f"{name} = rollup.{name} + EXCLUDED.{name}" for name in SUMMED)}
"""


def hour_of(at: datetime, zone: ZoneInfo) -> datetime:
    """The start of the full hour of `zone` in which `at` lies; zones of half hours have theirs at :30 UTC."""
    return at.astimezone(zone).replace(minute=0, second=0, microsecond=0)
