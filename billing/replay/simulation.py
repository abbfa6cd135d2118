"""A period replayed under other prices, markups or another exchange rate: what its invoice would be, line by line, in won.

Reads one consistent state of the books in a transaction that cannot write. Hourly sums are enough where they tell which price their
calls would have had (`replaying.py`); the calls of other hours are read one by one. Totals come from the invoice's own pipeline.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections, transaction
from django.db.models import Q, Sum

from accounts.models import Organization
from accounts.tenancy import set_visible_organizations
from billing.invoice_queries import spans_of
from billing.models import BillingTerms, Invoice
from billing.replay.replaying import Counts, Replay, ReplayedLine
from billing.terms import conditions_of, in_force, terms_of
from catalog import price_book
from catalog.hypothetical_prices import Hypothesis, suppose
from catalog.price_snapshot import PriceSnapshot
from catalog.rate_details import details_of
from ledger.event_ids import first_id_at
from ledger.models import Balance, BillingPeriod
from metering.models import UsageRollup
from metering.rollups import COUNTS
from metering.stored_events import HOLD_PARTITIONS, Look, walk
from pricing.conditions import Charged, LineKind, charged
from pricing.exact import EXACT, ZERO
from pricing.tokens import FIELD_OF, PROMPT_CLASSES, TokenClass
from pricing.totals import Totals

READ_ONLY = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedChange:
    """What terms make of the usage before and after: exact amounts, and their shares of the two rounded subtotals."""

    kind: LineKind
    before_exact: Decimal
    after_exact: Decimal
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A customer's period before and after, both under the terms of its invoice; costs are in USD.

    `events_read` calls were read one by one, because the sums of their hours did not tell their price.
    """

    organization: Organization
    period: BillingPeriod
    invoice: Invoice | None
    lines: Sequence[ReplayedLine]
    charged_before: Charged
    charged_after: Charged
    cost_before: Decimal
    cost_after: Decimal
    events_read: int

    @property
    def before(self) -> Totals:
        return self.charged_before.totals

    @property
    def after(self) -> Totals:
        return self.charged_after.totals

    @property
    def rounded_lines(self) -> Iterator[tuple[ReplayedLine, Decimal, Decimal]]:
        """The lines with their shares of the two rounded subtotals."""
        return zip(self.lines, self.charged_before.usage_lines, self.charged_after.usage_lines, strict=True)

    @property
    def agreed(self) -> Iterator[AgreedChange]:
        """The discount and the minimum fee, where there is one on either side."""
        for kind in (LineKind.DISCOUNT, LineKind.MINIMUM_FEE):
            before, after = self.charged_before.agreed_line(kind), self.charged_after.agreed_line(kind)
            if before or after:
                yield AgreedChange(
                    kind=kind,
                    before_exact=before.amount if before else ZERO,
                    after_exact=after.amount if after else ZERO,
                    before=before.rounded if before else ZERO,
                    after=after.rounded if after else ZERO,
                )

    @property
    def difference(self) -> Decimal:
        """What the customer would pay more, VAT included."""
        return EXACT.subtract(self.after.total, self.before.total)


def simulate_period(*, organization_id: int, period_id: int, hypothesis: Hypothesis) -> Simulation:
    """What the period would be invoiced at under `hypothesis`; nothing is written, and the database sees to it.

    Raises Implausible, NotPriced.
    """
    with _reading(organization_id):
        real = price_book.refresh()  # after the transaction began to see, so that it knows every price that was charged
        supposed = suppose(real, hypothesis)
        organization = Organization.objects.get(pk=organization_id)
        period = BillingPeriod.objects.for_organization(organization).get(pk=period_id)
        replay, events_read = _replay(organization, period, real, supposed)
        invoices = Invoice.objects.for_organization(organization).filter(period=period)
        invoice = invoices.exclude(status=Invoice.Status.VOID).first()
        balance = Balance.objects.for_organization(organization).get()
        terms = in_force(terms_of(organization), period.starts_at)
        if invoice is not None:
            terms = invoice.terms or BillingTerms()
    lines = replay.lines()
    conditions = conditions_of(terms, organization=organization, period=period)
    currency, tax_rate = organization.billing_currency, invoice.tax_rate if invoice else balance.tax_rate
    cost_before, cost_after = replay.costs()
    return Simulation(
        organization=organization,
        period=period,
        invoice=invoice,
        lines=lines,
        charged_before=charged(
            [line.before for line in lines], conditions=conditions, currency=currency, tax_rate=tax_rate
        ),
        charged_after=charged(
            [line.after for line in lines], conditions=conditions, currency=currency, tax_rate=tax_rate
        ),
        cost_before=cost_before,
        cost_after=cost_after,
        events_read=events_read,
    )


