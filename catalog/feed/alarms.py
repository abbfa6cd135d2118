"""The two alarms of price lists: one that could not be used, and prices that wait for an operator."""

from datetime import datetime

from accounts.alarms import clear_alarm, raise_alarm
from catalog.models import CostTable, QuarantinedPrice

FEED, QUARANTINE = "price_feed", "price_quarantine"
MOST_NAMED = 10


def raise_feed_alarm(cost_table: CostTable, reason: str, *, now: datetime) -> None:
    raise_alarm(
        kind=FEED,
        subject=cost_table.slug,
        summary=f"The price list of {cost_table.name} was not imported; the old prices stay in force. {reason}",
        now=now,
        detail={"reason": reason},
    )


def clear_feed_alarm(cost_table: CostTable, *, now: datetime) -> None:
    clear_alarm(kind=FEED, subject=cost_table.slug, now=now)


def watch_quarantine(cost_table: CostTable, *, now: datetime) -> None:
    """Raise or clear the alarm by what waits now."""
    waiting = list(
        QuarantinedPrice.objects.using("system")
        .filter(cost_table=cost_table, status=QuarantinedPrice.Status.OPEN)
        .order_by("slug")
        .values_list("slug", flat=True)
    )
    if not waiting:
        clear_alarm(kind=QUARANTINE, subject=cost_table.slug, now=now)
        return
    named = ", ".join(waiting[:3]) + (" …" if len(waiting) > 3 else "")
    raise_alarm(
        kind=QUARANTINE,
        subject=cost_table.slug,
        summary=f"{len(waiting)} price(s) of {cost_table.name} wait for a decision: {named}",
        now=now,
        detail={"count": len(waiting), "models": waiting[:MOST_NAMED]},
    )
