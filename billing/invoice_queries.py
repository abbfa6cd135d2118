"""Invoices as their readers open them: the list, the lines with where their prices come from, and the requests behind a line.

For the dashboard and the REST API. Every function needs the organization's tenant scope.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from itertools import groupby
from operator import or_
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import F, Q, QuerySet

from accounts.models import Organization
from billing.line_notes import notes_of
from billing.models import Invoice, InvoiceLine, Payment
from billing.period_charges import formulas_of
from billing.processors import bank_transfer
from catalog.rate_details import RateDetails, details_of
from ledger.event_ids import first_id_at, moment_of
from metering.models import UsageEvent, UsageRollup
from metering.receipts import usage_of
from metering.stored_events import Look, look
from pricing.conditions import LineKind
from pricing.exact import exact_product, exact_sum
from pricing.tokens import FIELD_OF, PIECE_CLASSES, TokenClass

HOUR = timedelta(hours=1)
HOURS_AT_ONCE = 48
TOKENS_PER_PRICE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedLine:
    """A line of usage with its rate. `line.quantity` × `line.unit_price` = `line.exact_amount`; `line.amount` is rounded."""

    line: InvoiceLine
    rate_id: int
    rate: RateDetails

    @property
    def token_class(self) -> TokenClass:
        return TokenClass(self.line.token_class)

    @property
    def quantity(self) -> int:
        return int(self.line.quantity)

    @property
    def price_per_million(self) -> Decimal | None:
        """None for what is counted in pieces: images, searches, requests."""
        return None if self.token_class in PIECE_CLASSES else exact_product(self.line.unit_price, TOKENS_PER_PRICE)

    @property
    def formula(self) -> str:
        """The exact amount as a product that anybody can work out."""
        return self.rate.formula([(self.token_class, self.quantity)])


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedLine:
    """A line without usage; `formula` gives its exact amount."""

    line: InvoiceLine
    formula: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one request put into a line: so many tokens (or pieces) of its class, at `amount`, exact and before tax."""

    event: UsageEvent
    quantity: int
    amount: Decimal


def invoices_of(
    *,
    organization: Organization,
    limit: int,
    status: str | None = None,
    before: tuple[datetime, UUID] | None = None,
) -> list[Invoice]:
    """Up to `limit` invoices, newest first, from after the position (finalized_at, id) on."""
    invoices = Invoice.objects.for_organization(organization).select_related("period", "proof")
    if status is not None:
        invoices = invoices.filter(status=status)
    if before is not None:
        at, last = before
        invoices = invoices.filter(Q(finalized_at__lt=at) | Q(finalized_at=at, pk__lt=last))
    return list(invoices.order_by("-finalized_at", "-pk")[:limit])


def find_invoice(*, organization: Organization, invoice_id: UUID) -> Invoice | None:
    """The organization's invoice of that id, with its period."""
    invoices = Invoice.objects.for_organization(organization).select_related("period", "organization", "terms", "proof")
    return invoices.filter(pk=invoice_id).first()


def unpaid_invoices(*, organization: Organization) -> list[Invoice]:
    """Invoices that wait for money, the one that is due first on top."""
    invoices = Invoice.objects.for_organization(organization).filter(status=Invoice.Status.OPEN)
    return list(invoices.select_related("period").order_by("due_on", "finalized_at"))


def is_overdue(invoice: Invoice, *, now: datetime) -> bool:
    """Open after its due date, in the zone of its period."""
    today = now.astimezone(ZoneInfo(invoice.period.zone)).date()
    return invoice.status == Invoice.Status.OPEN and invoice.due_on < today


def payments_of(invoice: Invoice) -> list[Payment]:
    """Every attempt to pay the invoice, the newest first."""
    payments = Payment.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    return list(payments.order_by("-created_at", "-pk"))


def card_payments_of(invoice: Invoice) -> list[Payment]:
    """The payments by card that came in, whose slips prove the supply, the first one first."""
    return [
        payment
        for payment in reversed(payments_of(invoice))
        if payment.status == Payment.Status.SUCCEEDED and payment.processor != bank_transfer.NAME
    ]


def priced_lines(invoice: Invoice) -> list[PricedLine]:
    """The lines of usage in the order of their positions, with their rates in one query."""
    lines = InvoiceLine.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    return _priced(lines.order_by("position"))


def agreed_lines(invoice: Invoice) -> list[AgreedLine]:
    """The lines without usage, which follow those with: a discount, a minimum fee."""
    lines = InvoiceLine.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    rows = list(lines.exclude(kind=InvoiceLine.Kind.USAGE).order_by("position"))
    if not rows:
        return []
    usage = exact_sum((invoice.exact_subtotal, *(-row.exact_amount for row in rows)))
    formulas = formulas_of(invoice, usage)
    return [AgreedLine(line=row, formula=formulas[LineKind(row.kind)]) for row in rows]


