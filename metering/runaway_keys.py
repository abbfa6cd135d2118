"""The velocity breaker judges: which keys spend far more in a few minutes than they ever do, or than they may.

It looks at rows that are committed: what calls of the last VELOCITY_SECONDS were charged (holds that were captured; what is merely
held is a worst case, and no spend), and the busiest hour of the key before that (rollups). Beat asks every few seconds, as the
`system` role; nothing of it runs while a call is admitted but the look at `Balance.stopped` (`ledger/velocity.py`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connections

from ledger.event_ids import first_id_at
from ledger.models import KeyStop
from ledger.velocity import stop_key
from pricing.exact import EXACT, ZERO

USUAL_DAYS = 14
"""How far back the busiest hour is looked for."""
FOUND = """
WITH spending AS (
    SELECT hold.organization_id, hold.api_key_id, sum(hold.captured) AS spent
    FROM ledger_hold AS hold
    JOIN accounts_apikey AS api_key ON api_key.id = hold.api_key_id AND api_key.organization_id = hold.organization_id
    WHERE hold.created_at >= %(began)s AND hold.id >= %(first_id)s AND hold.resolved_at >= %(since)s AND hold.status = 2
        AND api_key.revoked_at IS NULL
        AND hold.resolved_at > coalesce((SELECT max(lifted_at) FROM ledger_keystop AS stop
            WHERE stop.organization_id = hold.organization_id AND stop.api_key_id = hold.api_key_id), '-infinity')
        AND NOT EXISTS (SELECT FROM ledger_keystop AS stop WHERE stop.organization_id = hold.organization_id
            AND stop.api_key_id = hold.api_key_id AND stop.lifted_at IS NULL)
    GROUP BY 1, 2
), hourly AS (
    SELECT rollup.organization_id, rollup.api_key_id, rollup.hour, sum(rollup.amount) AS amount
    FROM metering_usagerollup AS rollup JOIN spending USING (organization_id, api_key_id)
    WHERE rollup.hour >= %(history)s AND rollup.hour <= %(quiet)s GROUP BY 1, 2, 3
)
SELECT spending.organization_id, spending.api_key_id, spending.spent, balance.currency,
    own.id IS NOT NULL OR whole.id IS NOT NULL AS is_set,
    CASE WHEN own.id IS NOT NULL THEN own.amount ELSE whole.amount END AS cap,
    (SELECT max(amount) FROM hourly WHERE hourly.organization_id = spending.organization_id
        AND hourly.api_key_id = spending.api_key_id) * (1 + balance.tax_rate) AS busiest
FROM spending JOIN ledger_balance AS balance USING (organization_id)
LEFT JOIN ledger_velocitycap AS own
    ON own.organization_id = spending.organization_id AND own.api_key_id = spending.api_key_id
LEFT JOIN ledger_velocitycap AS whole
    ON whole.organization_id = spending.organization_id AND whole.api_key_id IS NULL
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a key was charged in the last VELOCITY_SECONDS, with tax; its cap, if one was set (None: may spend anything); its
    busiest hour before, with tax, None for a key without a past."""

    organization_id: int
    api_key_id: int
    spent: Decimal
    currency: str
    is_set: bool
    cap: Decimal | None
    busiest: Decimal | None


def stop_runaway_keys(*, now: datetime) -> list[KeyStop]:
    """Stop every key that runs away at `now`. Looks at all tenants."""
    stops = []
    for spending in find_spending(now=now):
        verdict = judge(spending)
        if verdict is not None:
            cause, allowed = verdict
            stop = stop_key(
                organization_id=spending.organization_id,
                api_key_id=spending.api_key_id,
                cause=cause,
                seconds=settings.VELOCITY_SECONDS,
                spent=spending.spent,
                allowed=allowed,
                now=now,
            )
            stops += [stop] if stop else []
    return stops


def judge(spending: Spending) -> tuple[str, Decimal] | None:
    """Why a key is to be stopped, and what it might have spent; None if it may go on.

    What somebody set holds as it is, and alone. Without it: the default cap, but never below the key's busiest hour; and, above a
    floor under which nobody is called unusual, VELOCITY_TIMES that busiest hour. A key without a past has no usual spend.
    """
    if spending.is_set:
        return (KeyStop.Cause.CAP, spending.cap) if spending.cap and spending.spent > spending.cap else None
    default, floor = settings.VELOCITY_CAP[spending.currency], settings.VELOCITY_FLOOR[spending.currency]
    busiest = spending.busiest or ZERO
    if spending.spent > max(default, busiest):
        return KeyStop.Cause.CAP, max(default, busiest)
    unusual = max(floor, EXACT.multiply(busiest, settings.VELOCITY_TIMES))
    return (KeyStop.Cause.UNUSUAL, unusual) if busiest and spending.spent > unusual else None


def find_spending(*, now: datetime) -> list[Spending]:
    """Every key that was charged something a moment ago and is not stopped. Looks at all tenants."""
    since = now - timedelta(seconds=settings.VELOCITY_SECONDS)
    began = since - timedelta(seconds=settings.HOLD_SECONDS)
    with connections["system"].cursor() as cursor:
        cursor.execute(
            FOUND,
            {
                "since": since,
                "began": began,
                "first_id": first_id_at(began),
                "history": now - timedelta(days=USUAL_DAYS),
                "quiet": since - timedelta(hours=1),
            },
        )
        names = ("organization_id", "api_key_id", "spent", "currency", "is_set", "cap", "busiest")
        return [Spending(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