@contextmanager
def _reading(organization_id: int) -> Iterator[None]:
    """The tenant's scope in a transaction that sees one state of the database and cannot change it."""
    with transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute(READ_ONLY)
            cursor.execute(
                HOLD_PARTITIONS
            )  # before the transaction begins to see, or a month might be archived in between
        set_visible_organizations([organization_id])
        yield


def _replay(
    organization: Organization, period: BillingPeriod, real: PriceSnapshot, supposed: PriceSnapshot
) -> tuple[Replay, int]:
    hours: list[Mapping[str, Any]] = list(
        UsageRollup.objects.for_organization(organization)
        .filter(period_id=period.pk)
        .values("hour", "applied_rate_id")
        .annotate(**{f"sum_{name}": Sum(name) for name in COUNTS})
        .order_by("hour")
    )
    rates = details_of(row["applied_rate_id"] for row in hours)
    replay = Replay(real=real, supposed=supposed, terms=price_book.terms_of(organization), rates=rates)
    undecided: dict[int, list[datetime]] = {}
    for row in hours:
        counts = {token_class: int(row[f"sum_{FIELD_OF[token_class]}"]) for token_class in TokenClass}
        rate_id, hour = row["applied_rate_id"], row["hour"]
        if not replay.add_hour(month=_month(period, hour), rate_id=rate_id, hour=hour, counts=counts):
            undecided.setdefault(rate_id, []).append(hour)
    events_read = sum(_add_calls(replay, period, rate_id, found) for rate_id, found in undecided.items())
    return replay, events_read


def _add_calls(replay: Replay, period: BillingPeriod, rate_id: int, hours: Sequence[datetime]) -> int:
    """Read the calls of these hours (oldest first) that were charged at the rate; returns how many."""
    number = 0
    for start, end in spans_of(hours[::-1]):
        wanted = Look(
            organization_id=period.organization_id,
            first=first_id_at(start),
            end=first_id_at(end),
            where=Q(period_id=period.pk, applied_rate_id=rate_id),
        )
        for at, *found in walk(wanted, "occurred_at", *COUNTS):
            counts: Counts = {token_class: count or 0 for token_class, count in zip(TokenClass, found, strict=True)}
            replay.add_call(
                month=_month(period, at),
                rate_id=rate_id,
                at=at,
                prompt_tokens=sum(counts[token_class] for token_class in PROMPT_CLASSES),
                counts=counts,
            )
            number += 1
    return number


def _month(period: BillingPeriod, at: datetime) -> date | None:
    """The month of service where it is not the period's own, as `usage_lines` names it."""
    if at >= period.starts_at:
        return None
    return at.astimezone(ZoneInfo(period.zone)).date().replace(day=1)


def sums_by_currency(simulations: Sequence[Simulation]) -> Mapping[str, tuple[Decimal, Decimal]]:
    """What all these customers would pay, before and after, VAT included, by currency."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for found in simulations:
        before, after = sums.get(found.organization.billing_currency, (ZERO, ZERO))
        sums[found.organization.billing_currency] = (
            EXACT.add(before, found.before.total),
            EXACT.add(after, found.after.total),
        )
    return sums
