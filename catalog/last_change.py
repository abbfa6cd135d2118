"""Does every process price by the newest rows yet? Each looks at the tables every few seconds and else charges from memory."""

from datetime import datetime, timedelta

from django.db.models import Max

from catalog.models import CostPrice, ExchangeRate, MarkupRule
from catalog.publishing import LEAD

NOTHING = timedelta(0)


def time_until_seen(*, now: datetime) -> timedelta:
    """How long until no process answers without the newest price, markup and exchange rate; zero if none does any more."""
    newest: list[datetime | None] = [
        rows.objects.using("system").aggregate(at=Max("created_at"))["at"]
        for rows in (CostPrice, MarkupRule, ExchangeRate)
    ]
    return max([made + LEAD - now for made in newest if made is not None] + [NOTHING])
