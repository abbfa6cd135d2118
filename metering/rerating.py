"""Charge an open period anew where the price book says something else by now: the audited exception to "a charge is final".

What was charged stays; each event whose amount or cost would be another gets a reversal and a replacement (`reversing.py`), page by
page, so that stopping half-way is harmless and running again goes on. An event that has no rate any more is left as it is:
an unknown price never becomes 0. Of a closed period nothing is changed; billing proposes a credit note.

A run right after a correction would miss what other processes still charge without it, so it is refused until all have seen it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from math import ceil
from uuid import UUID

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from catalog import price_book
from catalog.last_change import time_until_seen
from ledger.event_ids import first_id_at
from ledger.periods import lock_if_open
from ledger.retrying import with_retries
from metering.correction_rows import Recharge
from metering.repricing import Page, Progress, Repriced, Span, doubtful_spans, look
from metering.reversing import Correction, reverse
from pricing.exact import ZERO, exact_sum


class PeriodClosed(Exception):
    """A closed period is invoiced: what was charged in it is corrected by a credit note."""


class PricesTooNew(Exception):
    """Other processes may still charge without the newest price, markup or exchange rate. The message tells how long."""


@dataclass(slots=True)
class Outcome:
    """What a run found. Amounts are exact, before tax, of the corrected events only."""

    looked_at: int = 0
    corrected: int = 0
    unpriced: int = 0
    before: Decimal = ZERO
    after: Decimal = ZERO

    def add(self, page: Page, *, corrected: Sequence[Repriced]) -> None:
        self.looked_at += page.looked_at
        self.unpriced += page.unpriced
        self.corrected += len(corrected)
        self.before = exact_sum((self.before, *(found.event.amount for found in corrected)))
        self.after = exact_sum((self.after, *(found.amount for found in corrected)))


def rerate_period(
    *,
    organization: Organization,
    period_id: int,
    model_id: int | None = None,
    reason: str,
    actor: User | None,
    now: datetime,
    progress: Progress = lambda looked_at, of: None,
) -> Outcome:
    """Correct the open period by the price book as it is now, a transaction a page; audited. Raises PeriodClosed, PricesTooNew.

    Again, or twice at once, it changes nothing.
    """
    outcome = Outcome()
    price_book.refresh()
    left = time_until_seen(now=now)
    if left:
        raise PricesTooNew(
            f"a price, markup or exchange rate is so new that some processes charge without it: "
            f"try again in {ceil(left.total_seconds())} s"
        )
    with tenant_scope([organization.pk]):
        spans = doubtful_spans(organization_id=organization.pk, period_id=period_id, model_id=model_id)
    for span in spans:
        after: UUID | None = first_id_at(span.start)
        while after is not None:
            transaction = partial(
                _rerate_page, organization, period_id, span, after, reason=reason, actor=actor, now=now
            )
            page, corrected = with_retries(transaction)
            outcome.add(page, corrected=corrected)
            progress(outcome.looked_at, sum(span.event_count for span in spans))
            after = page.last
    return outcome


def _rerate_page(
    organization: Organization,
    period_id: int,
    span: Span,
    after: UUID,
    *,
    reason: str,
    actor: User | None,
    now: datetime,
) -> tuple[Page, list[Repriced]]:
    """One transaction: the period locked, a page read, its corrections made, and the entry that says so."""
    with tenant_scope([organization.pk]):
        if not lock_if_open([(organization.pk, period_id)]):
            raise PeriodClosed(f"period {period_id} of {organization.slug} is closed")
        page = look(organization.pk, period_id, span, after)
        made = reverse([_correction(found, now=now) for found in page.repriced], reason=reason, actor=actor, now=now)
        made_ids = {correction.event.id for correction in made}
        if made:
            write_audit_entry(
                action="usage.rerated",
                target=f"period {period_id}",
                organization=organization,
                actor=actor,
                now=now,
                detail={
                    "reason": reason,
                    "events": len(made),
                    "change": format(exact_sum(correction.change for correction in made), "f"),
                    "first": str(made[0].event.id),
                    "last": str(made[-1].event.id),
                },
            )
    return page, [found for found in page.repriced if found.event.id in made_ids]


def _correction(found: Repriced, *, now: datetime) -> Correction:
    recharge = Recharge(applied_rate_id=price_book.stored(found.rate, now=now), cost=found.cost, amount=found.amount)
    return Correction(event=found.event, recharge=recharge)
