"""Credit notes and refunds, of unused credit, too, as their readers open them, for the dashboard and the REST API.

Every function needs the organization's tenant scope.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from accounts.models import Organization
from billing.corrections.refundable import left_to_refund
from billing.models import CreditNote, CreditNoteLine, CreditPayout, Invoice, Refund
from pricing.exact import exact_sum


def notes_of_organization(
    *,
    organization: Organization,
    limit: int,
    invoice_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
) -> list[CreditNote]:
    """Up to `limit` notes, newest first, from after the position (issued_at, id) on; of one invoice, if asked for."""
    notes = CreditNote.objects.for_organization(organization).select_related("invoice")
    if invoice_id is not None:
        notes = notes.filter(invoice_id=invoice_id)
    if before is not None:
        at, last = before
        notes = notes.filter(Q(issued_at__lt=at) | Q(issued_at=at, pk__lt=last))
    return list(notes.order_by("-issued_at", "-pk")[:limit])


def notes_of(invoice: Invoice) -> list[CreditNote]:
    """The notes on an invoice, the oldest first."""
    notes = CreditNote.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    return list(notes.select_related("invoice").order_by("issued_at", "sequence"))


def find_note(*, organization: Organization, note_id: UUID) -> CreditNote | None:
    """The organization's note of that id, with its invoice."""
    notes = CreditNote.objects.for_organization(organization).select_related("invoice__period", "organization")
    return notes.filter(pk=note_id).first()


def lines_of(note: CreditNote) -> list[CreditNoteLine]:
    """What a note takes back of each line, in the order of the invoice."""
    lines = CreditNoteLine.objects.for_organization(note.organization_id).filter(credit_note=note)
    return list(lines.select_related("invoice_line").order_by("invoice_line__position"))


def refunds_of(subject: CreditNote | Invoice) -> list[Refund]:
    """What was sent back of a note, or of all notes on an invoice, the newest first; failed attempts among them."""
    refunds = Refund.objects.for_organization(subject.organization_id).select_related("credit_note")
    mine = Q(credit_note=subject) if isinstance(subject, CreditNote) else Q(credit_note__invoice=subject)
    return list(refunds.filter(mine).order_by("-created_at", "-pk"))


def refunds_of_credit(organization: Organization, *, limit: int) -> list[Refund]:
    """What was sent back of unused credit, the newest first; failed attempts among them."""
    refunds = Refund.objects.for_organization(organization).exclude(credit_payout=None)
    return list(refunds.order_by("-created_at", "-pk")[:limit])


def to_refund_of_credit(organization: Organization) -> Decimal:
    """What was taken out of credit and nobody has sent back, or is sending back."""
    payouts = CreditPayout.objects.for_organization(organization).select_related("credit_use")
    return exact_sum(left_to_refund(payout) for payout in payouts)
