"""REST: the requests behind an invoice, or behind one of its lines, as a file that can be recomputed offline."""

from uuid import UUID

from django.http import Http404, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing import evidence, invoice_queries
from billing.invoices_api import InvoiceView
from metering.export_api import FILE_RESPONSES
from metering.exporting import Streams
from metering.usage_shapes import FormatQuery


class InvoiceExport(Streams, InvoiceView):
    @extend_schema(
        operation_id="export_invoice",
        summary="The requests behind an invoice as CSV, NDJSON or Parquet",
        parameters=[FormatQuery],
        responses=FILE_RESPONSES,
    )
    def get(self, request: Request, invoice_id: UUID) -> StreamingHttpResponse:
        """Every call that was charged in the invoice's period. Their amounts add up to its exact subtotal."""
        return evidence.invoice_file(self.invoice(invoice_id), format_name=_format(request))


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
