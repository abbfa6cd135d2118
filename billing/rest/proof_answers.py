"""How the proof of a supply is shown: to programs as text, to people beside the invoice."""

from typing import Any

from rest_framework import serializers

from billing.models import Invoice, SupplyProof, TaxInvoice
from billing.tax.tax_sums import sheets_for


class TaxInvoiceAnswer(serializers.Serializer[Any]):
    """A tax invoice (세금계산서), or an amendment of one (수정세금계산서), as the tax office knows it."""

    reason = serializers.CharField(help_text="수정사유코드: empty for the original, 01 to 06 for an amendment.")
    status = serializers.ChoiceField(choices=TaxInvoice.Status.choices)
    approval_number = serializers.CharField(help_text="승인번호: 24 signs, empty until it is issued.")
    write_date = serializers.DateField(help_text="작성연월일.")
    due_on = serializers.DateField(help_text="The last day on which it is to be issued.")
    supply_value = serializers.CharField()
    tax = serializers.CharField()
    total = serializers.CharField()
    issued_at = serializers.DateTimeField(allow_null=True)


def proof_shown(invoice: Invoice) -> str:
    """The kind of proof; none for invoices from before proofs were chosen. Needs the scope, or the invoice with its `proof`."""
    try:
        return str(invoice.proof.kind)
    except SupplyProof.DoesNotExist:
        return str(SupplyProof.Kind.NONE)


def sheets_of(invoice: Invoice) -> list[TaxInvoice]:
    """The invoice's tax invoices, the original first, or those by which it takes earlier ones back; none that was dropped.

    Needs the scope.
    """
    rows = TaxInvoice.objects.for_organization(invoice.organization_id).filter(invoice=invoice) | sheets_for(invoice)
    return list(rows.exclude(status=TaxInvoice.Status.DROPPED).order_by("created_at", "reason", "pk"))


def sheet_json(row: TaxInvoice) -> dict[str, Any]:
    """A tax invoice as TaxInvoiceAnswer: won have no decimals."""
    return {
        "reason": row.reason,
        "status": row.status,
        "approval_number": row.approval_number,
        "write_date": row.write_date,
        "due_on": row.due_on,
        "supply_value": f"{row.supply:.0f}",
        "tax": f"{row.tax:.0f}",
        "total": f"{row.total:.0f}",
        "issued_at": row.issued_at,
    }