def notes_of_lines(lines: Sequence[PricedLine], *, language: str, zone: ZoneInfo) -> list[str]:
    """What tells the price of each of an invoice's lines from the model's other ones."""
    keys = [(priced.line.service_month, priced.rate_id) for priced in lines]
    rates = {priced.rate_id: priced.rate for priced in lines}
    notes = notes_of(keys, rates, language=language, zone=zone)
    return [notes[key] for key in keys]


def find_line(invoice: Invoice, position: int) -> PricedLine | None:
    """The line of usage at `position`, counted from 1."""
    lines = InvoiceLine.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    return next(iter(_priced(lines.filter(position=position))), None)


def shares_of(*, invoice: Invoice, priced: PricedLine, limit: int, before: UUID | None = None) -> list[Share]:
    """Up to `limit` requests behind a line, newest first, older than the event `before`. All of them add up to the line, exactly.

    The hourly rollups tell in which hours there were any, so a rare price is found without reading the month's other events.
    """
    found: list[UsageEvent] = []
    hours = _hours_of(invoice, priced, before=before)
    for start in range(0, len(hours), HOURS_AT_ONCE):
        asked = _events_in(hours[start : start + HOURS_AT_ONCE], invoice, priced)
        asked = asked if before is None else asked.before(before)
        found += look(asked, limit=limit - len(found), newest_first=True)
        if len(found) >= limit:
            break
    return [_share(event, priced) for event in found]


def _priced(lines: QuerySet[InvoiceLine]) -> list[PricedLine]:
    rows = [(line, line.applied_rate_id) for line in lines.filter(kind=InvoiceLine.Kind.USAGE)]
    rates = details_of(rate_id for _line, rate_id in rows if rate_id is not None)
    return [
        PricedLine(line=line, rate_id=rate_id, rate=rates[rate_id]) for line, rate_id in rows if rate_id is not None
    ]


def _hours_of(invoice: Invoice, priced: PricedLine, *, before: UUID | None) -> list[datetime]:
    """The hours in which something was charged at the line's rate, newest first; only those that can hold what is `before`."""
    rollups = UsageRollup.objects.for_organization(invoice.organization_id).filter(
        period_id=invoice.period_id, applied_rate_id=priced.rate_id
    )
    line = priced.line
    if line.service_month is None:
        rollups = rollups.filter(hour__gte=invoice.period.starts_at)
    else:
        start, end = _month(line.service_month, ZoneInfo(invoice.period.zone))
        rollups = rollups.filter(hour__gte=start, hour__lt=min(end, invoice.period.starts_at))
    if before is not None:
        rollups = rollups.filter(hour__lte=moment_of(before))
    return list(rollups.order_by("-hour").values_list("hour", flat=True).distinct())


def _month(first: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    following = (first + timedelta(days=31)).replace(day=1)
    return datetime.combine(first, time(), zone), datetime.combine(following, time(), zone)


def _events_in(hours: Sequence[datetime], invoice: Invoice, priced: PricedLine) -> Look:
    spans = [Q(id__gte=first_id_at(start), id__lt=first_id_at(end)) for start, end in spans_of(hours)]
    return Look(
        organization_id=invoice.organization_id,
        first=first_id_at(hours[-1]),
        end=first_id_at(hours[0] + HOUR),
        where=reduce(or_, spans)
        & Q(period_id=invoice.period_id, applied_rate_id=priced.rate_id)
        & _counted(priced.token_class),
    )


def _counted(token_class: TokenClass) -> Q:
    """Events that put anything into a line of the class: reasoning, which is inside output, has lines of its own."""
    name = FIELD_OF[token_class]
    known = Q(**{f"{name}__isnull": False})
    if token_class is not TokenClass.OUTPUT:
        return known & ~Q(**{name: 0})
    all_reasoning = Q(reasoning_tokens__isnull=False, **{name: F("reasoning_tokens")})
    return known & ~Q(reasoning_tokens=None, **{name: 0}) & ~all_reasoning


def spans_of(hours: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Neighbouring hours (newest first) as one span [start, end)."""
    for _key, group in groupby(enumerate(hours), key=lambda row: row[1] + row[0] * HOUR):
        run = [hour for _number, hour in group]
        yield run[-1], run[0] + HOUR


def _share(event: UsageEvent, priced: PricedLine) -> Share:
    quantity = dict(usage_of(event).billable_quantities())[priced.token_class]
    return Share(event=event, quantity=quantity, amount=exact_product(quantity, priced.line.unit_price))
