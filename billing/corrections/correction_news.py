"""The billing contact hears of a credit note or a refund by mail, the organization's programs by a webhook; both in the transaction
of what they tell.
"""

from datetime import datetime
from typing import Any

from billing.buyers import billing_profile, buyer_details
from billing.mail import mails
from billing.models import CreditNote, CreditPayout, Notice, OutboxMail, Refund
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
    origin, key = refund.origin, str(refund.pk)
    context = {"amount": plain(refund.amount), "processor": refund.processor}
    data = {"refund": key, "amount": plain(refund.amount), "processor": refund.processor}
    if isinstance(origin, CreditNote):
        _mail(OutboxMail.Kind.REFUND, origin, key=key, now=now, context=context)
        _tell(Notice.Kind.REFUND_SUCCEEDED, origin, key=key, data=_of_note(origin) | data, now=now)
        return
    organization = origin.organization
    recipient = buyer_details(organization, billing_profile(organization))["contact_email"]
    if recipient:
        mails.enqueue(
            kind=OutboxMail.Kind.REFUND,
            key=f"{OutboxMail.Kind.REFUND}:{key}",
            organization=organization,
            recipient=recipient,
            language=organization.language,
            context={"credit_payout": str(origin.pk), "currency": origin.currency} | context,
            now=now,
        )
    of_payout = {"credit_refund": str(origin.pk), "currency": origin.currency}
    _tell(Notice.Kind.REFUND_SUCCEEDED, origin, key=key, data=of_payout | data, now=now)


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


def _tell(kind: str, origin: CreditNote | CreditPayout, *, key: str, data: dict[str, Any], now: datetime) -> None:
    tell_endpoints(organization=origin.organization, kind=kind, key=f"{kind}:{key}", data=data, now=now)
