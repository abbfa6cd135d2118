"""A tax invoice is planned: its row, its key and its deadline are committed with what it is about; `tax_invoices` issues it.

Everything here needs the tenant scope and the invoice's row, locked.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import User
from billing.models import Invoice, TaxInvoice
from billing.tax.korean_calendar import business_day_from, day_in_seoul, day_of_following_month, issue_deadline
from billing.tax.tax_sheets import buyer_of, items_of, mgt_key_of, purpose_of, remark_of, supplier_of, tax_type_of
from billing.tax.tax_sums import left_to_prove, standing
from pricing.exact import ZERO, exact_sum

AS_THE_ORIGINAL = (TaxInvoice.Reason.CORRECTION, TaxInvoice.Reason.ISSUED_TWICE)
"""Amendments for these reasons bear the original's date, and are issued as soon as the mistake is noticed."""
VOID = "void"
"""The occasion of the cancellation that a voided invoice brings."""
CORRECTED = "correction:"
"""How the occasion begins of the two sheets by which another buyer is named."""
SHORT = 4
"""Digits of a count; what else stands at the end of an occasion is longer."""
Status = TaxInvoice.Status


def original_of(invoice: Invoice) -> TaxInvoice | None:
    """The one that stands; else the last one that was taken back."""
    originals = TaxInvoice.objects.for_organization(invoice.organization_id).filter(
        TaxInvoice.ORIGINALS, invoice=invoice
    )
    return max(originals, key=lambda row: (row.status != Status.CANCELED, row.created_at), default=None)


def in_force(original: TaxInvoice) -> TaxInvoice:
    """What further amendments amend, with its buyer: the newest sheet that corrected whom the original names, or the original."""
    rows = TaxInvoice.objects.for_organization(original.organization_id).filter(
        invoice=original.invoice_id, occasion__startswith=CORRECTED, total__gt=ZERO
    )
    return rows.exclude(status__in=TaxInvoice.ENDED).order_by("-created_at").first() or original


def plan_original(
    invoice: Invoice,
    *,
    by_card: Decimal = ZERO,
    now: datetime,
    actor: User | None = None,
    buyer: Mapping[str, str] | None = None,
) -> TaxInvoice | None:
    """The invoice's one original, planned; one that was dropped is planned again, one that was taken back followed by another.

    It is about all but what credit that was bought `by_card` has paid, whose slips prove that part. None if nothing is left. A new
    one names `buyer`, or the invoice's.
    """
    row, (supply, tax) = original_of(invoice), left_to_prove(invoice, by_card=by_card)
    if supply + tax <= ZERO or (row is not None and row.status not in (Status.DROPPED, Status.CANCELED)):
        return row
    if row is None or row.status == Status.CANCELED:
        row = _new_original(invoice, buyer or buyer_of(invoice.buyer), replaces=row, now=now, actor=actor)
    row.status, row.failure = Status.PLANNED, ""
    row.supply, row.tax, row.total = supply, tax, exact_sum((supply, tax))
    row.items = items_of(written_on=invoice.written_on, supplied_on=invoice.written_on, supply=supply, tax=tax)
    row.save()
    return row


def _new_original(
    invoice: Invoice,
    buyer: Mapping[str, str],
    *,
    replaces: TaxInvoice | None,
    now: datetime,
    actor: User | None,
) -> TaxInvoice:
    due_on = issue_deadline(invoice.written_on)
    occasion = anew(replaces.occasion) if replaces else TaxInvoice.ORIGINAL
    corrected = None if replaces else correctable(invoice, now=now)
    if corrected is not None:
        _take_back(corrected, invoice, now=now, actor=actor)
        due_on = business_day_from(day_in_seoul(now))
    return TaxInvoice(
        organization_id=invoice.organization_id,
        invoice=invoice,
        amends=in_force(corrected) if corrected else None,
        reason=TaxInvoice.Reason.CORRECTION if corrected else "",
        replaces=replaces,
        occasion=occasion,
        mgt_key=mgt_key_of(invoice_id=invoice.pk, occasion=occasion),
        write_date=invoice.written_on,
        issue_from=day_in_seoul(now) if corrected else _issue_from(invoice, due_on=due_on, now=now),
        due_on=due_on,
        purpose=purpose_of(invoice),
        tax_type=tax_type_of(invoice),
        supplier=supplier_of(invoice),
        buyer=dict(buyer),
        remark=invoice.number,
        created_at=now,
        created_by=actor,
    )


