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
    _mail(OutboxMail.Kind.REFUND, origin, key=key, now=now, context=context)
    about = _of_note(origin) if isinstance(origin, CreditNote) else _of_payout(origin)
    _tell(Notice.Kind.REFUND_SUCCEEDED, origin, key=key, data=about | {"refund": key} | context, now=now)


def _of_note(note: CreditNote) -> dict[str, str]:
    return {
        "credit_note": str(note.pk),
        "number": note.number,
        "invoice": str(note.invoice_id),
        "invoice_number": note.invoice.number,
        "currency": note.currency,
    }


def _of_payout(payout: CreditPayout) -> dict[str, str]:
    return {"credit_refund": str(payout.pk), "currency": payout.currency}


def _mail(kind: str, origin: CreditNote | CreditPayout, *, key: str, now: datetime, context: dict[str, str]) -> None:
    """To the buyer as a note names them, or to the billing contact of today."""
    organization = origin.organization
    if isinstance(origin, CreditNote):
        recipient, language = origin.buyer.get("contact_email", ""), origin.language
        invoice, about = origin.invoice, {"credit_note": str(origin.pk)}
    else:
        recipient = buyer_details(organization, billing_profile(organization))["contact_email"]
        invoice, language = None, organization.language
        about = {"credit_payout": str(origin.pk), "currency": origin.currency}
    if recipient:
        mails.enqueue(
            kind=kind,
            key=f"{kind}:{key}",
            organization=organization,
            recipient=recipient,
            language=language,
            invoice=invoice,
            context=about | context,
            now=now,
        )


def _tell(kind: str, origin: CreditNote | CreditPayout, *, key: str, data: dict[str, Any], now: datetime) -> None:
    tell_endpoints(organization=origin.organization, kind=kind, key=f"{kind}:{key}", data=data, now=now)
