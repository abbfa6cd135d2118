"""Keys that deduplicate are let go when no reporter can repeat them any more: the one thing deleted row by row.

Beat does it nightly. A key lives USAGE_KEY_DAYS from when its event occurred, and longer while that event waits for a price.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connections

from ledger.event_ids import first_id_at
from ledger.retrying import with_retries

FOUND_AT_ONCE = 100_000
"""Keys of one look through the table. It has no index by age: inserting a key would pay for it a million times a day."""
BATCH = 5_000
"""Keys of one transaction."""

FIND = """
SELECT claimed.organization_id, claimed.key_digest FROM metering_eventkey AS claimed
WHERE claimed.event_id < %s AND NOT EXISTS (
    SELECT FROM metering_unratedusage AS waiting
    WHERE waiting.organization_id = claimed.organization_id AND waiting.event_id = claimed.event_id
) LIMIT %s
"""
REMOVE = """
DELETE FROM metering_eventkey AS claimed USING unnest(%s::bigint[], %s::uuid[]) AS t (organization_id, key_digest)
WHERE claimed.organization_id = t.organization_id AND claimed.key_digest = t.key_digest
"""


def oldest_kept_id(*, now: datetime) -> UUID:
    """Events from this id on have their key."""
    return first_id_at(now - timedelta(days=max(settings.USAGE_KEY_DAYS, settings.USAGE_MAX_AGE_DAYS + 1)))


def remove_old_keys(*, now: datetime) -> int:
    """Delete the keys of events older than USAGE_KEY_DAYS, in small transactions; returns how many."""
    oldest = oldest_kept_id(now=now)
    removed = 0
    while True:
        with connections["system"].cursor() as cursor:
            cursor.execute(FIND, [oldest, FOUND_AT_ONCE])
            found = cursor.fetchall()
        for start in range(0, len(found), BATCH):
            removed += _remove(found[start : start + BATCH])
        if len(found) < FOUND_AT_ONCE:
            return removed


def _remove(keys: list[tuple[int, UUID]]) -> int:
    columns = [list(column) for column in zip(*sorted(keys), strict=True)]

    def remove() -> int:
        with connections["system"].cursor() as cursor:
            cursor.execute(REMOVE, columns)
            return int(cursor.rowcount)

    return with_retries(remove, using="system")
