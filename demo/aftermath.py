"""What became of Globex's first invoice: paid in two parts, put right by a credit note, some of it sent back; and a quotation.

Every step looks for what it would make, so an interrupted seeding goes on where it stopped.
"""

from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from accounts.models import Organization
from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import record_transfer
from billing.corrections.credit_notes import issue_credit_note
from billing.corrections.creditable import MoneyBack
from billing.corrections.refunds import record_refund
from billing.models import CreditNote, Invoice, InvoiceLine, Payment, Quotation
from billing.papers.quotations import USUAL_VALIDITY, Item, make_quotation
from billing.settlement import outstanding
from billing.what_if import Volume
from catalog.models import LanguageModel
from demo import own_words
from demo.cast import GLOBEX, ZONE

PARTS_AFTER = (timedelta(days=5), timedelta(days=9))
"""The first transfer is of whole ten thousands, two thirds at most; the second is the rest."""
NOTED_AFTER, SENT_BACK_AFTER = timedelta(days=12), timedelta(days=14)
TEN_THOUSAND, TWO_THIRDS, A_TENTH = Decimal(10_000), Decimal("0.67"), Decimal("0.1")
QUOTED = (
    ("anthropic/claude-haiku-4.5", Volume(input_tokens=80_000_000, output_tokens=12_000_000, requests=20_000)),
    ("mistralai/devstral-small", Volume(input_tokens=250_000_000, output_tokens=20_000_000, requests=50_000)),
)


def pay_in_parts(invoice: Invoice) -> None:
    """Two transfers, one of which may have come already."""
    with tenant_scope([invoice.organization_id]):
        left = outstanding(Invoice.objects.get(pk=invoice.pk))
    first = (invoice.amount_due * TWO_THIRDS / TEN_THOUSAND).to_integral_value(ROUND_DOWN) * TEN_THOUSAND
    parts = (first, invoice.amount_due - first)
    for number, (amount, after) in enumerate(zip(parts, PARTS_AFTER, strict=True), start=1):
        if amount and left:
            at = invoice.finalized_at + after
            record_transfer(
                organization_id=invoice.organization_id,
                invoice_id=invoice.pk,
                amount=amount,
                payer_name=GLOBEX.name,
                key=f"demo-{number}",
                received_at=at,
                actor=None,
                now=at,
            )


def give_a_tenth_of_a_line_back(invoice: Invoice) -> None:
    """A credit note on the largest line, whose money goes back from our bank account two days later."""
    with tenant_scope([invoice.organization_id]):
        note = CreditNote.objects.filter(invoice=invoice).first()
        line = InvoiceLine.objects.filter(invoice=invoice, kind=InvoiceLine.Kind.USAGE).order_by("-amount")[0]
        payment = Payment.objects.filter(invoice=invoice).latest("amount")
    amount = (line.amount * A_TENTH).to_integral_value(ROUND_DOWN)
    if note is None and amount:
        note = issue_credit_note(
            organization_id=invoice.organization_id,
            invoice_id=invoice.pk,
            amounts={line.position: amount},
            money_back=MoneyBack.REFUND,
            reason_code="02",
            reason=own_words.OUTAGE,
            actor=None,
            now=invoice.finalized_at + NOTED_AFTER,
        )
    if note is not None and note.to_refund:
        sent_at = invoice.finalized_at + SENT_BACK_AFTER
        record_refund(
            organization_id=invoice.organization_id,
            origin_id=note.pk,
            payment_id=payment.pk,
            amount=min(note.to_refund, payment.amount),
            sent_on=sent_at.astimezone(ZONE).date(),
            reference="demo-1",
            now=sent_at,
            actor=None,
        )


def quote(*, now: datetime) -> None:
    """What Globex asked for lately: two models for a month."""
    organization = Organization.objects.using("system").get(slug=GLOBEX.slug)
    if Quotation.objects.using("system").filter(organization=organization).exists():
        return
    models = LanguageModel.objects.using("system").in_bulk([slug for slug, _volume in QUOTED], field_name="slug")
    make_quotation(
        organization=organization,
        items=[Item(model=models[slug], volume=volume) for slug, volume in QUOTED],
        valid_until=now.astimezone(ZONE).date() + USUAL_VALIDITY,
        subject=own_words.LABORATORY,
        actor=None,
        now=now,
    )
