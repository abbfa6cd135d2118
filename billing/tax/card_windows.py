"""Why and until when an open invoice can be paid by card, for its customer to read: both follow from its proof, see `proofs`."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings

from billing.models import Invoice, SupplyProof, TaxInvoice
from billing.tax.korean_calendar import issue_deadline
from billing.tax.proofs import may_pay_by_card, proof_of, without_card
from billing.tax.tax_planning import original_of

Kind = SupplyProof.Kind
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardWindow:
    """`last_day` of cards while they are possible; else the moment at which the tax invoice was asked for, or that a transfer came
    in for the invoice. Nothing of it where no tax invoice is in the way."""

    last_day: date | None = None
    ended_at: datetime | None = None
    by_transfer: bool = False


def card_window(invoice: Invoice) -> CardWindow:
    """Needs the tenant scope. On its last day, a card that has not paid gives way to a tax invoice: `proofs.give_up_on_cards`."""
    kind = proof_of(invoice)
    if kind == Kind.CARD_SLIP and settings.TAX_INVOICE_FOR_UNPAID_CARD and without_card(invoice) == Kind.TAX_INVOICE:
        return CardWindow(last_day=issue_deadline(invoice.written_on) - DAY)
    if kind != Kind.TAX_INVOICE:
        return CardWindow()
    original = original_of(invoice)
    if may_pay_by_card(invoice):
        waits = original is not None and original.status == TaxInvoice.Status.PLANNED
        return CardWindow(last_day=original.issue_from - DAY if original and waits else None)
    asked = original is not None and original.status in TaxInvoice.WITH_PROVIDER
    return CardWindow(ended_at=original.requested_at if original and asked else None, by_transfer=not asked)
