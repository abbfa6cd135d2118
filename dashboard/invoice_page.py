"""One invoice: what is owed and why – amounts, parties, and lines that open to their formula and to the requests behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from accounts.models import ApiKey, Organization
from billing import invoice_queries
from billing.cards.automatic import announced
from billing.corrections.credit_note_queries import notes_of, refunds_of
from billing.corrections.refundable import left_to_refund
from billing.invoice_queries import PricedLine, Share
from billing.models import Invoice, Payment
from billing.papers import evidence_files
from billing.papers.document_content import service_days
from billing.payments.payment_states import PaymentState, payment_state
from billing.rest.payments_api import ROLES_THAT_PAY
from billing.rest.proof_answers import proof_shown, sheets_of
from billing.settlement import outstanding, recoverable
from billing.tax.card_windows import card_window
from billing.tax.korean_calendar import day_in_seoul
from dashboard.access import may, organization_page
from dashboard.agreed_lines import AgreedRow
from dashboard.credit_notes import refund_rows, way_of
from dashboard.download_links import download_links
from dashboard.formulas import FormulaLine, formula_lines
from dashboard.invoice_payment import state_of_paying
from dashboard.rate_sources import source_name
from dashboard.requests import asked_cursor
from dashboard.time_ranges import address
from metering.token_labels import TOKEN_CLASSES
from pricing.conditions import LineKind
from pricing.exact import EXACT, ZERO, exact_sum
from pricing.rating import RatedLine

SHARES = 25


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line as the page shows it; `note` tells its price from that of the model's other lines."""

    priced: PricedLine
    note: str

    @property
    def token_label(self) -> Promise:
        return TOKEN_CLASSES[self.priced.token_class]

    @property
    def formula(self) -> FormulaLine | None:
        """None for pieces without a price, which are no lines."""
        line, rate = self.priced.line, self.priced.rate
        rated = RatedLine(self.priced.token_class, self.priced.quantity, line.unit_price, line.exact_amount)
        return next(iter(formula_lines([rated], rate)), None)


@dataclass(frozen=True, slots=True)
class LineGroup:
    """Neighbouring lines of one model and service month; `amount` is what they add up to, rounded as they are."""

    rows: Sequence[LineRow]

    @property
    def first(self) -> PricedLine:
        return self.rows[0].priced

    @property
    def amount(self) -> Decimal:
        return exact_sum(row.priced.line.amount for row in self.rows)


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A request behind a line, with the name of its key."""

    share: Share
    key: ApiKey | None


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """An attempt to pay, how it was made, and what became of it."""

    payment: Payment
    way: str
    state: PaymentState


@organization_page()
@require_safe
def invoice(request: HttpRequest, invoice_id: UUID) -> HttpResponse:
    found, now = invoice_or_404(request.organization, invoice_id), timezone.now()
    first_day, last_day = service_days(found)
    payments = invoice_queries.payments_of(found)
    left, given_up, notes = outstanding(found), recoverable(found), notes_of(found)
    noted = exact_sum(note.applied for note in notes)
    context = {
        "section": "invoices",
        "invoice": found,
        "currency": found.currency,
        "first_day": first_day,
        "last_day": last_day,
        "is_overdue": invoice_queries.is_overdue(found, now=now),
        "groups": groups_of(rows_of(found)),
        "evidence": evidence_files.noted_evidence(found),
        "agreed": [
            AgreedRow(LineKind(agreed.line.kind), agreed.formula, agreed.line.exact_amount, agreed.line.amount)
            for agreed in invoice_queries.agreed_lines(found)
        ],
        "downloads": download_links("invoice_export", request.organization.slug, found.pk),
        "rates": [
            (rate, Decimal(rate["rate"]), source_name(rate["source"]), date.fromisoformat(rate["published_on"]))
            for rate in found.exchange_rates
        ],
        "outstanding": left,
        "proof": proof_shown(found),
        "sheets": sheets_of(found),
        "slips": invoice_queries.card_payments_of(found),
        "today": day_in_seoul(now),
        "card_window": card_window(found),
        "credit_given": max(-found.credit_applied, ZERO),
        "notes": notes,
        "noted": noted,
        "left_to_refund": exact_sum(left_to_refund(note) for note in notes),
        "refunds": refund_rows(refunds_of(found)),
        "given_up": given_up,
        "settled": max(EXACT.subtract(found.amount_due, exact_sum((left, given_up, noted))), ZERO),
        "may_pay": may(request, ROLES_THAT_PAY),
        "announced": announced(found),
        "payments": [PaymentRow(payment, way_of(payment), payment_state(payment, now=now)) for payment in payments],
        **state_of_paying(found, payments, back=request.GET.get("payment", "")),
    }
    return render(request, "dashboard/invoice.html", context)


@organization_page()
@require_safe
def line(request: HttpRequest, invoice_id: UUID, position: int) -> HttpResponse:
    """The requests behind a line, from the newest on: a part of the invoice's page, or a page of its own without scripts."""
    found = invoice_or_404(request.organization, invoice_id)
    row = next((row for row in rows_of(found) if row.priced.line.position == position), None)
    if row is None:
        raise Http404(position)
    before = asked_cursor(request)
    shares = invoice_queries.shares_of(invoice=found, priced=row.priced, limit=SHARES + 1, before=before)
    shown, more = shares[:SHARES], len(shares) > SHARES
    context = {
        "section": "invoices",
        "invoice": found,
        "currency": found.currency,
        "row": row,
        "shares": share_rows(request.organization, shown),
        "newest_url": "?" if before else "",
        "older_url": address(before=str(shown[-1].event.id)) if more else "",
        "downloads": download_links("invoice_line_export", request.organization.slug, found.pk, position),
    }
    return render(
        request, "dashboard/invoice_requests.html" if request.htmx else "dashboard/invoice_line.html", context
    )


def rows_of(invoice: Invoice) -> list[LineRow]:
    """The invoice's lines, their notes in the language of the reader."""
    lines = invoice_queries.priced_lines(invoice)
    zone = ZoneInfo(invoice.period.zone)
    notes = invoice_queries.notes_of_lines(lines, language=get_language() or "", zone=zone)
    return [LineRow(priced, note) for priced, note in zip(lines, notes, strict=True)]


def groups_of(rows: Sequence[LineRow]) -> list[LineGroup]:
    groups = groupby(rows, key=lambda row: (row.priced.line.model, row.priced.line.service_month))
    return [LineGroup(list(group)) for _key, group in groups]


def invoice_or_404(organization: Organization, invoice_id: UUID) -> Invoice:
    found = invoice_queries.find_invoice(organization=organization, invoice_id=invoice_id)
    if found is None:
        raise Http404(invoice_id)
    return found


def share_rows(organization: Organization, shares: Sequence[Share]) -> list[ShareRow]:
    used = {share.event.api_key_id for share in shares if share.event.api_key_id}
    keys = ApiKey.objects.for_organization(organization).in_bulk(used)
    return [ShareRow(share, keys.get(share.event.api_key_id)) for share in shares]
