"""Which proof a supply gets: a card slip, a tax invoice, a cash receipt, or none. Chosen when the invoice is final, kept in a row.

A supply that is paid by card never gets a tax invoice: the slip is the proof (부가가치세법 제33조 제2항). So paying by card makes
the card slip the proof while no tax invoice was asked for; afterwards cards are refused. Both sides hold the invoice's row.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.conf import settings

from accounts.alarms import clear_alarm, raise_alarm
from accounts.audit_log import write_audit_entry
from accounts.models import Alarm, BillingProfile, TaxTreatment, User
from accounts.registration_numbers import InvalidRegistrationNumber, normalize_registration_number
from accounts.round_trips import run
from accounts.stored_rows import insertion, values
from accounts.tenancy import tenant_scope
from billing.buyers import Buyer
from billing.models import Invoice, Payment, SupplyProof, TaxInvoice
from billing.processors import bank_transfer
from billing.tax.card_credit import bought_by_card, card_credit
from billing.tax.korean_calendar import day_in_seoul, issue_deadline
from billing.tax.tax_planning import drop_original, original_of, plan_original
from billing.tax.tax_reductions import plan_reductions
from billing.tax.tax_sums import standing
from ledger.credit_order import CreditLeft
from pricing.exact import ZERO

Kind = SupplyProof.Kind
TAXED: Final = (TaxTreatment.STANDARD, TaxTreatment.ZERO_RATED)
ALARM = "supply_proof"
MOST = 500


class CardRefused(Exception):
    """A tax invoice was asked for or a transfer came in for it, so the rest is paid by transfer."""


def choose_proof(invoice: Invoice, *, buyer: Buyer, used: Iterable[CreditLeft], now: datetime) -> SupplyProof:
    """Of a final invoice that used these credits, in its transaction: plans the tax invoice if it is one, or what takes earlier
    ones back."""
    by_card, slips_back = bought_by_card(invoice, used), ZERO
    is_card = pays_by_card(invoice, buyer) or (by_card > ZERO and by_card == invoice.total)
    kind = Kind.CARD_SLIP if is_card else without_card(invoice)
    if invoice.total < ZERO and is_taxed_in_won(invoice):
        by_card, slips_back = plan_reductions(invoice, now=now)
        kind = Kind.TAX_INVOICE if by_card != invoice.total else Kind.NONE
    proof = SupplyProof(
        organization_id=invoice.organization_id,
        invoice=invoice,
        kind=kind,
        by_card=by_card,
        slips_back=slips_back,
        chosen_at=now,
    )
    run([(insertion(SupplyProof), values(proof))])
    if kind == Kind.TAX_INVOICE and invoice.total > ZERO:
        plan_original(invoice, by_card=by_card, now=now)
    return proof


def proof_of(invoice: Invoice) -> str:
    """The kind; none for invoices from before proofs were chosen. Needs the scope."""
    proofs = SupplyProof.objects.for_organization(invoice.organization_id).filter(invoice=invoice)
    return proofs.values_list("kind", flat=True).first() or Kind.NONE


def pays_by_card(invoice: Invoice, buyer: Buyer) -> bool:
    """Whether the rest will be taken from a stored card by itself, or the customer has chosen to pay by card."""
    chosen: bool = buyer.is_automatic or buyer.profile.pays_by == BillingProfile.PaysBy.CARD
    return chosen and invoice.amount_due > ZERO


def without_card(invoice: Invoice) -> str:
    """The proof of a supply that is paid by transfer or by credit."""
    if invoice.total <= ZERO or not is_taxed_in_won(invoice):
        return Kind.NONE
    if is_business(invoice.buyer.get("registration_number", "")):
        return Kind.TAX_INVOICE
    return Kind.CASH_RECEIPT if settings.CASH_RECEIPTS and invoice.tax_treatment == TaxTreatment.STANDARD else Kind.NONE


def is_taxed_in_won(invoice: Invoice) -> bool:
    """Whether a tax invoice can be about it."""
    return invoice.currency == "KRW" and invoice.tax_treatment in TAXED


def is_business(registration_number: str) -> bool:
    try:
        normalize_registration_number(registration_number)
    except InvalidRegistrationNumber:
        return False
    return True


def may_pay_by_card(invoice: Invoice) -> bool:
    """Whether a card may be taken for what is still to be paid. Exact while the invoice's row is locked."""
    if proof_of(invoice) != Kind.TAX_INVOICE:
        return True
    original = original_of(invoice)
    if original is not None and original.status in TaxInvoice.WITH_PROVIDER:
        return False
    came = invoice.payments.filter(status=Payment.Status.SUCCEEDED, processor=bank_transfer.NAME)
    return not came.exists()


def refuse_card_after_tax_invoice(invoice: Invoice) -> None:
    """For collection, the invoice locked. Raises CardRefused."""
    if not may_pay_by_card(invoice):
        raise CardRefused(f"invoice {invoice.number} has a tax invoice, so it is paid by transfer")


