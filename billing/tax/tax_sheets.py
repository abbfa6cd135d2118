"""What a tax invoice says: made from an invoice when it is planned, and told to the provider from its row alone."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.models import TaxTreatment
from billing.models import Invoice, TaxInvoice
from billing.tax.providers.interface import Item, Party, Sheet
from pricing.exact import ZERO
from pricing.plain_text import plain

PARTY = ("registration_number", "representative", "address", "business_type", "business_item")
ITEM = "LLM API 사용료"
KEY_BYTES = 15


def mgt_key_of(*, invoice_id: UUID, occasion: str) -> str:
    """Our idempotency key at the provider: 24 signs, the same for the same occasion however often it is planned."""
    digest = hashlib.sha256(f"{invoice_id}:{occasion}".encode()).digest()[:KEY_BYTES]
    return base64.b32encode(digest).decode()


def tax_type_of(invoice: Invoice) -> str:
    zero_rated = invoice.tax_treatment == TaxTreatment.ZERO_RATED
    return TaxInvoice.TaxType.ZERO_RATED if zero_rated else TaxInvoice.TaxType.TAXABLE


def purpose_of(invoice: Invoice) -> str:
    """영수 for what is paid, 청구 for what is still to be paid."""
    paid = invoice.status == Invoice.Status.PAID or invoice.amount_due <= ZERO
    return TaxInvoice.Purpose.RECEIVED if paid else TaxInvoice.Purpose.CLAIMED


def supplier_of(invoice: Invoice) -> dict[str, str]:
    return _party(invoice.seller, name=invoice.seller["legal_name"], contact="", email=invoice.seller.get("email", ""))


def buyer_of(details: Mapping[str, str]) -> dict[str, str]:
    """The buyer out of an invoice's snapshot, or out of today's details in the same form."""
    return _party(
        details,
        name=details["legal_name"],
        contact=details.get("contact_name", ""),
        email=details.get("contact_email", ""),
    )


def _party(details: Mapping[str, str], *, name: str, contact: str, email: str) -> dict[str, str]:
    return {field: details.get(field, "") for field in PARTY} | {"name": name, "contact_name": contact, "email": email}


def remark_of(original: TaxInvoice, reason: str) -> str:
    """An amendment with a date of its own says the original's (부가가치세법 시행령 제70조 제1항 제1호–제3호)."""
    if reason in (TaxInvoice.Reason.CORRECTION, TaxInvoice.Reason.ISSUED_TWICE):
        return original.remark
    return f"{original.remark} (당초 작성일자 {original.write_date})"


def items_of(*, written_on: date, supplied_on: date, supply: Decimal, tax: Decimal) -> list[dict[str, str]]:
    """One line for the month that ends with `written_on`; the invoice itself has the details."""
    return [
        {
            "supplied_on": supplied_on.isoformat(),
            "name": f"{ITEM} ({written_on.year}년 {written_on.month}월)",
            "supply": plain(supply),
            "tax": plain(tax),
        }
    ]


def sheet_of(row: TaxInvoice) -> Sheet:
    """The call as its committed row has it. Needs `amends` of an amendment."""
    return Sheet(
        mgt_key=row.mgt_key,
        write_date=row.write_date,
        is_received=row.purpose == TaxInvoice.Purpose.RECEIVED,
        is_zero_rated=row.tax_type == TaxInvoice.TaxType.ZERO_RATED,
        supply=row.supply,
        tax=row.tax,
        total=row.total,
        items=_items(row.items),
        supplier=Party(**row.supplier),
        buyer=Party(**row.buyer),
        remark=row.remark,
        reason=row.reason,
        original_approval_number=row.amends.approval_number if row.amends else "",
    )


def _items(items: Sequence[Mapping[str, Any]]) -> list[Item]:
    return [
        Item(
            supplied_on=date.fromisoformat(item["supplied_on"]),
            name=item["name"],
            supply=Decimal(item["supply"]),
            tax=Decimal(item["tax"]),
        )
        for item in items
    ]
