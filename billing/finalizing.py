"""A period's charges become a final invoice, or none: snapshots of seller and buyer, the ledger's claim, credit, the number last.

Part of the transaction of whoever closes a period, issues an invoice anew or approves a draft; period and balance are locked.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from accounts.models import BillingProfile, Organization
from billing.buyers import buyer_details
from billing.cards.automatic import announcement
from billing.exchange_snapshots import exchange_snapshot
from billing.mail import mails
from billing.models import BillingTerms, Invoice, InvoiceLine, InvoiceSeries, OutboxMail
from billing.numbering import take_number
from billing.period_charges import PeriodCharges
from billing.sellers import current_seller, snapshot
from billing.tax.proofs import choose_proof
from ledger import settling
from ledger.credits import grant_credit
from ledger.cutting import MOMENT
from ledger.models import Account, Balance, BillingPeriod, CreditGrant
from pricing.conditions import Charged, LineKind
from pricing.exact import ZERO


def is_invoiced(charges: PeriodCharges) -> bool:
    """Whether there is an invoice for what a period comes to: always where it is not 0, else as was agreed."""
    choice = BillingTerms.ZeroInvoices
    if charges.charged.totals.total != 0:
        return True
    return charges.terms.zero_invoices == choice.ALWAYS or (
        charges.terms.zero_invoices == choice.WITH_USAGE and bool(charges.lines)
    )


def close(
    *,
    organization: Organization,
    period: BillingPeriod,
    balance: Balance,
    charges: PeriodCharges,
    profile: BillingProfile,
    po_number: str,
    now: datetime,
) -> Invoice | None:
    """Close a period for good, with its invoice if it has one. Raises NoSeller."""
    period.status, period.closed_at = BillingPeriod.Status.CLOSED, now
    period.save(update_fields=["status", "closed_at"])
    if is_invoiced(charges):
        return finalize(
            organization=organization,
            period=period,
            balance=balance,
            charges=charges,
            profile=profile,
            po_number=po_number,
            again=False,
            now=now,
        )
    if charges.lines:
        settling.leave_uninvoiced(
            balance=balance,
            claim=claim_of(charges.charged, uuid4()),
            period_id=period.pk,
            period_end=period.ends_at,
            now=now,
        )
    return None


def finalize(
    *,
    organization: Organization,
    period: BillingPeriod,
    balance: Balance,
    charges: PeriodCharges,
    profile: BillingProfile,
    po_number: str,
    again: bool,
    now: datetime,
) -> Invoice:
    """The final invoice of `charges`; `again` where a voided one had claimed them before. Raises NoSeller."""
    zone = ZoneInfo(period.zone)
    issued_on = now.astimezone(zone).date()
    seller = current_seller(now=now)
    invoice_id, totals = uuid4(), charges.charged.totals
    credit = settling.invoice_usage(
        balance=balance,
        claim=claim_of(charges.charged, invoice_id),
        again=again,
        period_end=period.ends_at,
        now=now,
    )
    paid_by_credit = credit == totals.total
    series = InvoiceSeries.objects.filter(credit_notes_of=None).order_by("pk").first()
    assert series is not None, "set_seller makes a series"
    sequence, number = take_number(series)
    invoice = Invoice.objects.create(
        id=invoice_id,
        organization=organization,
        period=period,
        kind=kind_of(period, organization=organization),
        status=Invoice.Status.PAID if paid_by_credit else Invoice.Status.OPEN,
        paid_at=now if paid_by_credit else None,
        series=series,
        sequence=sequence,
        number=number,
        language=organization.language,
        currency=organization.billing_currency,
        tax_treatment=profile.tax_treatment,
        tax_rate=balance.tax_rate,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        credit_applied=credit,
        amount_due=totals.total - credit,
        exact_subtotal=charges.charged.exact,
        terms=charges.terms if charges.terms.pk else None,
        po_number=po_number,
        issued_on=issued_on,
        written_on=(period.ends_at - MOMENT).astimezone(zone).date(),
        due_on=issued_on + timedelta(days=seller.payment_days),
        seller=snapshot(seller),
        buyer=buyer_details(organization, profile),
        exchange_rates=exchange_snapshot(line.rate.exchange for line in charges.lines),
        finalized_at=now,
    )
    InvoiceLine.objects.bulk_create(_lines_of(invoice, charges))
    if credit < ZERO:
        _give_as_credit(invoice, now)
    choose_proof(invoice, profile=profile, now=now)
    mails.enqueue(
        kind=OutboxMail.Kind.INVOICE,
        key=f"invoice:{invoice.pk}",
        organization=organization,
        recipient=invoice.buyer["contact_email"],
        language=invoice.language,
        invoice=invoice,
        context=announcement(invoice),
        now=now,
    )
    return invoice


def kind_of(period: BillingPeriod, *, organization: Organization) -> Invoice.Kind:
    """Final where the organization closes within the period, or had closed before it."""
    closes_at = organization.closes_at
    return Invoice.Kind.MONTHLY if closes_at is None or period.ends_at < closes_at else Invoice.Kind.FINAL


def claim_of(charged: Charged, invoice_id: UUID) -> settling.Claim:
    """What the invoice claims for these charges."""
    return settling.Claim(
        invoice_id=invoice_id,
        exact=charged.usage,
        subtotal=charged.totals.subtotal,
        tax=charged.totals.tax,
        discount=charged.agreed_amount(LineKind.DISCOUNT),
        minimum_fee=charged.agreed_amount(LineKind.MINIMUM_FEE),
    )


def _give_as_credit(invoice: Invoice, now: datetime) -> None:
    """More was taken back than used: what the customer gets back pays for later usage."""
    grant_credit(
        organization=invoice.organization,
        amount=-invoice.total,
        currency=invoice.currency,
        kind=CreditGrant.Kind.PAID,
        reason=f"Credit, {invoice.number}",
        key=settling.given_key(invoice.pk),
        now=now,
        source=Account.RECEIVABLE,
    )


def _lines_of(invoice: Invoice, charges: PeriodCharges) -> list[InvoiceLine]:
    return [
        InvoiceLine(organization_id=invoice.organization_id, invoice=invoice, position=position, **row)
        for position, row in enumerate(charges.rows(), start=1)
    ]
