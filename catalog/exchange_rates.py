"""Publish an exchange rate. A correction of a day is a new revision; nothing that was applied changes."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from django.db import connections, transaction

from accounts.audit_log import write_audit_entry
from accounts.models import User
from catalog.models import ExchangeRate

FOUR_DECIMALS = Decimal("0.0001")
WAIT_FOR_OTHERS = "SELECT pg_advisory_xact_lock(hashtext('catalog_exchangerate'))"
"""Publishers compare with what is there and then write: one after the other."""


class InvalidRate(ValueError):
    """No rate: not above zero, not a number, or with more than 4 decimals."""


def publish_exchange_rate(
    *,
    rate: Decimal,
    published_on: date,
    source: str,
    now: datetime,
    base: str = "USD",
    quote: str = "KRW",
    actor: User | None = None,
    detail: Mapping[str, object] | None = None,
    backdated: bool = False,
) -> ExchangeRate | None:
    """Note that `source` published `rate` (quote per base, at most 4 decimals) on a day; None if it is known already.

    `detail` goes to the audit log too. `backdated` is for `correcting`. Raises InvalidRate.
    """
    if not rate.is_finite() or rate <= 0 or rate != four_decimals(rate):
        raise InvalidRate(f"{rate} is no exchange rate")
    with transaction.atomic(using="system"):
        wait_for_other_publishers()
        newest = (
            ExchangeRate.objects.using("system")
            .filter(base=base, quote=quote, source=source, published_on=published_on)
            .order_by("-revision")
            .first()
        )
        if newest is not None and newest.rate == rate and newest.backdated >= backdated:
            return None
        revision = newest.revision + 1 if newest else 1
        row = ExchangeRate.objects.using("system").create(
            base=base,
            quote=quote,
            source=source,
            published_on=published_on,
            revision=revision,
            rate=rate,
            backdated=backdated,
            created_by=actor,
            created_at=now,
        )
        write_audit_entry(
            action="exchange_rate.published",
            target=f"{base}/{quote} {published_on.isoformat()}",
            actor=actor,
            now=now,
            detail={"rate": format(rate, "f"), "source": source, "revision": revision} | dict(detail or {}),
            using="system",
        )
    return row


def wait_for_other_publishers() -> None:
    """Have the turn until the transaction ends. Inside one; whoever has it already goes on."""
    with connections["system"].cursor() as cursor:
        cursor.execute(WAIT_FOR_OTHERS)


def four_decimals(rate: Decimal) -> Decimal:
    """What an exchange rate may have, rounded half to even."""
    return rate.quantize(FOUR_DECIMALS, rounding=ROUND_HALF_EVEN)
