"""REST: papers as PDF – an invoice's own and its statement, a credit note's, a payment's receipt. Always the same bytes."""

import logging
from uuid import UUID

from django.http import Http404, HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from billing import documents
from billing.corrections.credit_note_queries import find_note
from billing.models import Document, Payment
from billing.papers.paper_kinds import Subject, file_name
from billing.papers.typesetting import FontsMissing, TypesettingFailed
from billing.rest.invoices_api import InvoiceView

logger = logging.getLogger(__name__)
PDF_RESPONSE = {(200, "application/pdf"): OpenApiTypes.BINARY}


class DocumentUnavailable(APIException):
    """The PDF cannot be rendered at the moment; the beat's sweep goes on trying. What it is made of can be read."""

    status_code = 503
    default_detail = "The PDF cannot be rendered at the moment. Ask again later."
    default_code = "document_unavailable"
    wait = 60


def pdf_of(subject: Subject, *, kind: str = "") -> HttpResponse:
    """The subject's document as a download. Raises DocumentUnavailable."""
    try:
        content = documents.open_document(subject, kind=kind, now=timezone.now())
    except (documents.DocumentDiffers, FontsMissing, TypesettingFailed, OSError):
        logger.exception("a document cannot be opened", extra={"subject": str(subject.pk)})
        raise DocumentUnavailable from None
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(subject, kind=kind)}"',
        "Cache-Control": "private",
    }
    return HttpResponse(content, content_type="application/pdf", headers=headers)


class InvoicePdf(InvoiceView):
    @extend_schema(operation_id="get_invoice_pdf", summary="The invoice as PDF", responses=PDF_RESPONSE)
    def get(self, request: Request, invoice_id: UUID) -> HttpResponse:
        """Always the same bytes. One that is not rendered yet is rendered now; 503 `document_unavailable` if that fails."""
        return pdf_of(self.invoice(invoice_id))


class InvoiceStatement(InvoiceView):
    @extend_schema(
        operation_id="get_invoice_statement",
        summary="The statement (거래명세서) of an invoice as PDF",
        responses=PDF_RESPONSE,
    )
    def get(self, request: Request, invoice_id: UUID) -> HttpResponse:
        """What was supplied, with the lines and sums of the invoice. Always the same bytes."""
        return pdf_of(self.invoice(invoice_id), kind=Document.Kind.STATEMENT)


class CreditNotePdf(OrganizationAPIView):
    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="get_credit_note_pdf", summary="The credit note (수정 청구서) as PDF", responses=PDF_RESPONSE
    )
    def get(self, request: Request, note_id: UUID) -> HttpResponse:
        """Always the same bytes."""
        note = find_note(organization=self.organization, note_id=note_id)
        if note is None:
            raise Http404
        return pdf_of(note)


class PaymentReceipt(OrganizationAPIView):
    scope = Scope.USAGE_READ

    @extend_schema(
        operation_id="get_payment_receipt", summary="The receipt (영수증) of a payment as PDF", responses=PDF_RESPONSE
    )
    def get(self, request: Request, payment_id: UUID) -> HttpResponse:
        """Of a payment that succeeded; others have none (404). Always the same bytes."""
        payments = Payment.objects.for_organization(self.organization)
        payment = payments.filter(pk=payment_id, status=Payment.Status.SUCCEEDED).first()
        if payment is None:
            raise Http404
        return pdf_of(payment)
