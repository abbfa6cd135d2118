"""What an invoice charged for calls that their reporters took back afterwards: a later month gives it back, so no note does."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from zoneinfo import ZoneInfo

from billing.models import Invoice, InvoiceLine
from billing.period_charges import conditions_of_invoice
from catalog.rate_details import details_of
from ledger.models import BillingPeriod
from metering.credited_usage import taken_back_since
from metering.receipts import usage_of
from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum
from pricing.totals import MINOR_UNITS

LineKey = tuple[int | None, str, date | None]
"""Applied rate, token class, and the month of service if it is not the period's own: what makes a line of usage."""


def key_of_line(line: InvoiceLine) -> LineKey:
    return line.applied_rate_id, line.token_class, line.service_month


def service_month(period: BillingPeriod, at: datetime) -> date | None:
    """The first day of the month in which something occurred, if it came too late for the invoice of that month."""
    return at.astimezone(ZoneInfo(period.zone)).date().replace(day=1) if at < period.starts_at else None


def taken_back_of_lines(invoice: Invoice, lines: Iterable[InvoiceLine]) -> dict[int, Decimal]:
    """By the line's primary key, before tax, in whole minor units and no more than the line.

    The discount on it goes with it: the later month has its own. Exact while the period is held. Needs the tenant scope.
    """
    exact = _charged(invoice)
    if not exact:
        return {}
    discount = exact_product(EXACT.minus(exact_sum(exact.values())), conditions_of_invoice(invoice).discount)
    unit = ONE.scaleb(-MINOR_UNITS[invoice.currency])
    found = {}
    for line in lines:
        if line.kind == InvoiceLine.Kind.DISCOUNT:
            found[line.pk] = max(discount.quantize(unit, rounding=ROUND_DOWN), line.amount)
        elif line.kind == InvoiceLine.Kind.USAGE and line.amount > ZERO:
            found[line.pk] = min(exact.get(key_of_line(line), ZERO).quantize(unit, rounding=ROUND_UP), line.amount)
    return {line_id: amount for line_id, amount in found.items() if amount}


def _charged(invoice: Invoice) -> Mapping[LineKey, Decimal]:
    events = taken_back_since(invoice.period)
    rates = details_of({event.applied_rate_id for event in events})
    found: dict[LineKey, Decimal] = {}
    for event in events:
        late = service_month(invoice.period, event.occurred_at)
        for token_class, quantity in usage_of(event).billable_quantities():
            key = (event.applied_rate_id, token_class.value, late)
            amount = exact_product(quantity, rates[event.applied_rate_id].unit_prices[token_class])
            found[key] = EXACT.add(found.get(key, ZERO), amount)
    return found
