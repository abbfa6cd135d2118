"""What an invoice's document says, as plain text in its places: from the invoice's rows alone, nothing of today.

The Typst template only lays it out. Everything in here is data to it, never code.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import TaxTreatment
from billing import document_texts as texts
from billing.document_texts import word
from billing.line_notes import LineKey, notes_of
from billing.models import Invoice, InvoiceLine
from catalog.rate_details import RateDetails
from pricing.totals import MINOR_UNITS

Rows = list[list[str]]
DEFAULT_ZONE = "Asia/Seoul"


def invoice_content(invoice: Invoice, lines: Sequence[InvoiceLine], rates: Mapping[int, RateDetails]) -> dict[str, Any]:
    """The texts of `invoice` in its own language; `lines` in the order of their positions, `rates` those that they name."""
    language = invoice.language
    keys = [(line.service_month, line.applied_rate_id) for line in lines]
    notes = notes_of(keys, rates, language=language, zone=ZoneInfo(invoice.period.zone))
    first, last = service_days(invoice)
    company = invoice.buyer["legal_name"] or invoice.buyer["organization"]
    return {
        "language": language,
        "brand": word("brand", language),
        "title": word("invoice", language),
        "number": invoice.number,
        "metadata": _metadata(invoice),
        "addressee": word("addressee", language, company=company),
        "opening": word("opening", language, month=texts.month(first, language)),
        "facts": _facts(invoice, first, last),
        "due": _due(invoice),
        "parties": [supplier(invoice.seller, language), _buyer(invoice)],
        "columns": [word(name, language) for name in ("item", "quantity", "unit_price", "amount")],
        "groups": _groups(invoice, lines, notes),
        "totals": _totals(invoice),
        "payment": _payment(invoice),
        "exchange": _exchange(invoice),
        "notes": _notes(invoice),
        "page": word("page", language, page="{page}", pages="{pages}"),
        "footer": _footer(invoice),
    }


def service_days(invoice: Invoice) -> tuple[date, date]:
    """The first and the last day of the invoice's period, in the period's own zone."""
    zone = ZoneInfo(invoice.period.zone)
    last_moment = invoice.period.ends_at - timedelta(microseconds=1)
    return invoice.period.starts_at.astimezone(zone).date(), last_moment.astimezone(zone).date()


def total_keyword(invoice: Invoice) -> str:
    """The total as the document's metadata states it, for the audit: `KRW 1358023`, `USD 12.34`."""
    return f"{invoice.currency} {invoice.total:.{MINOR_UNITS[invoice.currency]}f}"


def _metadata(invoice: Invoice) -> dict[str, Any]:
    made = invoice.finalized_at
    return {
        "title": f"{word('invoice', invoice.language)} {invoice.number}",
        "author": _named(invoice.seller, "legal_name", invoice.language),
        "keywords": [invoice.number, total_keyword(invoice)],
        "date": [made.year, made.month, made.day],
    }


