"""A planned tax invoice is issued: asked for in a committed row, then the provider is called, then its answer is recorded.

Exactly one is ever issued: a row whose answer was lost is looked up under its `mgt_key`, and asked for again – under the same key,
which the provider takes once – only when the provider does not have it. Whether cards may still be taken is decided by the same
lock, the invoice's: see `proofs`.
"""

import logging
from datetime import datetime
from uuid import UUID

from accounts.audit_log import write_audit_entry
from accounts.business_standing import fresh_standing
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.buyers import billing_profile, buyer_details
from billing.models import Invoice, Payment, SupplyProof, TaxInvoice
from billing.processors import bank_transfer
from billing.tax.proofs import proof_of, tax_invoice_was_taken_back
from billing.tax.providers.interface import Answer, ProviderRefused, ProviderUnreachable, State, TaxProvider
from billing.tax.providers.selection import tax_provider
from billing.tax.tax_news import sheet_issued
from billing.tax.tax_sheets import buyer_of, purpose_of, sheet_of

logger = logging.getLogger(__name__)
Status = TaxInvoice.Status
LONGEST_FAILURE = 300


class NoProvider(Exception):
    """No provider is set up: an operator issues by hand and notes the approval number."""


class NotPossible(Exception):
    """The tax invoice stands where this cannot be done."""


def issue(*, organization_id: int, tax_invoice_id: UUID, now: datetime, actor: User | None = None) -> TaxInvoice:
    """Issue a planned one. It comes back as it stands: still planned if something must come first, `requested` without an answer.

    Raises TaxInvoice.DoesNotExist, NoProvider.
    """
    planned = load(organization_id=organization_id, tax_invoice_id=tax_invoice_id)
    provider = provider_of(planned)
    if planned.status == Status.PLANNED and planned.is_original and (why := _stopped(planned, now=now)):
        return fail(planned, why, now=now)
    with tenant_scope([organization_id]):
        _invoice, row = lock(organization_id=organization_id, tax_invoice_id=tax_invoice_id)
        if not _request(row, now=now):
            return row
    return call(provider, row, now=now, actor=actor)


def _stopped(row: TaxInvoice, *, now: datetime) -> str:
    """Why its buyer gets none: "buyer_closed", "buyer_suspended", "buyer_unregistered"; else nothing."""
    standing = fresh_standing(organization_id=row.organization_id, number=row.buyer["registration_number"], now=now)
    return f"{TaxInvoice.OF_BUYER}{standing.state}" if standing.is_stopped else ""


def load(*, organization_id: int, tax_invoice_id: UUID) -> TaxInvoice:
    """Raises TaxInvoice.DoesNotExist."""
    with tenant_scope([organization_id]):
        rows = TaxInvoice.objects.for_organization(organization_id).select_related("invoice__organization", "amends")
        return rows.get(pk=tax_invoice_id)


def provider_of(row: TaxInvoice) -> TaxProvider:
    """Raises NoProvider."""
    provider = tax_provider(supplier_number=row.supplier["registration_number"])
    if provider is None:
        raise NoProvider("no provider of tax invoices is set up")
    return provider


def lock(*, organization_id: int, tax_invoice_id: UUID) -> tuple[Invoice, TaxInvoice]:
    """A tax invoice and its invoice, whose row keeps others from both until the transaction ends. Needs the scope."""
    rows = TaxInvoice.objects.for_organization(organization_id)
    invoices = Invoice.objects.select_for_update().for_organization(organization_id)
    invoice = invoices.get(pk=rows.get(pk=tax_invoice_id).invoice_id)
    row = rows.select_related("amends").get(pk=tax_invoice_id)
    row.invoice = invoice
    return invoice, row


def _request(row: TaxInvoice, *, now: datetime) -> bool:
    """Mark a planned row as asked for; False where it is not planned, or something else must come first."""
    invoice = row.invoice
    if row.status != Status.PLANNED:
        return False
    if row.is_original and not _is_wanted(row, invoice):
        return False
    if row.amends is not None and row.amends.status not in (Status.ISSUED, Status.SENT):
        if row.amends.status in (Status.DROPPED, Status.CANCELED):
            _drop(row)
        return False
    row.status, row.requested_at, row.checked_at, row.failure = Status.REQUESTED, now, now, ""
    if row.is_original:
        row.purpose = purpose_of(invoice)
    row.save()
    return True


def _is_wanted(row: TaxInvoice, invoice: Invoice) -> bool:
    """Whether the original is still the proof, and no card is being taken at this moment."""
    if invoice.status == Invoice.Status.VOID or proof_of(invoice) != SupplyProof.Kind.TAX_INVOICE:
        _drop(row)
        return False
    attempts = invoice.payments.filter(status__in=Payment.OPEN_STATUSES).exclude(processor=bank_transfer.NAME)
    return not attempts.exists()


def _drop(row: TaxInvoice) -> None:
    row.status = Status.DROPPED
    row.save(update_fields=["status"])