def correctable(invoice: Invoice, *, now: datetime) -> TaxInvoice | None:
    """What the tax office has of the period's voided invoice and nobody has canceled there yet, once an original would be late."""
    if day_in_seoul(now) <= issue_deadline(invoice.written_on):
        return None
    canceled_soon = _cancellations(invoice.organization_id).values("invoice")
    issued = TaxInvoice.objects.for_organization(invoice.organization_id).filter(
        TaxInvoice.ORIGINALS,
        invoice__in=canceled_soon,
        invoice__period=invoice.period_id,
        invoice__status=Invoice.Status.VOID,
        status__in=(Status.ISSUED, Status.SENT),
    )
    return issued.select_related("invoice").order_by("-created_at").first()


def _cancellations(organization_id: int) -> QuerySet[TaxInvoice]:
    """Those of voided invoices that the provider has not heard of."""
    rows = TaxInvoice.objects.for_organization(organization_id)
    return rows.filter(occasion=VOID, status__in=(Status.PLANNED, Status.FAILED))


def _take_back(original: TaxInvoice, invoice: Invoice, *, now: datetime, actor: User | None) -> None:
    """Instead of the cancellation: minus what stands, the first of the two sheets of a correction (01)."""
    _cancellations(original.organization_id).filter(invoice=original.invoice_id).update(status=Status.DROPPED)
    supply, tax = standing(original.invoice)
    reason, occasion = TaxInvoice.Reason.CORRECTION, f"reissued:{invoice.pk}"
    plan_amendment(original, reason, occasion, supply=-supply, tax=-tax, now=now, actor=actor)


def anew(occasion: str) -> str:
    """The occasion of what is said once more: "original" → "original:2" → "original:3"."""
    before, _colon, count = occasion.rpartition(":")
    return f"{before}:{int(count) + 1}" if before and count.isdecimal() and len(count) < SHORT else f"{occasion}:2"


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


def plan_amendment(
    original: TaxInvoice,
    reason: str,
    occasion: str,
    *,
    supply: Decimal,
    tax: Decimal,
    now: datetime,
    actor: User | None = None,
    buyer: Mapping[str, str] | None = None,
    dated: date | None = None,
) -> TaxInvoice:
    """An amendment of `original`, or of what corrected it, once for its occasion; dated today unless the reason or `dated` says
    otherwise.
    """
    amended = in_force(original)
    written, due_on = _days(original, reason, dated=dated, now=now)
    row, _made = TaxInvoice.objects.get_or_create(
        organization_id=original.organization_id,
        invoice_id=original.invoice_id,
        occasion=occasion,
        defaults={
            "amends": amended,
            "reason": reason,
            "mgt_key": mgt_key_of(invoice_id=original.invoice_id, occasion=occasion),
            "write_date": written,
            "issue_from": day_in_seoul(now),
            "due_on": due_on,
            "purpose": original.purpose,
            "tax_type": original.tax_type,
            "supply": supply,
            "tax": tax,
            "total": exact_sum((supply, tax)),
            "items": items_of(written_on=original.write_date, supplied_on=written, supply=supply, tax=tax),
            "supplier": original.supplier,
            "buyer": dict(buyer or amended.buyer),
            "remark": remark_of(original, reason),
            "created_at": now,
            "created_by": actor,
        },
    )
    return row


def _days(original: TaxInvoice, reason: str, *, dated: date | None, now: datetime) -> tuple[date, date]:
    if reason in AS_THE_ORIGINAL:
        return original.write_date, business_day_from(day_in_seoul(now))
    day = dated or day_in_seoul(now)
    return day, issue_deadline(day)
