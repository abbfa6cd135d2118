"""When a processor is asked again about what is open, attempts to pay, card setups and refunds alike: with growing pauses."""

from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from billing.models import CardSetup, Payment, Refund

FIRST_PAUSE: timedelta = timedelta(seconds=30) * settings.SWEEP_PACE
LONGEST_PAUSE = timedelta(hours=1)
MOST, MOST_IN_VAIN = 500, 5
"""How many are asked about in one sweep, and how often in vain before it takes the processor for dead."""
Open = TypeVar("Open", Payment, CardSetup, Refund)


def waiting(model: type[Open], *, now: datetime) -> list[Open]:
    """Every open row whose time has come, of all tenants, the one asked about longest ago first."""
    asked = Coalesce(F("checked_at"), F("created_at"))
    rows = model.objects.using("system").filter(status__in=model.OPEN_STATUSES)
    rows = rows.filter(Q(checked_at=None, created_at__lte=now - FIRST_PAUSE) | Q(checked_at__lte=now - FIRST_PAUSE))
    return list(islice((row for row in rows.order_by(asked).iterator() if is_due(row, now=now)), MOST))


def claim(row: Payment | Refund, *, now: datetime) -> bool:
    """Whether nobody else asks about it at this moment."""
    rows = type(row).objects.using("system").filter(pk=row.pk, checked_at=row.checked_at)
    return rows.update(checked_at=now) == 1


def is_due(row: Payment | CardSetup | Refund, *, now: datetime) -> bool:
    """Whether it is time to ask about an open row again: the older it is, the longer the pauses."""
    pause = min(max((now - row.created_at) / 8, FIRST_PAUSE), LONGEST_PAUSE)
    return now - (row.checked_at or row.created_at) >= pause
