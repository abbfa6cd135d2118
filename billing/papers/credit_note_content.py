"""What a credit note says (수정 청구서): how much of which lines of an invoice is taken back, and what becomes of the money."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from billing.models import CreditNote, CreditNoteLine, InvoiceLine
from billing.papers import document_parts as parts
from billing.papers import document_texts as texts
from billing.papers.document_parts import Rows
from billing.papers.document_texts import word
from pricing.conditions import LineKind
from pricing.exact import EXACT


def credit_note_content(note: CreditNote, lines: Sequence[CreditNoteLine]) -> dict[str, Any]:
    """The texts of `note` in its own language; `lines` in the order of the invoice. Amounts are what the customer gets back."""
    language, currency = note.language, note.currency
    issued_on = [word("issued_on", language), texts.day(note.issued_on, language)]
    return parts.frame(note.seller, language) | {
        "title": word("credit_note", language),
        "number": note.number,
        "metadata": parts.metadata(
            title=word("credit_note", language),
            number=note.number,
            total=parts.stated(note.total, currency),
            seller=note.seller,
            made_on=note.issued_on,
            language=language,
        ),
        "addressee": word("addressee", language, company=parts.company_of(note.buyer)),
        "opening": word("credit_note_opening", language, number=note.invoice.number),
        "facts": [
            [word("credit_note_number", language), note.number],
            [word("corrected_invoice", language), note.invoice.number],
            issued_on,
            [word("reason_for_tax", language), word(f"reason_{note.reason_code}", language)],
        ],
        "due": [word("credited", language), texts.money(note.total, currency), *issued_on],
        "parties": [parts.supplier(note.seller, language), parts.customer(note.buyer, language)],
        "columns": [word(name, language) for name in ("item", "quantity", "amount_invoiced", "amount_credited")],
        "groups": _groups(note, lines),
        "totals": [
            [word("subtotal", language), texts.money(note.subtotal, currency)],
            [parts.tax_label(note.tax_treatment, note.tax_rate, language), texts.money(note.tax, currency)],
        ],
        "payment": {
            "title": word("what_becomes_of_it", language),
            "rows": [": ".join(row) for row in _ways(note)],
            "note": word("credit_note_reason", language, reason=note.reason),
        },
        "exchange": [],
        "notes": [word("note_credit_note", language)],
        "appendix": dict(parts.NO_APPENDIX),
    }


def _ways(note: CreditNote) -> Rows:
    """What becomes of the total; at least one of them."""
    ways = (
        ("less_to_pay", note.applied),
        ("becomes_credit", EXACT.add(note.to_credit, note.credit_returned)),
        ("is_refunded", note.to_refund),
    )
    return [[word(way, note.language), texts.money(amount, note.currency)] for way, amount in ways if amount]


def _groups(note: CreditNote, lines: Sequence[CreditNoteLine]) -> list[dict[str, Any]]:
    return [
        {
            "title": model or word("agreed", note.language),
            "note": word("adjustment", note.language, month=texts.month(late, note.language)) if late else "",
            "lines": [_row(note, line.invoice_line, line.amount) for line in group],
        }
        for (model, late), group in groupby(
            lines, key=lambda line: (line.invoice_line.model, line.invoice_line.service_month)
        )
    ]


def _row(note: CreditNote, line: InvoiceLine, amount: Decimal) -> list[str]:
    language, currency = note.language, note.currency
    has_usage = LineKind(line.kind) == LineKind.USAGE
    return [
        texts.token_class(line.token_class, language) if has_usage else word(line.kind, language),
        "",
        texts.quantity(line.quantity, line.token_class, language) if has_usage else "",
        texts.money(line.amount, currency),
        texts.money(amount, currency),
    ]
