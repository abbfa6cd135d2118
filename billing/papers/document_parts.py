"""What documents have in common: who sells and who buys, where money goes, what the foot and the metadata say."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from accounts.models import TaxTreatment
from billing.papers import document_texts as texts
from billing.papers.document_texts import word
from pricing.totals import MINOR_UNITS

Rows = list[list[str]]
NO_APPENDIX: Mapping[str, Any] = MappingProxyType({"title": "", "lead": "", "tables": []})


def metadata(
    *, title: str, number: str, total: str, seller: Mapping[str, str], made_on: date, language: str
) -> dict[str, Any]:
    """Title, author and keywords of the PDF. `total` as `stated` writes it: the audit reads it there."""
    return {
        "title": f"{title} {number}",
        "author": named(seller, "legal_name", language),
        "keywords": [number, total],
        "date": [made_on.year, made_on.month, made_on.day],
    }


def stated(amount: Decimal, currency: str) -> str:
    """An amount as a document's metadata state it, for the audit: `KRW 1358023`, `USD 12.34`."""
    return f"{currency} {amount:.{MINOR_UNITS[currency]}f}"


def supplier(seller: Mapping[str, str], language: str) -> dict[str, Any]:
    """The supplier's block, from what a document keeps of its seller."""
    rows = [
        ("registration_number", texts.registration_number(seller["registration_number"])),
        ("company", named(seller, "legal_name", language)),
        ("representative", seller["representative"]),
        ("address", named(seller, "address", language)),
        ("business", joined(" / ", seller["business_type"], seller["business_item"])),
        ("mail_order_number", seller["mail_order_number"]),
        ("phone", seller["phone"]),
        ("email", seller["email"]),
    ]
    return {"title": word("supplier", language), "rows": _filled(rows, language)}


def customer(buyer: Mapping[str, str], language: str) -> dict[str, Any]:
    """The buyer's block, from what a document keeps of its buyer."""
    rows = [
        ("registration_number", texts.registration_number(buyer["registration_number"])),
        ("company", company_of(buyer)),
        ("representative", buyer["representative"]),
        ("address", buyer["address"]),
        ("business", joined(" / ", buyer["business_type"], buyer["business_item"])),
        ("person", buyer["contact_name"]),
        ("email", buyer["contact_email"]),
    ]
    return {"title": word("buyer", language), "rows": _filled(rows, language)}


def company_of(buyer: Mapping[str, str]) -> str:
    return buyer["legal_name"] or buyer["organization"]


def tax_label(treatment: str, rate: Decimal, language: str) -> str:
    return {
        TaxTreatment.ZERO_RATED: word("tax_zero_rated", language),
        TaxTreatment.OUT_OF_SCOPE: word("tax_out_of_scope", language),
    }.get(TaxTreatment(treatment), word("tax", language, rate=texts.percent(rate)))


def bank_account(seller: Mapping[str, str], language: str) -> dict[str, Any]:
    """Where customers transfer to."""
    account = f"{seller['bank_name']} {seller['bank_account']}"
    holder = word("bank_holder", language, holder=seller["bank_holder"])
    return {"title": word("bank", language), "rows": [account, holder], "note": word("bank_note", language)}


def exchange(rates: Iterable[Mapping[str, str]], language: str) -> list[str]:
    """One line a rate, the first with its label; none for what is in dollars."""
    told = [texts.exchange_rate(rate, language) for rate in rates]
    return [word("exchange", language, rates=told[0]), *told[1:]] if told else []


def rounding_note(currency: str, language: str) -> str:
    unit = {"KRW": texts.in_language(("1원", "₩1"), language), "USD": "$0.01"}[currency]
    return word("note_rounding", language, unit=unit)


def frame(seller: Mapping[str, str], language: str) -> dict[str, Any]:
    """What stands on every page of every document."""
    contact = joined(" · ", seller["phone"], seller["email"])
    inquiries = word("inquiries", language, contact=contact)
    return {
        "language": language,
        "brand": word("brand", language),
        "page": word("page", language, page="{page}", pages="{pages}"),
        "footer": joined(" · ", named(seller, "legal_name", language), inquiries),
    }


def in_words(amount: Decimal, currency: str, language: str) -> list[str]:
    """The amount spelled out, as Korean papers have it; nothing in English, in dollars or below zero."""
    if language != texts.KOREAN or currency != "KRW" or amount < 0:
        return []
    return [texts.won_in_hangul(amount)]


def named(snapshot: Mapping[str, str], name: str, language: str) -> str:
    """The English form where the document is in English and there is one."""
    return (snapshot.get(f"{name}_en") if language == texts.ENGLISH else "") or snapshot[name]


def joined(separator: str, *parts: str) -> str:
    return separator.join(part for part in parts if part)


def _filled(rows: Iterable[tuple[str, str]], language: str) -> Rows:
    return [[word(name, language), value] for name, value in rows if value]
