"""What the tests of documents and mails share: invoices of any shape without a database, and what a PDF says."""

import io
import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pypdf

from billing.models import Invoice, InvoiceLine
from billing.papers.document_content import invoice_content
from billing.papers.typesetting import typeset
from catalog.rate_details import ExchangeDetails, RateDetails
from ledger.models import BillingPeriod
from pricing.band_conditions import BandConditions
from pricing.totals import invoice_totals

SELLER = {
    "legal_name": "주식회사 인보이스랩",
    "legal_name_en": "InvoiceLab Inc.",
    "registration_number": "220-81-62517",
    "representative": "김대표",
    "address": "서울특별시 중구 세종대로 110",
    "address_en": "110 Sejong-daero, Jung-gu, Seoul",
    "business_type": "정보통신업",
    "business_item": "응용 소프트웨어 개발 및 공급업",
    "mail_order_number": "제2026-서울중구-0123호",
    "email": "billing@invoicedream.example",
    "phone": "02-000-0000",
    "bank_name": "한빛은행",
    "bank_account": "123-456-789012",
    "bank_holder": "주식회사 인보이스랩",
}
BUYER = {
    "organization": "Acme",
    "legal_name": "주식회사 아크메",
    "registration_number": "1208147521",
    "representative": "이서연",
    "address": "경기도 성남시 분당구 판교역로 235",
    "business_type": "정보통신업",
    "business_item": "소프트웨어",
    "contact_name": "박지훈",
    "contact_email": "finance@acme.example",
}
RATE = {"base": "USD", "quote": "KRW", "rate": "1393.5000", "source": "koreaexim", "published_on": "2026-10-30"}
CLASSES = ("input", "cache_read", "output", "searches")


def paper(
    *, lines: int = 3, late: int = 0, buyer: Mapping[str, str] | None = None, sign: int = 1, **fields: Any
) -> Invoice:
    """An invoice that was never saved, its lines in `.drawn_lines`; the last `late` ones are adjustments for September.

    With a `sign` of -1 a month in which everything was taken back, with 0 one in which it was all for nothing.
    """
    currency = fields.get("currency", "KRW")
    drawn = [_line(number, currency=currency, late=number > lines - late) for number in range(1, lines + 1)]
    for line in drawn:
        line.quantity, line.exact_amount = line.quantity * sign, line.exact_amount * sign
    tax_rate = Decimal("0.1000") if fields.get("tax_treatment", "standard") == "standard" else Decimal(0)
    totals = invoice_totals([line.exact_amount for line in drawn], currency=currency, tax_rate=tax_rate)
    for line, amount in zip(drawn, totals.lines, strict=True):
        line.amount = amount
    credit = min(Decimal(fields.pop("credit_applied", 0)), totals.total)
    given: dict[str, Any] = {
        "period": BillingPeriod(
            starts_at=datetime(2026, 9, 30, 15, tzinfo=UTC),
            ends_at=datetime(2026, 10, 31, 15, tzinfo=UTC),
            zone="Asia/Seoul",
        ),
        "number": "INV-000042",
        "language": "ko",
        "currency": currency,
        "tax_treatment": "standard",
        "issued_on": date(2026, 11, 2),
        "written_on": date(2026, 10, 31),
        "due_on": date(2026, 11, 16),
        "seller": SELLER,
        "exchange_rates": [RATE] if currency == "KRW" else [],
        "finalized_at": datetime(2026, 11, 2, tzinfo=UTC),
    }
    invoice = Invoice(
        **(given | fields),
        buyer=BUYER | dict(buyer or {}),
        tax_rate=tax_rate,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        credit_applied=credit,
        amount_due=totals.total - credit,
    )
    invoice.drawn_lines = drawn  # type: ignore[attr-defined]
    return invoice


def _line(number: int, *, currency: str, late: bool) -> InvoiceLine:
    token_class = CLASSES[number % len(CLASSES)]
    quantity = Decimal(7_919 * number**2 % 900_000_000)
    scale = Decimal("0.00000011") if currency == "USD" else Decimal("0.000153285")
    unit_price = Decimal("55") if token_class == "searches" else scale * (number % 90 + 1)
    if token_class == "searches":
        quantity = Decimal(number)
    return InvoiceLine(
        position=number,
        applied_rate_id=number // 3,
        model=f"vendor-{number // 3 % 7}/model-{number // 3}",
        token_class=token_class,
        service_month=date(2026, 9, 1) if late else None,
        quantity=quantity,
        unit_price=unit_price,
        exact_amount=quantity * unit_price,
    )


def rate(model: str = "vendor/model", **fields: Any) -> RateDetails:
    """A rate of `model`, ordinary but for what `fields` say."""
    ordinary: dict[str, Any] = {
        "model_name": "Model",
        "cost_table": "OpenRouter",
        "cost_price_id": 1,
        "price_since": datetime(2026, 1, 1, tzinfo=UTC),
        "band": "base",
        "conditions": BandConditions(),
        "markup_rule_id": 1,
        "markup": Decimal("0.1000"),
        "markup_since": datetime(2026, 1, 1, tzinfo=UTC),
        "exchange": ExchangeDetails(rate=Decimal("1393.5000"), source="koreaexim", published_on=date(2026, 10, 30)),
        "currency": "KRW",
        "unit_costs": {},
        "unit_prices": {},
    }
    return RateDetails(model=model, **(ordinary | fields))


def content_of(invoice: Invoice) -> dict[str, Any]:
    lines = invoice.drawn_lines  # type: ignore[attr-defined]
    return invoice_content(invoice, lines, {line.applied_rate_id: rate(line.model) for line in lines})


def pdf_of(invoice: Invoice) -> bytes:
    return typeset(content_of(invoice), made_at=invoice.finalized_at)


def pages(pdf: bytes) -> list[str]:
    """What each page says, without any white space: where words are parted or wrapped is not what is tested."""
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    return [squeezed(page.extract_text()) for page in reader.pages]


def squeezed(text: str) -> str:
    return "".join(text.split())


def texts_in(content: Any) -> list[str]:
    """Every text of a document's content, but for what is metadata or filled in by the page."""
    if isinstance(content, str):
        return [content] if content else []
    if isinstance(content, Mapping):
        parts = (value for name, value in content.items() if name not in ("metadata", "page", "language"))
    else:
        parts = iter(content)
    return list(itertools.chain.from_iterable(texts_in(part) for part in parts))
