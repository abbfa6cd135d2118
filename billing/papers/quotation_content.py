"""What a quotation says (견적서): the models, volumes and prices of the day, from its own row."""

from decimal import Decimal
from itertools import groupby
from typing import Any

from billing.models import Quotation
from billing.papers import document_parts as parts
from billing.papers import document_texts as texts
from billing.papers.document_content import columns
from billing.papers.document_texts import word
from pricing.conditions import LineKind


def quotation_content(quotation: Quotation) -> dict[str, Any]:
    """The texts of the quotation in its own language."""
    language, currency = quotation.language, quotation.currency
    with_tax = "total_with_tax" if quotation.tax else "total_without_tax"
    issued_on, valid_until = texts.day(quotation.issued_on, language), texts.day(quotation.valid_until, language)
    facts = [
        (word("quotation_number", language), quotation.number),
        (word("quoted_on", language), issued_on),
        (word("valid_until", language), valid_until),
        (word("quoted_for", language), quotation.subject),
    ]
    totals = [
        (word("subtotal", language), quotation.subtotal),
        (parts.tax_label(quotation.tax_treatment, quotation.tax_rate, language), quotation.tax),
    ]
    return parts.frame(quotation.seller, language) | {
        "title": word("quotation", language),
        "number": quotation.number,
        "metadata": parts.metadata(
            title=word("quotation", language),
            number=quotation.number,
            total=parts.stated(quotation.total, currency),
            seller=quotation.seller,
            made_on=quotation.issued_on,
            language=language,
        ),
        "addressee": word("addressee", language, company=parts.company_of(quotation.buyer)),
        "opening": word("quotation_opening", language),
        "facts": [[label, value] for label, value in facts if value],
        "due": [
            word(with_tax, language),
            texts.money(quotation.total, currency),
            word("valid_until", language),
            valid_until,
        ],
        "parties": [parts.supplier(quotation.seller, language), parts.customer(quotation.buyer, language)],
        "columns": columns(language),
        "groups": _groups(quotation),
        "totals": [[label, texts.money(amount, currency)] for label, amount in totals],
        "payment": {"title": "", "rows": parts.in_words(quotation.total, currency, language), "note": ""},
        "exchange": parts.exchange(quotation.exchange_rates, language),
        "notes": [word("note_quotation", language), parts.rounding_note(currency, language)],
        "appendix": dict(parts.NO_APPENDIX),
    }


def _groups(quotation: Quotation) -> list[dict[str, Any]]:
    """Each model that was asked for under its own heading, with the volume that it was asked for; at last what was agreed."""
    language, currency = quotation.language, quotation.currency
    used = [line for line in quotation.lines if line["kind"] == LineKind.USAGE]
    agreed = [
        [word(line["kind"], language), "", "", "", texts.money(Decimal(line["amount"]), currency)]
        for line in quotation.lines
        if line["kind"] != LineKind.USAGE
    ]
    last = [{"title": word("agreed", language), "note": "", "lines": agreed}] if agreed else []
    return [
        {
            "title": model,
            "note": volume,
            "lines": [
                [
                    texts.token_class(line["token_class"], language),
                    line["note"],
                    texts.quantity(Decimal(line["quantity"]), line["token_class"], language),
                    texts.unit_price(Decimal(line["unit_price"]), line["token_class"], currency, language),
                    texts.money(Decimal(line["amount"]), currency),
                ]
                for line in lines
            ],
        }
        for (_item, model, volume), lines in groupby(
            used, key=lambda line: (line["item"], line["model"], line["volume"])
        )
    ] + last