def call(provider: TaxProvider, row: TaxInvoice, *, now: datetime, actor: User | None = None) -> TaxInvoice:
    """Bring a requested row to the provider. Without an answer it stays requested until it is looked up."""
    row = load(organization_id=row.organization_id, tax_invoice_id=row.pk)
    try:
        answer = _issue_or_find(provider, row)
    except ProviderUnreachable as error:
        logger.warning("a tax invoice is unanswered", extra={"tax_invoice": str(row.pk), "reason": str(error)})
        return row
    except ProviderRefused as refused:
        return fail(row, str(refused), now=now)
    return record_answer(row, answer, now=now, actor=actor)


def _issue_or_find(provider: TaxProvider, row: TaxInvoice) -> Answer:
    """A refusal may be of the second call under its key: then the provider has the first one."""
    try:
        return provider.issue(sheet_of(row))
    except ProviderRefused:
        found = provider.look_up(mgt_key=row.mgt_key)
        if found is None:
            raise
        return found


def record_answer(row: TaxInvoice, answer: Answer, *, now: datetime, actor: User | None = None) -> TaxInvoice:
    """Write down where a sheet stands. What was issued stays so; what was sent, too."""
    with tenant_scope([row.organization_id]):
        invoice, row = lock(organization_id=row.organization_id, tax_invoice_id=row.pk)
        row.checked_at = now
        if row.status == Status.REQUESTED:
            row.approval_number, row.issued_at, row.status = answer.approval_number, now, Status.ISSUED
            note("tax_invoice.issued", row, invoice, now=now, actor=actor)
            sheet_issued(row, invoice, now=now)
        if row.status == Status.ISSUED:
            row.failure = answer.failure[:LONGEST_FAILURE]
            if answer.state == State.SENT:
                row.status, row.sent_at = Status.SENT, now
            elif answer.state == State.CANCELED:
                row.status = Status.CANCELED
                note("tax_invoice.canceled", row, invoice, now=now, actor=actor)
                if row.is_original:
                    tax_invoice_was_taken_back(invoice=invoice, now=now, actor=actor)
        row.save()
    return row


def fail(row: TaxInvoice, failure: str, *, now: datetime) -> TaxInvoice:
    """It was refused, or may not be issued: an operator puts it right and tries again. An original of a void invoice is over."""
    with tenant_scope([row.organization_id]):
        invoice, row = lock(organization_id=row.organization_id, tax_invoice_id=row.pk)
        if row.status in (Status.PLANNED, Status.REQUESTED):
            is_over = invoice.status == Invoice.Status.VOID and row.is_original
            row.status = Status.DROPPED if is_over else Status.FAILED
            row.checked_at, row.failure = now, failure[:LONGEST_FAILURE]
            row.save()
            note("tax_invoice.failed", row, invoice, now=now, actor=None, failure=row.failure)
    logger.error("a tax invoice failed", extra={"tax_invoice": str(row.pk), "reason": failure})
    return row


def plan_again(*, organization_id: int, tax_invoice_id: UUID, now: datetime, actor: User | None) -> TaxInvoice:
    """A failed one is planned again, an original (and its amendments) with today's details of its buyer. Raises NotPossible."""
    with tenant_scope([organization_id]):
        invoice, row = lock(organization_id=organization_id, tax_invoice_id=tax_invoice_id)
        if row.status != Status.FAILED:
            raise NotPossible(f"tax invoice {row.mgt_key} is {row.status}")
        row.status, row.failure = Status.PLANNED, ""
        if row.is_original:
            organization = invoice.organization
            row.buyer = buyer_of(buyer_details(organization, billing_profile(organization)))
            waiting = TaxInvoice.objects.for_organization(organization_id).filter(amends=row, status=Status.PLANNED)
            waiting.update(buyer=row.buyer)
        row.save()
        note("tax_invoice.planned_again", row, invoice, now=now, actor=actor)
    return row


def note_issued_by_hand(
    *, organization_id: int, tax_invoice_id: UUID, approval_number: str, now: datetime, actor: User | None
) -> TaxInvoice:
    """An operator issued it elsewhere, at the tax office itself say. Raises NotPossible unless it is planned or failed."""
    with tenant_scope([organization_id]):
        invoice, row = lock(organization_id=organization_id, tax_invoice_id=tax_invoice_id)
        if row.status not in (Status.PLANNED, Status.FAILED):
            raise NotPossible(f"tax invoice {row.mgt_key} is {row.status}")
        if row.is_original and not _is_wanted(row, invoice):
            raise NotPossible(f"invoice {invoice.number} is paid by card, or void")
        row.status, row.approval_number, row.failure = Status.SENT, approval_number, ""
        row.requested_at = row.checked_at = row.issued_at = row.sent_at = now
        row.save()
        note("tax_invoice.issued_by_hand", row, invoice, now=now, actor=actor)
        sheet_issued(row, invoice, now=now)
    return row


def note(action: str, row: TaxInvoice, invoice: Invoice, *, now: datetime, actor: User | None, **why: str) -> None:
    """The audit entry of what happened to a sheet; `why` is the provider's `failure`, or somebody's `reason`."""
    detail = {"mgt_key": row.mgt_key, "occasion": row.occasion, "approval_number": row.approval_number}
    write_audit_entry(
        action=action,
        target=invoice.number,
        organization=invoice.organization,
        actor=actor,
        now=now,
        detail=detail | why,
    )
