"""수정세금계산서: what a tax invoice said is put right by sheets of their own, each with the tax office's reason code.

| code | occasion | sheets | dated |
|---|---|---|---|
| 01 | wrong entries | minus the old, plus the new | as the original |
| 02, 03 | the supply value changed, something was returned | the difference | the day of the change |
| 02 | a later invoice below zero (`tax_reductions`) | what it takes back | as that invoice |
| 04 | the invoice was voided | minus what is left | the day of the cancellation |
| 01 | it was issued anew after the deadline, before that went out | minus the old, plus the new invoice's | as the original |
| 06 | issued twice by mistake, once here and once elsewhere | minus the original | as the original |

(부가가치세법 시행령 제70조.) They are planned in the transaction of what they are about, and issued once the original is.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.models import CreditNote, Invoice, TaxInvoice
from billing.tax.korean_calendar import day_in_seoul, issue_deadline
from billing.tax.tax_invoices import NotPossible
from billing.tax.tax_invoices import note as audit
from billing.tax.tax_planning import CORRECTED, VOID, drop_original, in_force, original_of, plan_amendment
from billing.tax.tax_reductions import take_back_reductions
from billing.tax.tax_sums import ISSUED_TWICE, standing
from pricing.exact import ZERO

Status = TaxInvoice.Status
Reason = TaxInvoice.Reason
TIME_TO_REISSUE = timedelta(days=3)


def amend_for_void(invoice: Invoice, *, now: datetime, actor: User | None) -> TaxInvoice | None:
    """The invoice is void, its row locked: an original that nobody has is dropped, one that was issued gets a cancellation (04)."""
    take_back_reductions(invoice, now=now)
    original = original_of(invoice)
    if original is None or drop_original(invoice):
        _drop_unissued(invoice)
        return None
    supply, tax = standing(invoice)
    if supply == ZERO and tax == ZERO:
        return None
    row = plan_amendment(original, Reason.CANCELLATION, VOID, supply=-supply, tax=-tax, now=now, actor=actor)
    if issue_deadline(invoice.written_on) < day_in_seoul(now):
        row.issue_from = cancellation_goes_out_on(now=now)
        row.save(update_fields=["issue_from"])
    return row


def cancellation_goes_out_on(*, now: datetime) -> date:
    """Of an invoice that is voided when another original would be late: the original is corrected if it is issued anew before."""
    return day_in_seoul(now) + TIME_TO_REISSUE


def amend_for_credit_note(note: CreditNote, *, now: datetime, actor: User | None) -> list[TaxInvoice]:
    """A credit note takes back some of an invoice, whose row is locked: a difference under the note's own reason.

    A correction of entries (01) is two sheets, minus what stands and plus what is left. Nothing where the proof is no tax invoice.
    """
    original = original_of(note.invoice)
    if original is None or original.status in TaxInvoice.ENDED:
        return []
    occasion = f"credit_note:{note.pk}"
    supply, tax = standing(note.invoice)
    back, back_tax = min(note.subtotal, supply), min(note.tax, tax)
    if back == ZERO:
        return []
    if note.reason_code != Reason.CORRECTION:
        return [plan_amendment(original, note.reason_code, occasion, supply=-back, tax=-back_tax, now=now, actor=actor)]
    sheets = [
        plan_amendment(original, Reason.CORRECTION, f"{occasion}:minus", supply=-supply, tax=-tax, now=now, actor=actor)
    ]
    left, left_tax = supply - back, tax - back_tax
    if left:
        plus = f"{occasion}:plus"
        sheets.append(
            plan_amendment(original, Reason.CORRECTION, plus, supply=left, tax=left_tax, now=now, actor=actor)
        )
    return sheets


def correct_entries(
    *, organization_id: int, tax_invoice_id: UUID, buyer: Mapping[str, str], now: datetime, actor: User | None
) -> list[TaxInvoice]:
    """The buyer was named wrongly: two sheets (01), minus what stands and plus the same with `buyer`.

    Raises NotPossible, also where that buyer is named already: somebody sent the form twice.
    """
    with tenant_scope([organization_id]):
        invoice, original = _issued_original(organization_id, tax_invoice_id)
        named = in_force(original).buyer
        if named == dict(buyer):
            raise NotPossible(f"tax invoice {original.mgt_key} names this buyer already")
        supply, tax = standing(invoice)
        occasion = f"{CORRECTED}{uuid4().hex[:12]}"
        minus = plan_amendment(
            original, Reason.CORRECTION, f"{occasion}:minus", supply=-supply, tax=-tax, now=now, actor=actor
        )
        plus = plan_amendment(
            original,
            Reason.CORRECTION,
            f"{occasion}:plus",
            supply=supply,
            tax=tax,
            now=now,
            actor=actor,
            buyer=buyer,
        )
        audit("tax_invoice.corrected", plus, invoice, now=now, actor=actor)
        return [minus, plus]


def take_back_second(*, organization_id: int, tax_invoice_id: UUID, now: datetime, actor: User | None) -> TaxInvoice:
    """The same supply got another tax invoice elsewhere, which stands: ours is taken back (06). Raises NotPossible."""
    with tenant_scope([organization_id]):
        invoice, original = _issued_original(organization_id, tax_invoice_id)
        supply, tax = standing(invoice)
        row = plan_amendment(
            original, Reason.ISSUED_TWICE, ISSUED_TWICE, supply=-supply, tax=-tax, now=now, actor=actor
        )
        audit("tax_invoice.taken_back", row, invoice, now=now, actor=actor)
        return row


def _issued_original(organization_id: int, tax_invoice_id: UUID) -> tuple[Invoice, TaxInvoice]:
    row = TaxInvoice.objects.for_organization(organization_id).get(TaxInvoice.ORIGINALS, pk=tax_invoice_id)
    invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=row.invoice_id)
    row.refresh_from_db()
    if row.status not in (Status.ISSUED, Status.SENT):
        raise NotPossible(f"tax invoice {row.mgt_key} is {row.status}")
    if standing(invoice) == (ZERO, ZERO):
        raise NotPossible(f"nothing of tax invoice {row.mgt_key} stands any more")
    return invoice, row


def _drop_unissued(invoice: Invoice) -> None:
    rows = TaxInvoice.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    rows.filter(status__in=(Status.PLANNED, Status.FAILED)).update(status=Status.DROPPED)