def money_came(*, invoice: Invoice, payment: Payment, now: datetime, actor: User | None) -> None:
    """A payment succeeded, its invoice locked: the proof follows from how the supply was paid in fact."""
    kind = proof_of(invoice)
    if payment.processor != bank_transfer.NAME:
        if kind == Kind.CARD_SLIP or not _has_row(invoice):
            return
        if kind == Kind.TAX_INVOICE and not drop_original(invoice):
            _alarm(invoice, now)
            return
        _change(invoice, Kind.CARD_SLIP, why="paid by card", now=now, actor=actor)
    elif kind == Kind.CARD_SLIP and not _card_paid(invoice):
        change_from_card(invoice, why="paid by transfer", now=now, actor=actor)


def tax_invoice_was_taken_back(*, invoice: Invoice, now: datetime, actor: User | None) -> None:
    """Its original is canceled at the provider, the invoice locked: what a card has paid all the same is proven by its slip now."""
    if proof_of(invoice) == Kind.TAX_INVOICE and _card_paid(invoice):
        _change(invoice, Kind.CARD_SLIP, why="paid by card, and its tax invoice was taken back", now=now, actor=actor)


def watch_doubles(*, now: datetime) -> None:
    """An alarm ends once the invoice has one proof: its tax invoice was taken back or amended to nothing."""
    for alarm in Alarm.objects.using("system").filter(kind=ALARM, cleared_at=None):
        invoice = Invoice.objects.using("system").filter(number=alarm.subject).first()
        if invoice is not None:
            with tenant_scope([invoice.organization_id]):
                doubled = proof_of(invoice) == Kind.TAX_INVOICE and any(standing(invoice))
            if not doubled:
                clear_alarm(kind=ALARM, subject=alarm.subject, now=now)


def change_from_card(invoice: Invoice, *, why: str, now: datetime, actor: User | None) -> None:
    """No card slip comes: the proof is what it is without one. The invoice is locked."""
    kind = without_card(invoice)
    _change(invoice, kind, why=why, now=now, actor=actor)
    if kind == Kind.TAX_INVOICE:
        plan_original(invoice, by_card=card_credit(invoice), now=now)


def give_up_on_cards(*, now: datetime) -> int:
    """On the last day for a tax invoice, what was to be paid by card and is not gets one. Returns how many."""
    if not settings.TAX_INVOICE_FOR_UNPAID_CARD:
        return 0
    today, changed = day_in_seoul(now), 0
    waiting = Invoice.objects.using("system").filter(
        status=Invoice.Status.OPEN, proof__kind=Kind.CARD_SLIP, currency="KRW", tax_treatment__in=TAXED
    )
    waiting = waiting.exclude(buyer__registration_number="")
    for found in waiting.order_by("written_on", "pk")[:MOST]:
        if issue_deadline(found.written_on) > today or without_card(found) != Kind.TAX_INVOICE:
            continue
        with tenant_scope([found.organization_id]):
            invoice = Invoice.objects.select_for_update().for_organization(found.organization_id).get(pk=found.pk)
            attempts = invoice.payments.filter(status__in=Payment.OPEN_STATUSES)
            unpaid = invoice.status == Invoice.Status.OPEN and not _card_paid(invoice) and not attempts.exists()
            if unpaid and proof_of(invoice) == Kind.CARD_SLIP:
                change_from_card(invoice, why="not paid by card in time", now=now, actor=None)
                changed += 1
    return changed


def _has_row(invoice: Invoice) -> bool:
    return SupplyProof.objects.for_organization(invoice.organization_id).filter(invoice=invoice).exists()


def _card_paid(invoice: Invoice) -> bool:
    paid = invoice.payments.filter(status=Payment.Status.SUCCEEDED)
    return paid.exclude(processor=bank_transfer.NAME).exists()


def _change(invoice: Invoice, kind: str, *, why: str, now: datetime, actor: User | None) -> None:
    proof = SupplyProof.objects.for_organization(invoice.organization_id).get(invoice=invoice)
    if proof.kind == kind:
        return
    before, proof.kind, proof.chosen_at = proof.kind, kind, now
    proof.save(update_fields=["kind", "chosen_at"])
    write_audit_entry(
        action="supply_proof.changed",
        target=invoice.number,
        organization=invoice.organization,
        actor=actor,
        now=now,
        detail={"from": before, "to": kind, "why": why},
    )


def _alarm(invoice: Invoice, now: datetime) -> None:
    """A card paid on a page that was opened before: money is never refused, so somebody must put the papers right."""
    raise_alarm(
        kind=ALARM,
        subject=invoice.number,
        summary=f"{invoice.number} was paid by card although a tax invoice was asked for.",
        now=now,
    )
