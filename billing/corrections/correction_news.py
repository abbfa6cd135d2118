"""The billing contact hears of a credit note or a refund by mail, the organization's programs by a webhook; both in the transaction
of what they tell.
"""

from datetime import datetime
from typing import Any

from billing.mail import mails
from billing.models import CreditNote, Notice, OutboxMail, Refund
from billing.notifications.notices import tell_endpoints
from pricing.plain_text import plain


def note_issued(note: CreditNote, *, now: datetime) -> None:
    """Once for each note."""
    _mail(OutboxMail.Kind.CREDIT_NOTE, note, key=str(note.pk), now=now, context={})
    data = _of_note(note) | {
        name: plain(getattr(note, name))
        for name in ("subtotal", "tax", "total", "applied", "to_credit", "to_refund", "credit_returned")
    }
    data |= {"reason_code": note.reason_code, "reason": note.reason}
    _tell(Notice.Kind.CREDIT_NOTE_ISSUED, note, key=str(note.pk), data=data, now=now)


def refund_made(refund: Refund, *, now: datetime) -> None:
    """Once for each refund, when its money has left us."""
    note = refund.credit_note
    context = {"amount": plain(refund.amount), "processor": refund.processor}
    _mail(OutboxMail.Kind.REFUND, note, key=str(refund.pk), now=now, context=context)
    data = _of_note(note) | {"refund": str(refund.pk), "amount": plain(refund.amount), "processor": refund.processor}
    _tell(Notice.Kind.REFUND_SUCCEEDED, note, key=str(refund.pk), data=data, now=now)


def _of_note(note: CreditNote) -> dict[str, str]:
    return {
        "credit_note": str(note.pk),
        "number": note.number,
        "invoice": str(note.invoice_id),
        "invoice_number": note.invoice.number,
        "currency": note.currency,
    }


def _mail(kind: str, note: CreditNote, *, key: str, now: datetime, context: dict[str, str]) -> None:
    recipient = note.buyer.get("contact_email", "")
    if not recipient:
        return
    mails.enqueue(
        kind=kind,
        key=f"{kind}:{key}",
        organization=note.organization,
        recipient=recipient,
        language=note.language,
        invoice=note.invoice,
        context={"credit_note": str(note.pk)} | context,
        now=now,
    )


def _tell(kind: str, note: CreditNote, *, key: str, data: dict[str, Any], now: datetime) -> None:
    tell_endpoints(organization=note.organization, kind=kind, key=f"{kind}:{key}", data=data, now=now)
