"""What voiding an invoice, and issuing it anew, means for its tax invoice: for an operator to read before either is done."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from billing.buyers import read_buyer
from billing.models import Invoice, SupplyProof, TaxInvoice
from billing.tax.korean_calendar import day_in_seoul, issue_deadline
from billing.tax.proofs import pays_by_card, proof_of, without_card
from billing.tax.tax_planning import correctable, original_of


class Prospect(StrEnum):
    """NONE: no tax invoice is concerned. IN_TIME: canceled, or issued, as the law wants it. CORRECTED: what was issued is amended.
    LATE: another one would be issued after its deadline, which is penalised (지연발급 가산세)."""

    NONE = "none"
    IN_TIME = "in_time"
    CORRECTED = "corrected"
    LATE = "late"


def deadline_of(invoice: Invoice) -> date:
    """The last day for an original of the invoice's month."""
    return issue_deadline(invoice.written_on)


def if_voided(invoice: Invoice, *, now: datetime) -> Prospect:
    """What an invoice that takes its place would bring. Needs the scope."""
    if proof_of(invoice) != SupplyProof.Kind.TAX_INVOICE or invoice.total <= 0:
        return Prospect.NONE
    if day_in_seoul(now) <= deadline_of(invoice):
        return Prospect.IN_TIME
    original = original_of(invoice)
    was_issued = original is not None and original.status in TaxInvoice.WITH_PROVIDER
    return Prospect.CORRECTED if was_issued else Prospect.LATE


def if_issued_anew(voided: Invoice, *, total: Decimal, now: datetime) -> Prospect:
    """What the invoice in a voided one's place will bring, with today's details of its buyer. Needs the scope."""
    buyer = read_buyer(voided.organization)
    planned = Invoice(
        organization_id=voided.organization_id,
        period_id=voided.period_id,
        currency=voided.organization.billing_currency,
        tax_treatment=buyer.profile.tax_treatment,
        buyer=buyer.details(),
        written_on=voided.written_on,
        total=total,
        amount_due=total,
    )
    if without_card(planned) != SupplyProof.Kind.TAX_INVOICE or pays_by_card(planned, buyer):
        return Prospect.NONE
    if day_in_seoul(now) <= deadline_of(planned):
        return Prospect.IN_TIME
    return Prospect.CORRECTED if correctable(planned, now=now) else Prospect.LATE
