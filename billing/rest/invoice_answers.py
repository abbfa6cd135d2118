"""How the REST API shows invoices, their lines, and the requests behind a line. Money is text; exact where the name says so."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework import serializers

from billing.corrections.credit_note_queries import notes_of, refunds_of
from billing.invoice_queries import AgreedLine, PricedLine, is_overdue, notes_of_lines
from billing.models import Invoice, InvoiceLine, SupplyProof
from billing.rest.credit_note_answers import CreditNoteAnswer, RefundAnswer, note_json, refund_json
from billing.rest.proof_answers import TaxInvoiceAnswer, proof_shown, sheet_json, sheets_of
from billing.settlement import outstanding
from catalog.rate_answers import AppliedRateAnswer, rate_json
from metering.usage_shapes import EventAnswer
from pricing.exact import exact_sum
from pricing.plain_text import plain
from pricing.totals import MINOR_UNITS


class PeriodName(serializers.Serializer[Any]):
    """A half-open month in the organization's zone."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    zone = serializers.CharField()


class InvoiceAnswer(serializers.Serializer[Any]):
    """An invoice: what is owed for a period. Amounts have the decimals of their currency."""

    id = serializers.CharField()
    number = serializers.CharField()
    kind = serializers.ChoiceField(choices=Invoice.Kind.choices)
    status = serializers.ChoiceField(choices=Invoice.Status.choices)
    overdue = serializers.BooleanField(help_text="Open after its due date.")
    period = PeriodName()
    issued_on = serializers.DateField()
    written_on = serializers.DateField(help_text="작성일자.")
    due_on = serializers.DateField()
    language = serializers.CharField()
    po_number = serializers.CharField(
        allow_blank=True, help_text="발주번호: the buyer's own, as it was when it was issued."
    )
    currency = serializers.CharField()
    supply_value = serializers.CharField(help_text="공급가액: the exact amounts added up, rounded once.")
    tax = serializers.CharField(help_text="세액: rounded down.")
    total = serializers.CharField(help_text="합계금액.")
    credit_applied = serializers.CharField(help_text="Prepaid credit that was used for it.")
    amount_due = serializers.CharField(help_text="청구 금액: the total less the credit.")
    amount_outstanding = serializers.CharField(
        help_text="미납 금액: the amount due less payments and credit notes; 0 unless open."
    )
    finalized_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)
    voided_at = serializers.DateTimeField(allow_null=True)
    void_reason = serializers.CharField(help_text="Empty unless void.")
    proof = serializers.ChoiceField(
        choices=SupplyProof.Kind.choices,
        help_text="What proves the supply to the tax office. `tax_invoice`: 세금계산서.",
    )


class InvoiceLineAnswer(serializers.Serializer[Any]):
    """quantity × unit price = exact amount. The `amount`s of all lines add up to the supply value.

    What terms make of the usage – a `discount`, a `minimum_fee` – are lines of quantity 1 without model, class, rate and events.
    """

    position = serializers.IntegerField(help_text="The n of `lines/{n}/events`, where the kind is `usage`.")
    kind = serializers.ChoiceField(choices=InvoiceLine.Kind.choices)
    model = serializers.CharField(allow_null=True)
    token_class = serializers.CharField(allow_null=True)
    service_month = serializers.CharField(
        allow_null=True, help_text="Of usage that came in after its month was closed."
    )
    note = serializers.CharField(
        help_text="What tells its price from that of the model's other lines (long prompts, hours, a change), in the "
        "invoice's language; empty where there is only one. `applied_rates[…].conditions` says it to programs."
    )
    quantity = serializers.IntegerField()
    unit_price = serializers.CharField(help_text="For one token or piece.")
    unit_price_per_million = serializers.CharField(allow_null=True, help_text="null for what is counted in pieces.")
    exact_amount = serializers.CharField()
    amount = serializers.CharField(help_text="Its share of the rounded supply value.")
    applied_rate_id = serializers.IntegerField(allow_null=True)
    formula = serializers.CharField(
        help_text="A product that gives the exact amount, or of a minimum fee a difference."
    )


class ExchangeRateAnswer(serializers.Serializer[Any]):
    base = serializers.CharField()
    quote = serializers.CharField()
    rate = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    published_on = serializers.DateField()


class DocumentAnswer(serializers.Serializer[Any]):
    """A stored file about the invoice, which never changes: `invoice` and `statement` are PDF, `evidence` is CSV."""

    kind = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of its bytes, in hexadecimal digits.")
    size = serializers.IntegerField(help_text="In bytes.")
    rendered_at = serializers.DateTimeField()


