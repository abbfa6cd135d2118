"""What an invoice's document says, as plain text in its places: from the invoice's rows alone, nothing of today.

The Typst template only lays it out. Everything in here is data to it, never code.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from billing.line_notes import LineKey, notes_of
from billing.models import Invoice, InvoiceLine
from billing.papers import document_parts as parts
from billing.papers import document_texts as texts
from billing.papers.document_parts import Rows
from billing.papers.document_texts import word
from billing.period_charges import conditions_of_invoice
from catalog.rate_details import RateDetails
from pricing.conditions import LineKind

DEFAULT_ZONE = "Asia/Seoul"


def invoice_content(
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    rates: Mapping[int, RateDetails],
    *,
    appendix: Sequence[Mapping[str, Any]] = (),
    is_final: bool = False,
) -> dict[str, Any]:
    """The texts of `invoice` in its own language; `lines` in the order of their positions, `rates` those that they name.

    `appendix` are the tables of `usage_appendix`; `is_final`: say that the organization closes with it.
    """
    language, title = invoice.language, "final_invoice" if is_final else "invoice"
    first, _last = service_days(invoice)
    return parts.frame(invoice.seller, language) | {
        "title": word(title, language),
        "number": invoice.number,
        "metadata": metadata(invoice, title),
        "addressee": word("addressee", language, company=parts.company_of(invoice.buyer)),
        "opening": word("final_opening" if is_final else "opening", language, month=texts.month(first, language)),
        "facts": _facts(invoice),
        "due": _due(invoice),
        "parties": parties(invoice),
        "columns": columns(language),
        "groups": groups(invoice, lines, rates),
        "totals": totals(invoice),
        "payment": _payment(invoice),
        "exchange": parts.exchange(invoice.exchange_rates, language),
        "notes": [parts.rounding_note(invoice.currency, language), word("note_invoice", language)],
        "appendix": _appendix(appendix, language),
    }


def _appendix(tables: Sequence[Mapping[str, Any]], language: str) -> dict[str, Any]:
    if not tables:
        return dict(parts.NO_APPENDIX)
    return {"title": word("appendix", language), "lead": word("appendix_lead", language), "tables": list(tables)}


def service_days(invoice: Invoice) -> tuple[date, date]:
    """The first and the last day of the invoice's period, in the period's own zone."""
    zone = ZoneInfo(invoice.period.zone)
    last_moment = invoice.period.ends_at - timedelta(microseconds=1)
    return invoice.period.starts_at.astimezone(zone).date(), last_moment.astimezone(zone).date()


def metadata(invoice: Invoice, title: str) -> dict[str, Any]:
    """Of a document that is made of an invoice's rows."""
    return parts.metadata(
        title=word(title, invoice.language),
        number=invoice.number,
        total=parts.stated(invoice.total, invoice.currency),
        seller=invoice.seller,
        made_on=invoice.finalized_at.date(),
        language=invoice.language,
    )


def parties(invoice: Invoice) -> list[dict[str, Any]]:
    """Supplier and buyer, whose own number of the order stands with it."""
    language = invoice.language
    buyer = parts.customer(invoice.buyer, language)
    if invoice.po_number:
        buyer["rows"] = [*buyer["rows"], [word("po_number", language), invoice.po_number]]
    return [parts.supplier(invoice.seller, language), buyer]


def columns(language: str) -> list[str]:
    return [word(name, language) for name in ("item", "quantity", "unit_price", "amount")]


def period_text(invoice: Invoice) -> str:
    """Its first and last day, and its zone where that is not Korea's."""
    first, last = service_days(invoice)
    period = f"{texts.day(first, invoice.language)} {texts.EN_DASH} {texts.day(last, invoice.language)}"
    return period if invoice.period.zone == DEFAULT_ZONE else f"{period} ({invoice.period.zone})"


def _facts(invoice: Invoice) -> Rows:
    language = invoice.language
    return [
        [word("number", language), invoice.number],
        [word("period", language), period_text(invoice)],
        [word("written_on", language), texts.day(invoice.written_on, language)],
        [word("issued_on", language), texts.day(invoice.issued_on, language)],
        [word("due_on", language), texts.day(invoice.due_on, language) if invoice.amount_due > 0 else texts.EN_DASH],
    ]


