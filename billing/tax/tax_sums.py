"""What the tax invoices of an invoice say together, and what they have to say. Everything here needs the tenant scope."""

from decimal import Decimal

from django.db.models import QuerySet, Sum

from billing.models import CreditNote, Invoice, TaxInvoice
from pricing.exact import ZERO, exact_sum
from pricing.totals import split_inclusive

OF_INVOICE = "invoice:"
"""How the occasion begins of a sheet that an invoice below zero brings; its id follows."""
ISSUED_TWICE = "issued_twice"
"""The occasion of the sheet that takes ours back because another one stands elsewhere."""


def left_to_prove(invoice: Invoice, *, by_card: Decimal) -> tuple[Decimal, Decimal]:
    """Supply and tax of the invoice, less what credit notes took back and less what card slips prove."""
    notes = CreditNote.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    back = notes.aggregate(supply=Sum("subtotal"), tax=Sum("tax"))
    supply = exact_sum((invoice.subtotal, -(back["supply"] or ZERO)))
    tax = exact_sum((invoice.tax, -(back["tax"] or ZERO)))
    if not by_card:
        return supply, tax
    rest = max(ZERO, exact_sum((supply, tax, by_card.copy_negate())))
    return split_inclusive(rest, tax_rate=invoice.tax_rate, currency=invoice.currency)


def standing(invoice: Invoice) -> tuple[Decimal, Decimal]:
    """Supply and tax that the sheets leave standing once all are issued."""
    rows = TaxInvoice.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    sums = rows.exclude(status__in=TaxInvoice.ENDED).aggregate(supply=Sum("supply"), tax=Sum("tax"))
    return sums["supply"] or ZERO, sums["tax"] or ZERO


def sheets_for(invoice: Invoice) -> QuerySet[TaxInvoice]:
    """Amendments of earlier tax invoices that an invoice below zero has brought, and what was said of them anew."""
    rows = TaxInvoice.objects.for_organization(invoice.organization_id)
    return rows.filter(occasion__startswith=f"{OF_INVOICE}{invoice.pk}")


def missing(invoice: Invoice) -> Decimal:
    """By how much the sheets say too little, or below zero too much: tax included."""
    return exact_sum((_wanted(invoice), *(amount.copy_negate() for amount in standing(invoice))))


def _wanted(invoice: Invoice) -> Decimal:
    """Nothing where the supply is no more, or proven by a tax invoice that was issued elsewhere."""
    rows = TaxInvoice.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    elsewhere = rows.exclude(status__in=TaxInvoice.ENDED).filter(occasion__startswith=ISSUED_TWICE)
    if invoice.status == Invoice.Status.VOID or elsewhere.exists():
        return ZERO
    later = rows.filter(occasion__startswith=OF_INVOICE, replaced_by=None).exclude(status=TaxInvoice.Status.DROPPED)
    taken_back = later.aggregate(total=Sum("total"))["total"] or ZERO
    return max(ZERO, exact_sum((*left_to_prove(invoice, by_card=invoice.proof.by_card), taken_back)))
