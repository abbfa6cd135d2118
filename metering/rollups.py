"""Hourly rollups: added to in the transaction of the events, so that they are never behind or ahead."""

from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pricing.tokens import FIELD_OF, TokenClass

COUNTS = tuple(FIELD_OF[token_class] for token_class in TokenClass)
"""Names of the count columns, the same in TokenUsage, events and rollups."""
TAGS = ("tag_1", "tag_2", "tag_3")
"""The columns for declared tags, see `rollup_tags`."""
KEY = ("organization_id", "period_id", "hour", "api_key_id", "model_id", "applied_rate_id", *TAGS)
SUMMED = (*COUNTS, "cost", "amount")
SHORTEST_ZONE_STEP = 15 * 60
"""Seconds: the differences between today's time zones are multiples of it."""


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


def hours_of(calls: Iterable[tuple[datetime, str]]) -> list[datetime]:
    """`hour_of`, in UTC, for moments with the names of their zones; worked out once for each quarter of an hour, because no zone's
    hours begin elsewhere."""
    found: dict[tuple[int, str], datetime] = {}
    hours = []
    for at, zone in calls:
        key = int(at.timestamp()) // SHORTEST_ZONE_STEP, zone
        hour = found.get(key)
        if hour is None:
            hour = found[key] = hour_of(at, ZoneInfo(zone)).astimezone(UTC)
        hours.append(hour)
    return hours
