"""REST: the requests behind an invoice, or behind one of its lines, as a file that can be recomputed offline."""

import logging
from uuid import UUID

from django.http import FileResponse, Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from billing import invoice_queries
from billing.models import Document
from billing.papers import document_files, evidence, evidence_files
from billing.rest.invoices_api import InvoiceView
from metering.export_api import FILE_RESPONSES
from metering.exporting import Streams
from metering.usage_shapes import FormatQuery

logger = logging.getLogger(__name__)


class InvoiceExport(Streams, InvoiceView):
    @extend_schema(
        operation_id="export_invoice",
        summary="The requests behind an invoice as CSV, NDJSON or Parquet",
        parameters=[FormatQuery],
        responses=FILE_RESPONSES,
    )
    def get(self, request: Request, invoice_id: UUID) -> StreamingHttpResponse:
        """Every call that was charged in the invoice's period. Their amounts add up to its `exact_usage`."""
        return evidence.invoice_file(self.invoice(invoice_id), format_name=_format(request))


class EvidenceNotReady(APIException):
    """The file is not written yet, or has to be written again: a job is at it."""

    status_code = 503
    default_detail = "The file is not ready yet. Ask again later."
    default_code = "evidence_not_ready"
    wait = 60


class InvoiceEvidence(Streams, InvoiceView):
    @extend_schema(
        operation_id="get_invoice_evidence",
        summary="The stored evidence of an invoice: every request behind it as CSV",
        responses={(200, "text/csv"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, invoice_id: UUID) -> FileResponse:
        """Written once after the invoice was finalized, then always the same bytes; their SHA-256 is among the invoice's
        `documents`. 503 `evidence_not_ready` while it is being written."""
        document = evidence_files.noted_evidence(self.invoice(invoice_id))
        try:
            if document is None:
                raise EvidenceNotReady
            return evidence_answer(document)
        except document_files.WrongBytes:
            logger.exception("evidence cannot be opened", extra={"invoice": str(invoice_id)})
            raise EvidenceNotReady from None


def evidence_answer(document: Document) -> FileResponse:
    """The file as a download, sent in pieces. Raises `document_files.WrongBytes`."""
    return FileResponse(
        evidence_files.open_evidence(document),
        as_attachment=True,
        filename=document.path.rpartition("/")[2],
        content_type="text/csv; charset=utf-8",
        headers={"Cache-Control": "private"},
    )


class InvoiceLineExport(Streams, InvoiceView):
    @extend_schema(
        operation_id="export_invoice_line",
        summary="The requests behind a line as CSV, NDJSON or Parquet",
        parameters=[FormatQuery],
        responses=FILE_RESPONSES,
    )
    def get(self, request: Request, invoice_id: UUID, position: int) -> StreamingHttpResponse:
        """Every call that put tokens into the line, newest first. Their `line_amount`s add up to its exact amount."""
        invoice = self.invoice(invoice_id)
        priced = invoice_queries.find_line(invoice, position)
        if priced is None:
            raise Http404
        return evidence.line_file(invoice, priced, format_name=_format(request))


def _format(request: Request) -> str:
    query = FormatQuery(data=request.query_params)
    query.is_valid(raise_exception=True)
    return str(query.validated_data["format"])
