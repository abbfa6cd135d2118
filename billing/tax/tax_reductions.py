"""A month that comes to less than nothing – earlier usage was taken back in it – takes back what earlier tax invoices said of it.

A negative invoice has no tax invoice of its own (one is above zero). What it takes back changes the supply value of earlier
supplies, so their tax invoices are amended (02, 부가가치세법 시행령 제70조 제1항 제3호), dated as the invoice: those of the months
whose usage was taken back first, then the newest, each by no more than still stands of it. What no tax invoice says – card slips
prove it, or nothing – is kept in the proof's `by_card`. Everything here needs the tenant scope, and the balance, locked.
"""

from datetime import date, datetime
from decimal import Decimal

from billing.models import Invoice, SupplyProof, TaxInvoice
from billing.tax.tax_planning import plan_amendment
from billing.tax.tax_sheets import tax_type_of
from billing.tax.tax_sums import OF_INVOICE, sheets_for, standing
from pricing.exact import ZERO, exact_sum

Status = TaxInvoice.Status


def plan_reductions(invoice: Invoice, *, now: datetime) -> Decimal:
    """Amendments of earlier tax invoices for an invoice below zero. Returns what they do not cover: 0, or below it."""
    supply, tax = invoice.subtotal.copy_negate(), invoice.tax.copy_negate()
    for original in _earlier(invoice):
        stands, tax_stands = standing(original.invoice)
        back, tax_back = min(supply, stands), min(tax, tax_stands)
        if back <= ZERO or exact_sum((back, tax_back)) <= ZERO:
            continue
        plan_amendment(
            original,
            TaxInvoice.Reason.CHANGE,
            f"{OF_INVOICE}{invoice.pk}",
            supply=back.copy_negate(),
            tax=tax_back.copy_negate(),
            dated=invoice.written_on,
            now=now,
        )
        supply, tax = exact_sum((supply, -back)), exact_sum((tax, -tax_back))
        if supply == ZERO:
            break
    return exact_sum((supply, tax)).copy_negate()


def take_back_reductions(invoice: Invoice, *, now: datetime) -> None:
    """The invoice below zero is void: what nobody has is dropped, what was asked for is given back by a sheet of its own."""
    for row in sheets_for(invoice).select_related("invoice", "amends"):
        if row.status in (Status.PLANNED, Status.FAILED):
            row.status = Status.DROPPED
            row.save(update_fields=["status"])
        elif row.status in TaxInvoice.WITH_PROVIDER and row.invoice.status != Invoice.Status.VOID:
            assert row.amends is not None, "an invoice below zero has amendments only"
            plan_amendment(
                row.amends,
                TaxInvoice.Reason.CHANGE,
                f"{row.occasion}:void",
                supply=row.supply.copy_negate(),
                tax=row.tax.copy_negate(),
                now=now,
            )


def _earlier(invoice: Invoice) -> list[TaxInvoice]:
    """Originals that stand, in the order in which they are taken back from."""
    originals = TaxInvoice.objects.for_organization(invoice.organization_id).filter(
        reason="",
        tax_type=tax_type_of(invoice),
        invoice__proof__kind=SupplyProof.Kind.TAX_INVOICE,
        invoice__written_on__lte=invoice.written_on,
    )
    found = originals.exclude(status__in=TaxInvoice.ENDED).exclude(invoice__status=Invoice.Status.VOID)
    months = set(invoice.lines.filter(amount__lt=0).values_list("service_month", flat=True))

    def turn(row: TaxInvoice) -> tuple[bool, date]:
        return row.write_date.replace(day=1) in months, row.write_date

    return sorted(found.select_related("invoice"), key=turn, reverse=True)
