"""Money: what was invoiced and what will be – each period that is not invoiced yet, as its invoice would look now – and what is
left to spend.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from billing.estimates import PeriodEstimate, open_periods
from billing.invoice_queries import is_overdue
from billing.mail.bounces import bouncing_contact
from billing.models import CreditNote, Invoice
from billing.papers.document_content import service_days
from billing.settlement import outstanding_by_invoice
from billing.standing import standing_of
from billing.usage_lines import UsageLine, notes_of_usage
from dashboard.access import organization_page
from dashboard.agreed_lines import AgreedRow
from dashboard.formulas import FormulaLine, formula_lines
from dashboard.pages import page_links, page_of
from ledger.credit_expiry import balance_at
from ledger.credit_standing import credit_standings
from metering.token_labels import TOKEN_CLASSES
from pricing.exact import exact_sum
from pricing.rating import RatedLine

SHOWN_CREDITS = 12


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A line of the period so far; `rounded` is its share of the rounded supply value, `note` tells it from its like."""

    line: UsageLine
    rounded: Decimal
    note: str

    @property
    def token_label(self) -> Promise:
        return TOKEN_CLASSES[self.line.token_class]

    @property
    def formula(self) -> FormulaLine:
        line = self.line
        rated = RatedLine(line.token_class, line.quantity, line.unit_price, line.amount)
        return formula_lines([rated], line.rate)[0]


@dataclass(frozen=True, slots=True)
class DraftGroup:
    """Neighbouring lines of one model and service month; `amount` is what they add up to, rounded as they are."""

    rows: Sequence[DraftLine]

    @property
    def first(self) -> UsageLine:
        return self.rows[0].line

    @property
    def amount(self) -> Decimal:
        return exact_sum(row.rounded for row in self.rows)


@dataclass(frozen=True, slots=True)
class Draft:
    """A period as its invoice would look if it ended now. `last_day` is its last day, as people name a month's end."""

    period: PeriodEstimate
    last_day: date
    groups: Sequence[DraftGroup]
    agreed: Sequence[AgreedRow]


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice as lists name it; `first_day` to `last_day` is its period, `outstanding` what is still to be paid."""

    invoice: Invoice
    first_day: date
    last_day: date
    is_overdue: bool
    outstanding: Decimal


@organization_page()
@require_safe
def invoices(request: HttpRequest) -> HttpResponse:
    organization, now = request.organization, timezone.now()
    balance = balance_at(organization, now=now)
    periods = open_periods(organization=organization, now=now)
    issued = Invoice.objects.for_organization(organization).select_related("period")
    page = page_of(request, issued.order_by("-finalized_at", "-pk"))
    context = {
        "section": "invoices",
        "bouncing": bouncing_contact(organization),
        "currency": organization.billing_currency,
        "tax_rate": balance.tax_rate,
        "standing": standing_of(balance, periods),
        "drafts": [
            draft_of(period, zone=ZoneInfo(organization.zone))
            for period in reversed(periods)
            if period.ends_at <= now or not organization.has_ended
        ],
        "invoices": rows_of(page, now=now),
        "has_credit_notes": CreditNote.objects.for_organization(organization).exists(),
        "credits": credit_standings(organization, now=now)[:SHOWN_CREDITS],
        **page_links(request, page),
    }
    return render(request, "dashboard/invoices.html", context)


def rows_of(invoices: Iterable[Invoice], *, now: datetime) -> list[InvoiceRow]:
    found = list(invoices)
    left = outstanding_by_invoice(found)
    return [
        InvoiceRow(invoice, *service_days(invoice), is_overdue(invoice, now=now), left[invoice.pk]) for invoice in found
    ]


def draft_of(period: PeriodEstimate, *, zone: ZoneInfo) -> Draft:
    last_day = (period.ends_at - timedelta(microseconds=1)).astimezone(zone).date()
    notes = notes_of_usage(period.lines, language=get_language() or "", zone=zone)
    rows = [DraftLine(*row) for row in zip(period.lines, period.rounded_lines, notes, strict=True)]
    groups = groupby(rows, key=lambda row: (row.line.rate.model, row.line.service_month))
    agreed = [AgreedRow(line.kind, line.formula, line.amount, line.rounded) for line in period.agreed]
    return Draft(period, last_day, [DraftGroup(list(group)) for _key, group in groups], agreed)
