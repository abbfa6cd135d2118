"""A final invoice is corrected: a credit note takes back all or part of it, as new rows – the invoice itself stays as it is.

One transaction under the invoice's lock: lines, tax, postings, credit or refund, and the number last, as an invoice is finalized.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from accounts.audit_log import write_audit_entry
from accounts.models import User
from accounts.tenancy import tenant_scope
from billing.corrections import correction_news, refunds
from billing.corrections.creditable import Left, MoneyBack, Plan, left_of, plan_note
from billing.corrections.proposed_amounts import amounts_of_proposal
from billing.corrections.refundable import lock_payments
from billing.corrections.unresolved_refunds import call_first
from billing.invoicing import PaymentInProgress
from billing.models import CreditNote, CreditNoteLine, CreditNoteProposal, Invoice, Payment, Refund
from billing.numbering import credit_note_series, take_number
from billing.settlement import outstanding, pay_off
from billing.tax.tax_amendments import amend_for_credit_note
from ledger import invoice_corrections, settling
from ledger.credits import grant_credit
from ledger.models import Account, CreditGrant
from metering.credited_usage import hold_against_corrections, mark_credited
from pricing.exact import ZERO
from pricing.plain_text import plain


class ChangedMeanwhile(Exception):
    """Somebody else made a note on the invoice since this one was looked at."""


class NotProposed(Exception):
    """The proposal was accepted or superseded already."""


def preview_note(
    *, organization_id: int, invoice_id: UUID, amounts: Mapping[int, Decimal] | None, money_back: MoneyBack
) -> tuple[Left, Plan]:
    """What a note would be, nothing written. Raises Invoice.DoesNotExist, NotCreditable, TooMuch."""
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.for_organization(organization_id).get(pk=invoice_id)
        left = left_of(invoice)
        return left, plan_note(invoice, left, amounts=amounts, money_back=money_back)


def issue_credit_note(
    *,
    organization_id: int,
    invoice_id: UUID,
    amounts: Mapping[int, Decimal] | None,
    money_back: MoneyBack,
    reason_code: str,
    reason: str,
    now: datetime,
    actor: User | None,
    expected_left: Decimal | None = None,
) -> CreditNote:
    """Take back `amounts` (before tax, by line position) of an invoice, or all that is left of it.

    `expected_left` is the subtotal that was left when somebody decided this: another one raises ChangedMeanwhile, so two operators,
    or two clicks, never take back twice. Refunds by card are asked for once all is committed. Raises Invoice.DoesNotExist,
    NotCreditable, TooMuch, PaymentInProgress while an attempt to pay the invoice is undecided.
    """
    with tenant_scope([organization_id]):
        invoice, left = _lock(organization_id, invoice_id, expected_left)
        plan = plan_note(invoice, left, amounts=amounts, money_back=money_back)
        note, going_back = _make(invoice, plan, reason_code=reason_code, reason=reason, now=now, actor=actor)
    call_first(going_back, now=now)
    return note


def accept_proposal(
    *,
    organization_id: int,
    proposal_id: UUID,
    money_back: MoneyBack,
    reason: str,
    now: datetime,
    actor: User | None,
) -> CreditNote:
    """Make the credit note that was proposed; its supply value is the proposal's, its tax by the rule of notes.

    Raises as `issue_credit_note`, NotProposed, Outdated, and TooMuch for a proposal by which the customer would pay more.
    """
    with tenant_scope([organization_id]):
        found = CreditNoteProposal.objects.for_organization(organization_id).get(pk=proposal_id)
        invoice, left = _lock(organization_id, found.invoice_id, None)
        proposal = CreditNoteProposal.objects.for_organization(organization_id).get(pk=proposal_id)
        if proposal.status != CreditNoteProposal.Status.PROPOSED:
            raise NotProposed(str(proposal_id))
        plan = plan_note(invoice, left, amounts=amounts_of_proposal(proposal, left), money_back=money_back)
        code = CreditNote.ReasonCode.VALUE_CHANGE
        note, going_back = _make(
            invoice, plan, reason_code=code, reason=reason, now=now, actor=actor, proposal=proposal
        )
        proposal.status = CreditNoteProposal.Status.ACCEPTED
        proposal.save(update_fields=["status"])
    call_first(going_back, now=now)
    return note


def _lock(organization_id: int, invoice_id: UUID, expected_left: Decimal | None) -> tuple[Invoice, Left]:
    invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
    hold_against_corrections(invoice.period)
    left = left_of(invoice)
    if expected_left is not None and left.subtotal != expected_left:
        raise ChangedMeanwhile(f"{left.subtotal} is left of invoice {invoice.number}, not {expected_left}")
    if invoice.payments.filter(status__in=Payment.OPEN_STATUSES).exists():
        raise PaymentInProgress(f"invoice {invoice.number} is being paid")
    lock_payments(invoice.payments.all())
    return invoice, left


def _make(
    invoice: Invoice,
    plan: Plan,
    *,
    reason_code: str,
    reason: str,
    now: datetime,
    actor: User | None,
    proposal: CreditNoteProposal | None = None,
) -> tuple[CreditNote, list[Refund]]:
    """The note and all that it moves, and the refunds by card that are to be called about once it is committed."""
    note_id, earlier = uuid4(), list(invoice.credit_notes.values_list("pk", flat=True))
    settling.lock_balance(invoice.organization_id)
    invoice_corrections.take_back(
        organization_id=invoice.organization_id,
        reversal=invoice_corrections.Reversal(
            note_id=note_id, subtotal=plan.subtotal, tax=plan.tax, to_refund=plan.to_refund
        ),
        now=now,
    )
    series = credit_note_series(invoice.series)
    sequence, number = take_number(series)
    note = CreditNote.objects.create(
        id=note_id,
        organization_id=invoice.organization_id,
        invoice=invoice,
        series=series,
        sequence=sequence,
        number=number,
        reason_code=reason_code,
        reason=reason,
        proposal=proposal,
        language=invoice.language,
        currency=invoice.currency,
        tax_treatment=invoice.tax_treatment,
        tax_rate=invoice.tax_rate,
        subtotal=plan.subtotal,
        tax=plan.tax,
        total=plan.total,
        applied=plan.applied,
        to_credit=plan.to_credit,
        to_refund=plan.to_refund,
        credit_returned=plan.credit_returned,
        issued_on=now.astimezone(ZoneInfo(invoice.period.zone)).date(),
        issued_at=now,
        seller=invoice.seller,
        buyer=invoice.buyer,
        issued_by=actor,
    )
    CreditNoteLine.objects.bulk_create(
        CreditNoteLine(
            organization_id=invoice.organization_id, credit_note=note, invoice_line_id=line_id, amount=amount
        )
        for line_id, amount in plan.lines.items()
    )
    credited = note.lines.exclude(invoice_line__applied_rate=None).values_list(
        "invoice_line__applied_rate_id", flat=True
    )
    mark_credited(period=invoice.period, applied_rate_ids=credited, document=number)
    amend_for_credit_note(note, now=now, actor=actor)
    _give_back(note, earlier=earlier, now=now)
    if invoice.status == Invoice.Status.OPEN and outstanding(invoice) == ZERO:
        pay_off(invoice, now=now)
    going_back = refunds.intend(origin=note, now=now, actor=actor)
    write_audit_entry(
        action="credit_note.issued",
        target=number,
        organization=invoice.organization,
        actor=actor,
        now=now,
        detail={
            "invoice": invoice.number,
            "total": plain(note.total),
            "to_credit": plain(note.to_credit),
            "to_refund": plain(note.to_refund),
            "reason_code": reason_code,
            "reason": reason,
        },
    )
    correction_news.note_issued(note, now=now)
    return note, going_back


def _give_back(note: CreditNote, *, earlier: list[UUID], now: datetime) -> None:
    """What was paid becomes credit, as far as it is not to be refunded; what was paid by credit is credit again."""
    if note.to_credit:
        grant_credit(
            organization=note.organization,
            amount=note.to_credit,
            currency=note.currency,
            kind=CreditGrant.Kind.PAID,
            reason=f"Credit note {note.number}",
            key=invoice_corrections.noted_key(note.pk),
            now=now,
            source=Account.RECEIVABLE,
        )
    if note.credit_returned:
        invoice_corrections.return_credit(
            organization=note.organization,
            invoice_id=note.invoice_id,
            note_id=note.pk,
            earlier=earlier,
            amount=note.credit_returned,
            number=note.number,
            now=now,
        )
