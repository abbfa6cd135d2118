"""What an invoice's paper must say: everything the API says of the invoice, in the words of its language."""

from decimal import Decimal
from typing import Any

from tests.billing.papers import pages, squeezed

WORDS = {
    "ko": {
        "overview": "개요", "invoices": "청구서", "saved": "저장했습니다.", "paid": "결제 완료",
        "supply": "공급가액", "tax": "부가세 (10%)", "total": "합계금액", "due": "납부 기한",
        "invoice_mail": "청구서 ({number})", "receipt_mail": "결제 영수증 ({number})",
        "holder": "예금주:", "rate": "적용 환율: 1 USD = {rate}원 (예시 환율, {date} 고시)",
    },
    "en": {
        "overview": "Overview", "invoices": "Invoices", "saved": "Saved.", "paid": "Paid",
        "supply": "Supply value", "tax": "VAT (10%)", "total": "Total", "due": "Due date",
        "invoice_mail": " invoice ({number})", "receipt_mail": "Payment receipt ({number})",
        "holder": "Account holder:", "rate": "Exchange rate applied: 1 USD = {rate} KRW (example rate, published {date})",
    },
}  # fmt: skip
"""What people must read on pages, on paper and as subjects of mails, whatever the catalogs say."""
PARTS = ("legal_name", "registration_number", "representative", "address", "business_type", "business_item")


def assert_equals(pdf: bytes, invoice: dict[str, Any]) -> None:
    """The text of `pdf` has all lines of `invoice` and no other, its amounts, dates, parties, account and rates."""
    paper, words = "".join(pages(pdf)), WORDS[invoice["language"]]
    for text in _facts(invoice, words):
        assert squeezed(text) in paper, (text, paper)
    for line in invoice["lines"]:
        assert squeezed(_cells(line)) in paper, (line, paper)
    priced = [line for line in invoice["lines"] if line["unit_price_per_million"]]
    assert paper.count("/1M") == len(priced), "no line but the invoice's"


def _facts(invoice: dict[str, Any], words: dict[str, str]) -> list[str]:
    amounts = {"supply": "supply_value", "tax": "tax", "total": "total"}
    seller, buyer, english = invoice["seller"], invoice["buyer"], invoice["language"] == "en"
    named = seller | ({name: seller[f"{name}_en"] for name in ("legal_name", "address")} if english else {})
    return [
        invoice["number"],
        *(f"{words[name]}{won(invoice[key])}" for name, key in amounts.items()),
        f"{words['due']}{invoice['due_on'] if english else invoice['due_on'].replace('-', '.')}",
        *(named[part] for part in (*PARTS, "mail_order_number", "phone", "email")),
        *(buyer[part] for part in (*PARTS, "contact_name", "contact_email")),
        f"{seller['bank_name']} {seller['bank_account']}",
        f"{words['holder']} {seller['bank_holder']}",
        *(
            words["rate"].format(rate=f"{Decimal(rate['rate']):,.2f}", date=rate["published_on"])
            for rate in invoice["exchange_rates"]
        ),
    ]


def _cells(line: dict[str, Any]) -> str:
    """Quantity, unit price and amount side by side."""
    return f"{line['quantity']:,} ₩{Decimal(line['unit_price_per_million']):,f} / 1M {won(line['amount'])}"


def won(amount: str) -> str:
    return f"₩{int(amount):,}"