def _facts(invoice: Invoice, first: date, last: date) -> Rows:
    language = invoice.language
    period = f"{texts.day(first, language)} {texts.EN_DASH} {texts.day(last, language)}"
    if invoice.period.zone != DEFAULT_ZONE:
        period += f" ({invoice.period.zone})"
    return [
        [word("number", language), invoice.number],
        [word("period", language), period],
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


def supplier(seller: Mapping[str, str], language: str) -> dict[str, Any]:
    """The supplier's block, from what an invoice keeps of its seller."""
    rows = [
        ("registration_number", texts.registration_number(seller["registration_number"])),
        ("company", _named(seller, "legal_name", language)),
        ("representative", seller["representative"]),
        ("address", _named(seller, "address", language)),
        ("business", _joined(" / ", seller["business_type"], seller["business_item"])),
        ("mail_order_number", seller["mail_order_number"]),
        ("phone", seller["phone"]),
        ("email", seller["email"]),
    ]
    return {"title": word("supplier", language), "rows": _filled(rows, language)}


def _buyer(invoice: Invoice) -> dict[str, Any]:
    buyer, language = invoice.buyer, invoice.language
    rows = [
        ("registration_number", texts.registration_number(buyer["registration_number"])),
        ("company", buyer["legal_name"] or buyer["organization"]),
        ("representative", buyer["representative"]),
        ("address", buyer["address"]),
        ("business", _joined(" / ", buyer["business_type"], buyer["business_item"])),
        ("person", buyer["contact_name"]),
        ("email", buyer["contact_email"]),
    ]
    return {"title": word("buyer", language), "rows": _filled(rows, language)}


def _groups(invoice: Invoice, lines: Iterable[InvoiceLine], notes: Mapping[LineKey, str]) -> list[dict[str, Any]]:
    """Neighbouring lines of the same model and service month under one heading, what tells their prices apart behind each name."""
    language, currency = invoice.language, invoice.currency
    return [
        {
            "title": model,
            "note": word("adjustment", language, month=texts.month(late, language)) if late else "",
            "lines": [
                [
                    texts.token_class(line.token_class, language),
                    notes[line.service_month, line.applied_rate_id],
                    texts.quantity(line.quantity, line.token_class, language),
                    texts.unit_price(line.unit_price, line.token_class, currency, language),
                    texts.money(line.amount, currency),
                ]
                for line in group
            ],
        }
        for (model, late), group in groupby(lines, key=lambda line: (line.model, line.service_month))
    ]


def _totals(invoice: Invoice) -> Rows:
    language = invoice.language
    tax_label = {
        TaxTreatment.ZERO_RATED: word("tax_zero_rated", language),
        TaxTreatment.OUT_OF_SCOPE: word("tax_out_of_scope", language),
    }.get(TaxTreatment(invoice.tax_treatment), word("tax", language, rate=texts.percent(invoice.tax_rate)))
    rows = [
        (word("subtotal", language), invoice.subtotal),
        (tax_label, invoice.tax),
        (word("total", language), invoice.total),
    ]
    if invoice.credit_applied:
        rows.append((credit_word(invoice, language), -invoice.credit_applied))
    return [[label, texts.money(amount, invoice.currency)] for label, amount in rows]


def _payment(invoice: Invoice) -> dict[str, Any]:
    """Where the money goes, or that none is due."""
    language = invoice.language
    if invoice.amount_due <= 0:
        return {"title": "", "rows": [nothing_due_words(invoice, language)], "note": ""}
    return bank_account(invoice.seller, language)


def credit_word(invoice: Invoice, language: str) -> str:
    """What the credit of an invoice is called: used, or given where the total is below zero."""
    return word("credit" if invoice.credit_applied > 0 else "credit_given", language)


def nothing_due_words(invoice: Invoice, language: str) -> str:
    """Why nothing is to be paid: credit paid it, nothing was charged, or more was taken back than charged."""
    if invoice.total > 0:
        return word("nothing_due", language)
    return word("nothing_due_given" if invoice.total < 0 else "nothing_due_zero", language)


def bank_account(seller: Mapping[str, str], language: str) -> dict[str, Any]:
    """Where customers transfer to."""
    account = f"{seller['bank_name']} {seller['bank_account']}"
    holder = word("bank_holder", language, holder=seller["bank_holder"])
    return {"title": word("bank", language), "rows": [account, holder], "note": word("bank_note", language)}


def _exchange(invoice: Invoice) -> list[str]:
    """One line a rate, the first with its label; none for an invoice in dollars."""
    rates = [texts.exchange_rate(rate, invoice.language) for rate in invoice.exchange_rates]
    if not rates:
        return []
    return [word("exchange", invoice.language, rates=rates[0]), *rates[1:]]


def _notes(invoice: Invoice) -> list[str]:
    language = invoice.language
    unit = {"KRW": texts.in_language(("1원", "₩1"), language), "USD": "$0.01"}[invoice.currency]
    return [word("note_rounding", language, unit=unit), word("note_invoice", language)]


def _footer(invoice: Invoice) -> str:
    seller, language = invoice.seller, invoice.language
    contact = _joined(" · ", seller["phone"], seller["email"])
    return _joined(" · ", _named(seller, "legal_name", language), word("inquiries", language, contact=contact))


def _named(snapshot: Mapping[str, str], name: str, language: str) -> str:
    """The English form where the document is in English and there is one."""
    return (snapshot.get(f"{name}_en") if language == texts.ENGLISH else "") or snapshot[name]


def _joined(separator: str, *parts: str) -> str:
    return separator.join(part for part in parts if part)


def _filled(rows: Iterable[tuple[str, str]], language: str) -> Rows:
    return [[word(name, language), value] for name, value in rows if value]