class InvoiceDetailAnswer(InvoiceAnswer):
    """An invoice with its parties as they were when it was finalized, and its lines with the rates behind them."""

    tax_treatment = serializers.CharField()
    tax_rate = serializers.CharField()
    exact_supply_value = serializers.CharField(help_text="Before rounding: the exact amounts of the lines added up.")
    exact_usage = serializers.CharField(help_text="Those of the lines of usage, which are what its requests add up to.")
    seller = serializers.DictField(child=serializers.CharField(allow_blank=True))
    buyer = serializers.DictField(child=serializers.CharField(allow_blank=True))
    exchange_rates = ExchangeRateAnswer(many=True)
    documents = DocumentAnswer(many=True)
    credit_notes = CreditNoteAnswer(many=True, help_text="What was taken back of it, the oldest first.")
    refunds = RefundAnswer(many=True, help_text="What was sent back of it, the newest first.")
    tax_invoices = TaxInvoiceAnswer(many=True, help_text="The original and its amendments; empty for other proofs.")
    lines = InvoiceLineAnswer(many=True)
    applied_rates = serializers.DictField(child=AppliedRateAnswer(), help_text="By applied_rate_id.")


class InvoicePage(serializers.Serializer[Any]):
    data = InvoiceAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


class LineEventAnswer(EventAnswer):
    """A request behind a line. `amount` is all of it; `line_amount` is what its tokens of the line's class put into the line."""

    line_quantity = serializers.IntegerField()
    line_amount = serializers.CharField(help_text="Exact. Over all pages they add up to the line's exact amount.")


class LineEventPage(serializers.Serializer[Any]):
    data = LineEventAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


def invoice_json(invoice: Invoice, *, left: Decimal, now: datetime) -> dict[str, Any]:
    """An invoice, with its period and what is `left` to be paid, as InvoiceAnswer."""
    zone, period = ZoneInfo(invoice.period.zone), invoice.period
    amounts = {
        "supply_value": invoice.subtotal,
        "tax": invoice.tax,
        "total": invoice.total,
        "credit_applied": invoice.credit_applied,
        "amount_due": invoice.amount_due,
        "amount_outstanding": left,
    }
    return {
        "id": str(invoice.pk),
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoice.status,
        "overdue": is_overdue(invoice, now=now),
        "period": {
            "start": period.starts_at.astimezone(zone).isoformat(),
            "end": period.ends_at.astimezone(zone).isoformat(),
            "zone": period.zone,
        },
        "issued_on": invoice.issued_on,
        "written_on": invoice.written_on,
        "due_on": invoice.due_on,
        "language": invoice.language,
        "po_number": invoice.po_number,
        "currency": invoice.currency,
        **{name: f"{amount:.{MINOR_UNITS[invoice.currency]}f}" for name, amount in amounts.items()},
        "finalized_at": invoice.finalized_at,
        "paid_at": invoice.paid_at,
        "voided_at": invoice.voided_at,
        "void_reason": invoice.void_reason,
        "proof": proof_shown(invoice),
    }


def detail_json(
    invoice: Invoice, lines: Sequence[PricedLine], agreed: Sequence[AgreedLine], *, now: datetime
) -> dict[str, Any]:
    """An invoice with its lines as InvoiceDetailAnswer."""
    notes = notes_of_lines(lines, language=invoice.language, zone=ZoneInfo(invoice.period.zone))
    return invoice_json(invoice, left=outstanding(invoice), now=now) | {
        "tax_treatment": invoice.tax_treatment,
        "tax_rate": plain(invoice.tax_rate),
        "exact_supply_value": plain(invoice.exact_subtotal),
        "exact_usage": plain(exact_sum(line.line.exact_amount for line in lines)),
        "seller": invoice.seller,
        "buyer": invoice.buyer,
        "exchange_rates": invoice.exchange_rates,
        "documents": [
            {"kind": row.kind, "sha256": row.sha256, "size": row.size, "rendered_at": row.rendered_at}
            for row in invoice.documents.order_by("pk")
        ],
        "credit_notes": [note_json(note) for note in notes_of(invoice)],
        "refunds": [refund_json(refund) for refund in refunds_of(invoice)],
        "tax_invoices": [sheet_json(row) for row in sheets_of(invoice)],
        "lines": [
            *(_usage_json(line, note, invoice.currency) for line, note in zip(lines, notes, strict=True)),
            *(_line_json(line.line, invoice.currency) | {"formula": line.formula} for line in agreed),
        ],
        "applied_rates": {str(line.rate_id): rate_json(line.rate) for line in lines},
    }


def _usage_json(priced: PricedLine, note: str, currency: str) -> dict[str, Any]:
    per_million = priced.price_per_million
    return _line_json(priced.line, currency) | {
        "note": note,
        "unit_price_per_million": None if per_million is None else plain(per_million),
        "formula": priced.formula,
    }


def _line_json(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "position": line.position,
        "kind": line.kind,
        "model": line.model or None,
        "token_class": line.token_class or None,
        "service_month": line.service_month and line.service_month.strftime("%Y-%m"),
        "note": "",
        "quantity": int(line.quantity),
        "unit_price": plain(line.unit_price),
        "unit_price_per_million": None,
        "exact_amount": plain(line.exact_amount),
        "amount": f"{line.amount:.{MINOR_UNITS[currency]}f}",
        "applied_rate_id": line.applied_rate_id,
    }