def _due(invoice: Invoice) -> list[str]:
    """What is to be paid and until when; where credit paid it all, what the total was."""
    language = invoice.language
    due = [word("amount_due", language), texts.money(invoice.amount_due, invoice.currency)]
    if invoice.amount_due > 0:
        return [*due, word("due_on", language), texts.day(invoice.due_on, language)]
    return [*due, word("total", language), texts.money(invoice.total, invoice.currency)]


def groups(invoice: Invoice, lines: Sequence[InvoiceLine], rates: Mapping[int, RateDetails]) -> list[dict[str, Any]]:
    """Neighbouring lines of the same model and service month under one heading, what tells their prices apart behind each name; at
    last the lines without usage."""
    used = [(line, line.applied_rate_id) for line in lines if line.applied_rate_id is not None]
    keys = [(line.service_month, rate_id) for line, rate_id in used]
    notes = notes_of(keys, rates, language=invoice.language, zone=ZoneInfo(invoice.period.zone))
    agreed = [_agreed_row(invoice, line) for line in lines if line.applied_rate_id is None]
    last = [{"title": word("agreed", invoice.language), "note": "", "lines": agreed}] if agreed else []
    return _grouped(invoice, used, notes) + last


def _agreed_row(invoice: Invoice, line: InvoiceLine) -> list[str]:
    """A line without usage, and what was agreed of it."""
    language, conditions = invoice.language, conditions_of_invoice(invoice)
    note = {
        LineKind.DISCOUNT: texts.percent(conditions.discount),
        LineKind.MINIMUM_FEE: word(
            "minimum_of_month", language, minimum=texts.money(conditions.minimum, invoice.currency)
        ),
    }[LineKind(line.kind)]
    return [word(line.kind, language), note, "", "", texts.money(line.amount, invoice.currency)]


def _grouped(
    invoice: Invoice, lines: Iterable[tuple[InvoiceLine, int]], notes: Mapping[LineKey, str]
) -> list[dict[str, Any]]:
    language, currency = invoice.language, invoice.currency
    return [
        {
            "title": model,
            "note": word("adjustment", language, month=texts.month(late, language)) if late else "",
            "lines": [
                [
                    texts.token_class(line.token_class, language),
                    notes[line.service_month, rate_id],
                    texts.quantity(line.quantity, line.token_class, language),
                    texts.unit_price(line.unit_price, line.token_class, currency, language),
                    texts.money(line.amount, currency),
                ]
                for line, rate_id in group
            ],
        }
        for (model, late), group in groupby(lines, key=lambda row: (row[0].model, row[0].service_month))
    ]


def totals(invoice: Invoice) -> Rows:
    """Supply value, tax and total; and the credit, where there was any."""
    rows: list[tuple[str, Decimal]] = [
        (word("subtotal", invoice.language), invoice.subtotal),
        (parts.tax_label(invoice.tax_treatment, invoice.tax_rate, invoice.language), invoice.tax),
        (word("total", invoice.language), invoice.total),
    ]
    if invoice.credit_applied:
        rows.append((credit_word(invoice, invoice.language), -invoice.credit_applied))
    return [[label, texts.money(amount, invoice.currency)] for label, amount in rows]


def _payment(invoice: Invoice) -> dict[str, Any]:
    """Where the money goes, or that none is due."""
    language = invoice.language
    if invoice.amount_due <= 0:
        return {"title": "", "rows": [nothing_due_words(invoice, language)], "note": ""}
    return parts.bank_account(invoice.seller, language)


def credit_word(invoice: Invoice, language: str) -> str:
    """What the credit of an invoice is called: used, or given where the total is below zero."""
    return word("credit" if invoice.credit_applied > 0 else "credit_given", language)


def nothing_due_words(invoice: Invoice, language: str) -> str:
    """Why nothing is to be paid: credit paid it, nothing was charged, or more was taken back than charged."""
    if invoice.total > 0:
        return word("nothing_due", language)
    return word("nothing_due_given" if invoice.total < 0 else "nothing_due_zero", language)
