"""Credit notes: the list, and one with what it takes back of each line and where the money went."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing.corrections.credit_note_queries import find_note, lines_of, refunds_of
from billing.corrections.refundable import left_to_refund
from billing.models import CreditNote, CreditNoteLine, Payment, Refund
from billing.processors import bank_transfer
from dashboard.access import organization_page
from dashboard.pages import page_links, page_of
from metering.token_labels import TOKEN_CLASSES
from pricing.tokens import TokenClass

TONES = {Refund.Status.SUCCEEDED: "good", Refund.Status.FAILED: "danger"}
WAYS = {bank_transfer.NAME: gettext_lazy("Bank transfer"), "stripe": gettext_lazy("Card")}
"""How money comes and goes, by processor."""


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A line and what is taken back of it, before tax."""

    line: CreditNoteLine

    @property
    def label(self) -> str | Promise:
        of = self.line.invoice_line
        return TOKEN_CLASSES[TokenClass(of.token_class)] if of.token_class else of.get_kind_display()


@dataclass(frozen=True, slots=True)
class RefundRow:
    """Money on its way back. A customer reads no more than that an attempt that failed is seen to."""

    refund: Refund

    @property
    def way(self) -> str:
        return way_of(self.refund)

    @property
    def tone(self) -> str:
        return TONES.get(Refund.Status(self.refund.status), "warning")

    @property
    def label(self) -> str | Promise:
        if self.refund.status in Refund.OPEN_STATUSES:
            return gettext_lazy("On its way")
        return Refund.Status(self.refund.status).label


def way_of(money: Payment | Refund) -> str:
    return str(WAYS.get(money.processor, money.processor))


def refund_rows(refunds: Sequence[Refund]) -> list[RefundRow]:
    return [RefundRow(refund) for refund in refunds]


@organization_page()
@require_safe
def credit_notes(request: HttpRequest) -> HttpResponse:
    found = CreditNote.objects.for_organization(request.organization).select_related("invoice")
    page = page_of(request, found.order_by("-issued_at", "-pk"))
    context = {"section": "invoices", "notes": list(page), **page_links(request, page)}
    return render(request, "dashboard/credit_notes.html", context)


@organization_page()
@require_safe
def credit_note(request: HttpRequest, note_id: UUID) -> HttpResponse:
    note = note_or_404(request.organization, note_id)
    context = {
        "section": "invoices",
        "note": note,
        "invoice": note.invoice,
        "currency": note.currency,
        "lines": [NoteLine(line) for line in lines_of(note)],
        "refunds": refund_rows(refunds_of(note)),
        "left_to_refund": left_to_refund(note),
    }
    return render(request, "dashboard/credit_note.html", context)


def note_or_404(organization: Organization, note_id: UUID) -> CreditNote:
    found = find_note(organization=organization, note_id=note_id)
    if found is None:
        raise Http404(note_id)
    return found
