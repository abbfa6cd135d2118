"""Alarms: what an operator must see to. Raised by the jobs that find something wrong, cleared by the same jobs when it is over.

An alarm is one open row per kind and subject, however often it is found again; the console shows the open ones. Written as the
`system` role, after the transaction that failed: inside it the alarm would be rolled back too.
"""

import json
import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import connections

from accounts.storable_text import storable_json, storable_text

logger = logging.getLogger(__name__)

RAISE = """
INSERT INTO accounts_alarm (kind, subject, summary, detail, raised_at, last_seen_at)
VALUES (%(kind)s, %(subject)s, %(summary)s, %(detail)s, %(now)s, %(now)s)
ON CONFLICT (kind, subject) WHERE cleared_at IS NULL
DO UPDATE SET summary = EXCLUDED.summary, detail = EXCLUDED.detail, last_seen_at = EXCLUDED.last_seen_at
RETURNING xmax = 0
"""
CLEAR = """
UPDATE accounts_alarm SET cleared_at = %(now)s WHERE kind = %(kind)s AND subject = %(subject)s AND cleared_at IS NULL
"""
LONGEST_SUMMARY = 500


def raise_alarm(
    *, kind: str, subject: str, summary: str, now: datetime, detail: Mapping[str, object] | None = None
) -> bool:
    """Open the alarm `kind` on `subject`, or renew what the open one says; True if it was not open before.

    `summary` is one English sentence that says what is wrong; `detail` holds plain JSON values, never a secret. What both quote
    from outside may hold signs that cannot be stored.
    """
    summary = storable_text(summary)
    told = {
        "kind": kind,
        "subject": subject,
        "summary": summary[:LONGEST_SUMMARY],
        "detail": json.dumps(storable_json(dict(detail or {}))),
        "now": now,
    }
    with connections["system"].cursor() as cursor:
        cursor.execute(RAISE, told)
        [is_new] = cursor.fetchone()
    if is_new:
        logger.error("alarm %s on %s: %s", kind, subject, summary)
    return bool(is_new)


def clear_alarm(*, kind: str, subject: str, now: datetime) -> bool:
    """Close the alarm `kind` on `subject`; False if none was open."""
    with connections["system"].cursor() as cursor:
        cursor.execute(CLEAR, {"kind": kind, "subject": subject, "now": now})
        is_over = cursor.rowcount
    if is_over:
        logger.info("alarm %s on %s is over", kind, subject)
    return bool(is_over)
