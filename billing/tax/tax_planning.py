"""A tax invoice is planned: its row, its key and its deadline are committed with what it is about; `tax_invoices` issues it.

Everything here needs the tenant scope and the invoice's row, locked.
"""

from datetime import date, datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum

from billing.models import CreditNote, Invoice, TaxInvoice
from billing.tax.korean_calendar import business_day_from, day_in_seoul, day_of_following_month, issue_deadline
from billing.tax.tax_sheets import buyer_of, items_of, mgt_key_of, purpose_of, supplier_of, tax_type_of
from pricing.exact import ZERO, exact_sum
from pricing.totals import split_inclusive

ORIGINAL = "original"
Status = TaxInvoice.Status


def original_of(invoice: Invoice) -> TaxInvoice | None:
    return TaxInvoice.objects.for_organization(invoice.organization_id).filter(invoice=invoice, reason="").first()


def plan_original(invoice: Invoice, *, by_card: Decimal = ZERO, now: datetime) -> TaxInvoice:
    """The invoice's one original, planned; one that was dropped is planned again.

    It is about all but what credit that was bought `by_card` has paid, whose slips prove that part.
    """
    row = original_of(invoice)
    if row is not None:
        if row.status == Status.DROPPED:
            row.status, row.failure = Status.PLANNED, ""
            _write_amounts(row, invoice, by_card)
            row.save()
        return row
    due_on = issue_deadline(invoice.written_on)
    row = TaxInvoice(
        organization_id=invoice.organization_id,
        invoice=invoice,
        occasion=ORIGINAL,
        mgt_key=mgt_key_of(invoice_id=invoice.pk, occasion=ORIGINAL),
        write_date=invoice.written_on,
        issue_from=_issue_from(invoice, due_on=due_on, now=now),
        due_on=due_on,
        purpose=purpose_of(invoice),
        tax_type=tax_type_of(invoice),
        supplier=supplier_of(invoice),
        buyer=buyer_of(invoice.buyer),
        remark=invoice.number,
        created_at=now,
    )
    _write_amounts(row, invoice, by_card)
    row.save()
    return row


def _write_amounts(row: TaxInvoice, invoice: Invoice, by_card: Decimal) -> None:
    """All of the invoice but what card slips prove, and what credit notes took back before this was planned."""
    notes = CreditNote.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    back = notes.aggregate(supply=Sum("subtotal"), tax=Sum("tax"))
    row.supply = exact_sum((invoice.subtotal, -(back["supply"] or ZERO)))
    row.tax = exact_sum((invoice.tax, -(back["tax"] or ZERO)))
    if by_card:
        rest = exact_sum((row.supply, row.tax, by_card.copy_negate()))
        row.supply, row.tax = split_inclusive(rest, tax_rate=invoice.tax_rate, currency=invoice.currency)
    row.total = exact_sum((row.supply, row.tax))
    row.items = items_of(written_on=invoice.written_on, supplied_on=invoice.written_on, supply=row.supply, tax=row.tax)


def _issue_from(invoice: Invoice, *, due_on: date, now: datetime) -> date:
    if not settings.TAX_INVOICE_DAY:
        return day_in_seoul(now)
    return min(day_of_following_month(invoice.written_on, settings.TAX_INVOICE_DAY), due_on)


def drop_original(invoice: Invoice) -> bool:
    """It is not needed any more. False if the provider may have it already."""
    row = original_of(invoice)
    if row is None or row.status == Status.DROPPED:
        return True
    if row.status in TaxInvoice.WITH_PROVIDER or row.status == Status.CANCELED:
        return row.status == Status.CANCELED
    row.status = Status.DROPPED
    row.save(update_fields=["status"])
    return True


def day_noticed(now: datetime) -> date:
    """The deadline of what is put right as soon as it is noticed (01, 06)."""
    return business_day_from(day_in_seoul(now))
