"""Publish an exchange rate. A correction of a day is a new revision; nothing that was applied changes."""

from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.models import ExchangeRate


def publish_exchange_rate(
    *,
    rate: Decimal,
    published_on: date,
    source: str,
    now: datetime,
    base: str = "USD",
    quote: str = "KRW",
    actor: User | None = None,
) -> ExchangeRate | None:
    """Note that `source` published `rate` (quote per base, at most 4 decimals) on a day; None if it is known already."""
    with transaction.atomic(using="system"):
        same_day = ExchangeRate.objects.using("system").filter(
            base=base, quote=quote, source=source, published_on=published_on
        )
        newest = same_day.order_by("-revision").first()
        if newest is not None and newest.rate == rate:
            return None
        revision = (same_day.aggregate(Max("revision"))["revision__max"] or 0) + 1
        row = ExchangeRate.objects.using("system").create(
            base=base,
            quote=quote,
            source=source,
            published_on=published_on,
            revision=revision,
            rate=rate,
            created_by=actor,
            created_at=now,
        )
        write_audit_entry(
            action="exchange_rate.published",
            target=f"{base}/{quote} {published_on.isoformat()}",
            actor=actor,
            now=now,
            detail={"rate": format(rate, "f"), "source": source, "revision": revision},
            using="system",
        )
    return row
