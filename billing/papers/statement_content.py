"""What a statement says (거래명세서): what was supplied in an invoice's period, as its lines have it, and nothing about paying."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.models import Invoice, InvoiceLine
from billing.papers import document_parts as parts
from billing.papers import document_texts as texts
from billing.papers.document_content import columns, groups, metadata, parties, period_text, service_days
from billing.papers.document_texts import word
from catalog.rate_details import RateDetails


def statement_content(
    invoice: Invoice, lines: Sequence[InvoiceLine], rates: Mapping[int, RateDetails]
) -> dict[str, Any]:
    """The texts of the statement in the invoice's language; `lines` in the order of their positions."""
    language, currency = invoice.language, invoice.currency
    first, _last = service_days(invoice)
    totals = [
        (word("subtotal", language), invoice.subtotal),
        (parts.tax_label(invoice.tax_treatment, invoice.tax_rate, language), invoice.tax),
    ]
    return parts.frame(invoice.seller, language) | {
        "title": word("statement", language),
        "number": invoice.number,
        "metadata": metadata(invoice, "statement"),
        "addressee": word("addressee", language, company=parts.company_of(invoice.buyer)),
        "opening": word("statement_opening", language, month=texts.month(first, language)),
        "facts": [
            [word("number", language), invoice.number],
            [word("statement_period", language), period_text(invoice)],
            [word("written_on", language), texts.day(invoice.written_on, language)],
        ],
        "due": [
            word("total", language),
            texts.money(invoice.total, currency),
            word("written_on", language),
            texts.day(invoice.written_on, language),
        ],
        "parties": parties(invoice),
        "columns": columns(language),
        "groups": groups(invoice, lines, rates),
        "totals": [[label, texts.money(amount, currency)] for label, amount in totals],
        "payment": {"title": "", "rows": parts.in_words(invoice.total, currency, language), "note": ""},
        "exchange": parts.exchange(invoice.exchange_rates, language),
        "notes": [
            parts.rounding_note(currency, language),
            word("note_statement", language, number=invoice.number),
        ],
        "appendix": dict(parts.NO_APPENDIX),
    }
