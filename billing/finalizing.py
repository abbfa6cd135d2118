"""A period's charges become a final invoice, or none: snapshots of seller and buyer, the ledger's claim, credit, the number last.

Part of the transaction of whoever closes a period, issues an invoice anew or approves a draft; period and balance are locked. The
statement that takes the number writes the invoice, and what belongs to it follows in the same message: until the transaction ends
everybody else who makes an invoice waits for that number.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from accounts.models import Organization
from accounts.round_trips import Statement, Step, run
from accounts.stored_rows import columns_of, insertion, values
from billing.buyers import Buyer
from billing.cards.automatic import announcement
from billing.exchange_snapshots import exchange_snapshot
from billing.mail import mails
from billing.models import BillingTerms, Invoice, OutboxMail, Seller
from billing.numbering import TAKEN
from billing.period_charges import PeriodCharges
from billing.sellers import current_seller, snapshot
from billing.tax.proofs import choose_proof
from ledger import settling
from ledger.credit_order import CreditLeft
from ledger.credits import grant_credit
from ledger.cutting import MOMENT
from ledger.models import Account, Balance, BillingPeriod, CreditGrant
from pricing.conditions import Charged, LineKind
from pricing.exact import ZERO

CLOSE = Statement("UPDATE ledger_billingperiod SET status = %s, closed_at = %s WHERE organization_id = %s AND id = %s")
NUMBERED = ("series_id", "sequence", "number")
INVOICE = insertion(
    Invoice,
    instead=(
        ("series_id", "(SELECT id FROM taken)"),
        ("sequence", "(SELECT sequence FROM taken)"),
        ("number", "(SELECT number FROM taken)"),
    ),
    before=f"WITH {TAKEN} ",
    after=f" RETURNING {', '.join(NUMBERED)}",
)
LINE = (
    "kind",
    "applied_rate_id",
    "model",
    "token_class",
    "service_month",
    "quantity",
    "unit_price",
    "exact_amount",
    "amount",
)
LINES = Statement(f"""
INSERT INTO billing_invoiceline (organization_id, invoice_id, {", ".join(LINE)}, position)
SELECT %s::bigint, %s::uuid, line.* FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::date[], %s::numeric[],
    %s::numeric[], %s::numeric[], %s::numeric[]) WITH ORDINALITY AS line
""")


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
    buyer: Buyer,
    period: BillingPeriod,
    balance: Balance,
    charges: PeriodCharges,
    po_number: str,
    now: datetime,
    seller: Seller | None = None,
    grants: Sequence[CreditLeft] | None = None,
) -> Invoice | None:
    """Close a period for good, with its invoice if it has one. `seller` and `grants` as `finalize` takes them. Raises NoSeller."""
    period.status, period.closed_at = BillingPeriod.Status.CLOSED, now
    run([(CLOSE, [period.status, now, period.organization_id, period.pk])])
    if is_invoiced(charges):
        return finalize(
            buyer=buyer,
            period=period,
            balance=balance,
            charges=charges,
            po_number=po_number,
            again=False,
            now=now,
            seller=seller,
            grants=grants,
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
    buyer: Buyer,
    period: BillingPeriod,
    balance: Balance,
    charges: PeriodCharges,
    po_number: str,
    again: bool,
    now: datetime,
    seller: Seller | None = None,
    grants: Sequence[CreditLeft] | None = None,
) -> Invoice:
    """The final invoice of `charges`; `again` where a voided one had claimed them before. Raises NoSeller.

    `seller` is the one in force at `now` and `grants` the credits with something left, where the caller has read them.
    """
    invoice_id = uuid4()
    seller = seller or current_seller(now=now)
    credit, used = settling.invoice_usage(
        balance=balance,
        claim=claim_of(charges.charged, invoice_id),
        again=again,
        period_end=period.ends_at,
        now=now,
        grants=grants,
    )
    organization, profile, totals = buyer.organization, buyer.profile, charges.charged.totals
    paid_by_credit = credit == totals.total
    zone = ZoneInfo(period.zone)
    issued_on = now.astimezone(zone).date()
    invoice = Invoice(
        id=invoice_id,
        organization=organization,
        period=period,
        kind=kind_of(period, organization=organization),
        status=Invoice.Status.PAID if paid_by_credit else Invoice.Status.OPEN,
        paid_at=now if paid_by_credit else None,
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
        buyer=buyer.details(),
        exchange_rates=exchange_snapshot(line.rate.exchange for line in charges.lines),
        finalized_at=now,
    )
    _write(invoice, charges, buyer=buyer, now=now)
    if credit < ZERO:
        _give_as_credit(invoice, now)
    choose_proof(invoice, buyer=buyer, used=used, now=now)
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


def _write(invoice: Invoice, charges: PeriodCharges, *, buyer: Buyer, now: datetime) -> None:
    """Number and invoice, its lines, the mail that takes it to its buyer."""
    mail = mails.new_mail(
        kind=OutboxMail.Kind.INVOICE,
        key=f"invoice:{invoice.pk}",
        organization=buyer.organization,
        recipient=invoice.buyer["contact_email"],
        language=invoice.language,
        invoice=invoice,
        context=announcement(invoice) if buyer.is_automatic else {},
        now=now,
    )
    lines = columns_of(list(charges.rows()), LINE)
    steps: list[Step] = [
        (INVOICE, values(invoice, besides=NUMBERED)),
        (LINES, [invoice.organization_id, invoice.pk, *lines]),
        (mails.QUEUE, values(mail)),
    ]
    [numbered], *_others = run(steps)
    invoice.series_id, invoice.sequence, invoice.number = numbered
    invoice._state.adding = False


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
