"""How we stand with upstreams: is credit left there, and do they bill what we recorded? Both become alarms."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connections

from accounts.alarms import clear_alarm, raise_alarm
from catalog.model_routes import UpstreamEntry
from catalog.models import UpstreamBill
from gateway.questions import known_upstreams
from gateway.upstreams.lookups import Inquiry
from pricing.exact import ZERO

CREDIT, BILL = "upstream_credit", "upstream_bill"
DAYS_COMPARED = 3
"""A bill may change while late answers are counted, so the last days are compared again."""
SMALLEST_DIFFERENCE = Decimal("0.01")
"""USD: less than a cent a day is no difference, whatever share it is."""
RECORDED = """
SELECT coalesce(sum(coalesce(reported_cost, cost)), 0) FROM metering_usageevent
WHERE upstream = %s AND occurred_at >= %s AND occurred_at < %s AND kind = 1 AND replaces_id IS NULL
    AND id >= first_uuid_of(%s) AND id < first_uuid_of(%s)
"""


def watch_credit(*, now: datetime) -> None:
    """Raise an alarm for each upstream whose credit is below `UPSTREAM_CREDIT_ALARM_USD`; who does not tell is passed over."""
    upstreams = _asked()
    for upstream, left in zip(upstreams, asyncio.run(_credits(upstreams)), strict=True):
        if left is None:
            continue
        if left >= settings.UPSTREAM_CREDIT_ALARM_USD:
            clear_alarm(kind=CREDIT, subject=upstream.slug, now=now)
            continue
        raise_alarm(
            kind=CREDIT,
            subject=upstream.slug,
            summary=f"Credit with {upstream.slug} runs out: {left:.2f} USD are left.",
            detail={"left_usd": f"{left:f}", "threshold_usd": f"{settings.UPSTREAM_CREDIT_ALARM_USD:f}"},
            now=now,
        )


def compare_bills(*, now: datetime) -> None:
    """Keep what each upstream billed for the last whole UTC days beside what was recorded; alarm where they differ."""
    upstreams = _asked()
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=number) for number in range(DAYS_COMPARED, 0, -1)]
    billed = asyncio.run(_bills(upstreams, days))
    for upstream in upstreams:
        known = {day: billed[upstream.slug, day] for day in days}
        differing = [
            day for day, amount in known.items() if amount is not None and not _agrees(upstream, day, amount, now)
        ]
        if differing:
            named = ", ".join(day.isoformat() for day in differing)
            raise_alarm(
                kind=BILL,
                subject=upstream.slug,
                summary=f"The bill of {upstream.slug} differs from what was recorded on {named}.",
                now=now,
            )
        elif any(amount is not None for amount in known.values()):
            clear_alarm(kind=BILL, subject=upstream.slug, now=now)


def differs(billed: Decimal, recorded: Decimal) -> bool:
    """Whether a day's two sums are further apart than the settings allow."""
    gap = abs(billed - recorded)
    return gap >= SMALLEST_DIFFERENCE and gap > settings.UPSTREAM_BILL_TOLERANCE * max(billed, recorded)


def _agrees(upstream: UpstreamEntry, day: date, billed: Decimal, now: datetime) -> bool:
    recorded = _recorded(upstream.slug, day)
    UpstreamBill.objects.using("system").update_or_create(
        upstream=upstream.slug, day=day, defaults={"billed": billed, "recorded": recorded, "checked_at": now}
    )
    return not differs(billed, recorded)


def _recorded(slug: str, day: date) -> Decimal:
    """What calls of that day cost by the upstream's own word, else by its cost table; corrections of ours are no cost."""
    begin = datetime.combine(day, datetime.min.time(), UTC)
    end = begin + timedelta(days=1)
    with connections["system"].cursor() as cursor:
        cursor.execute(RECORDED, [slug, begin, end, begin.date(), end.date()])
        return Decimal(cursor.fetchone()[0]) or ZERO


def _asked() -> list[UpstreamEntry]:
    return sorted(known_upstreams().values(), key=lambda entry: entry.slug)


async def _credits(upstreams: Sequence[UpstreamEntry]) -> list[Decimal | None]:
    async with Inquiry() as inquiry:
        return [await inquiry.credit(upstream) for upstream in upstreams]


async def _bills(upstreams: Sequence[UpstreamEntry], days: Sequence[date]) -> Mapping[tuple[str, date], Decimal | None]:
    async with Inquiry() as inquiry:
        return {(upstream.slug, day): await inquiry.billed(upstream, day) for upstream in upstreams for day in days}
