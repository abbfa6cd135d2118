"""What a receipt says (영수증): that so much was paid for an invoice or, without one, for prepaid credit, as it was settled."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import Organization
from billing.buyers import billing_profile, buyer_details
from billing.models import Invoice, Payment
from billing.papers import document_parts as parts
from billing.papers import document_texts as texts
from billing.papers.document_parts import Rows
from billing.papers.document_texts import word
from billing.sellers import current_seller, snapshot

_WAYS = {"stripe": "by_stripe", "bank_transfer": "by_bank_transfer"}


def receipt_number(payment: Payment) -> str:
    """`R-3F2A90C1B7D4`: of the payment's id, so that it needs no counter of its own."""
    return f"R-{payment.pk.hex[:12].upper()}"


def receipt_content(payment: Payment, invoice: Invoice) -> dict[str, Any]:
    """The texts of the receipt in its invoice's language. The payment has succeeded."""
    language = invoice.language
    totals = [
        (word("subtotal", language), invoice.subtotal),
        (parts.tax_label(invoice.tax_treatment, invoice.tax_rate, language), invoice.tax),
        (word("invoice_total", language), invoice.total),
    ]
    return _receipt(
        payment,
        {"seller": invoice.seller, "buyer": invoice.buyer, "language": language, "zone": invoice.period.zone},
        opening=word("receipt_opening", language, number=invoice.number),
        invoice_fact=[[word("number", language), invoice.number]],
        totals=[[label, texts.money(amount, payment.currency)] for label, amount in totals],
    )


def top_up_receipt(payment: Payment, parties: Mapping[str, Any]) -> dict[str, Any]:
    """The texts of the receipt of a top-up; `parties` as `parties_of_today` gives them."""
    language = parties["language"]
    amount = texts.money(payment.amount, payment.currency)
    return _receipt(
        payment,
        parties,
        opening=word("top_up_opening", language),
        invoice_fact=[],
        totals=[[word("prepaid_credit", language), amount]],
    )


def parties_of_today(organization: Organization, *, now: datetime) -> dict[str, Any]:
    """Who sold and who bought, for a paper without an invoice, which has no snapshot of them. Needs the tenant scope."""
    return {
        "seller": snapshot(current_seller(now=now)),
        "buyer": buyer_details(organization, billing_profile(organization)),
        "language": organization.language,
        "zone": organization.zone,
    }


def _receipt(
    payment: Payment, parties: Mapping[str, Any], *, opening: str, invoice_fact: Rows, totals: Rows
) -> dict[str, Any]:
    number, language = receipt_number(payment), parties["language"]
    assert payment.paid_at is not None, "what succeeded was settled"
    day = payment.paid_at.astimezone(ZoneInfo(parties["zone"])).date()
    paid_on = [word("paid_on", language), texts.day(day, language)]
    way = _WAYS.get(payment.processor)
    return parts.frame(parties["seller"], language) | {
        "title": word("receipt", language),
        "number": number,
        "metadata": parts.metadata(
            title=word("receipt", language),
            number=number,
            total=parts.stated(payment.amount, payment.currency),
            seller=parties["seller"],
            made_on=day,
            language=language,
        ),
        "addressee": word("addressee", language, company=parts.company_of(parties["buyer"])),
        "opening": opening,
        "facts": [
            [word("receipt_number", language), number],
            *invoice_fact,
            paid_on,
            [word("paid_by", language), word(way, language) if way else payment.processor],
            *([[word("payer", language), payment.payer_name]] if payment.payer_name else []),
        ],
        "due": [word("amount_received", language), texts.money(payment.amount, payment.currency), *paid_on],
        "parties": [parts.supplier(parties["seller"], language), parts.customer(parties["buyer"], language)],
        "columns": [],
        "groups": [],
        "totals": totals,
        "payment": {"title": "", "rows": parts.in_words(payment.amount, payment.currency, language), "note": ""},
        "exchange": [],
        "notes": [word("note_receipt", language)],
        "appendix": dict(parts.NO_APPENDIX),
    }
