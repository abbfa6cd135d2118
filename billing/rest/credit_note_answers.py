"""How the REST API shows credit notes and refunds. Money is text, with the decimals of its currency."""

from typing import Any

from rest_framework import serializers

from billing.corrections.credit_note_queries import lines_of, refunds_of
from billing.models import CreditNote, CreditNoteLine, InvoiceLine, Refund
from pricing.totals import MINOR_UNITS


class CreditNoteAnswer(serializers.Serializer[Any]):
    """What was taken back of an invoice. `total` = `applied` + `to_credit` + `to_refund` + `credit_returned`."""

    id = serializers.CharField()
    number = serializers.CharField()
    invoice_id = serializers.CharField()
    invoice_number = serializers.CharField()
    issued_on = serializers.DateField()
    issued_at = serializers.DateTimeField()
    reason_code = serializers.ChoiceField(
        choices=CreditNote.ReasonCode.choices, help_text="As an amended tax invoice (수정세금계산서) names it."
    )
    reason = serializers.CharField()
    language = serializers.CharField()
    currency = serializers.CharField()
    supply_value = serializers.CharField(help_text="공급가액 that is taken back.")
    tax = serializers.CharField(help_text="세액: rounded down; the last note takes what is left of the invoice's.")
    total = serializers.CharField()
    applied = serializers.CharField(help_text="Less to pay on the invoice.")
    to_credit = serializers.CharField(help_text="Was paid, became credit.")
    to_refund = serializers.CharField(help_text="Was paid, is sent back; `refunds` says what has been.")
    credit_returned = serializers.CharField(help_text="Was paid by credit, became credit again.")


class CreditNoteLineAnswer(serializers.Serializer[Any]):
    invoice_line = serializers.IntegerField(help_text="Its position on the invoice.")
    kind = serializers.ChoiceField(choices=InvoiceLine.Kind.choices)
    model = serializers.CharField(allow_null=True)
    token_class = serializers.CharField(allow_null=True)
    service_month = serializers.CharField(allow_null=True)
    amount = serializers.CharField(help_text="Taken back of the line, before tax.")


class RefundAnswer(serializers.Serializer[Any]):
    """Money on its way back. A `failed` one is made anew; `unknown`: the processor has not answered yet."""

    id = serializers.CharField()
    credit_note_id = serializers.CharField()
    payment_id = serializers.CharField()
    processor = serializers.CharField(help_text="`stripe`, or `bank_transfer` where it was sent by hand.")
    amount = serializers.CharField()
    currency = serializers.CharField()
    status = serializers.ChoiceField(choices=Refund.Status.choices)
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class CreditNoteDetailAnswer(CreditNoteAnswer):
    """A credit note with its lines and what was sent back of it."""

    seller = serializers.DictField(child=serializers.CharField(allow_blank=True))
    buyer = serializers.DictField(child=serializers.CharField(allow_blank=True))
    lines = CreditNoteLineAnswer(many=True)
    refunds = RefundAnswer(many=True)


class CreditNotePage(serializers.Serializer[Any]):
    data = CreditNoteAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


def note_json(note: CreditNote) -> dict[str, Any]:
    """A note, with its invoice, as CreditNoteAnswer."""
    amounts = {
        "supply_value": note.subtotal,
        **{
            name: getattr(note, name)
            for name in ("tax", "total", "applied", "to_credit", "to_refund", "credit_returned")
        },
    }
    return {
        "id": str(note.pk),
        "number": note.number,
        "invoice_id": str(note.invoice_id),
        "invoice_number": note.invoice.number,
        "issued_on": note.issued_on,
        "issued_at": note.issued_at,
        "reason_code": note.reason_code,
        "reason": note.reason,
        "language": note.language,
        "currency": note.currency,
        **{name: f"{amount:.{MINOR_UNITS[note.currency]}f}" for name, amount in amounts.items()},
    }


def note_detail_json(note: CreditNote) -> dict[str, Any]:
    """A note as CreditNoteDetailAnswer."""
    return note_json(note) | {
        "seller": note.seller,
        "buyer": note.buyer,
        "lines": [_line_json(line, note.currency) for line in lines_of(note)],
        "refunds": [refund_json(refund) for refund in refunds_of(note)],
    }


def refund_json(refund: Refund) -> dict[str, Any]:
    """A refund as RefundAnswer."""
    return {
        "id": str(refund.pk),
        "credit_note_id": str(refund.credit_note_id),
        "payment_id": str(refund.payment_id),
        "processor": refund.processor,
        "amount": f"{refund.amount:.{MINOR_UNITS[refund.currency]}f}",
        "currency": refund.currency,
        "status": refund.status,
        "created_at": refund.created_at,
        "settled_at": refund.settled_at,
    }


def _line_json(line: CreditNoteLine, currency: str) -> dict[str, Any]:
    of = line.invoice_line
    return {
        "invoice_line": of.position,
        "kind": of.kind,
        "model": of.model or None,
        "token_class": of.token_class or None,
        "service_month": of.service_month and of.service_month.strftime("%Y-%m"),
        "amount": f"{line.amount:.{MINOR_UNITS[currency]}f}",
    }
