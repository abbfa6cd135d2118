"""REST: an organization's invoices – the list, one with its lines, and the requests behind a line."""

from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api_views import OrganizationAPIView
from accounts.models import Scope
from accounts.pages import PageQuery, moment_and_id, only_id, page
from billing import invoice_queries
from billing.models import Invoice
from billing.rest.invoice_answers import (
    InvoiceDetailAnswer,
    InvoicePage,
    LineEventPage,
    detail_json,
    invoice_json,
)
from billing.settlement import outstanding_by_invoice
from metering.api import events_renderer
from pricing.plain_text import plain


class InvoiceQuery(PageQuery):
    status = serializers.ChoiceField(choices=Invoice.Status.choices, required=False)


class InvoiceView(OrganizationAPIView):
    """What all of them share: who may read invoices, and how one is found."""

    scope = Scope.USAGE_READ

    def invoice(self, invoice_id: UUID) -> Invoice:
        found = invoice_queries.find_invoice(organization=self.organization, invoice_id=invoice_id)
        if found is None:
            raise Http404
        return found


class InvoiceList(InvoiceView):
    @extend_schema(
        operation_id="list_invoices",
        summary="List invoices, newest first",
        parameters=[InvoiceQuery],
        responses=InvoicePage,
    )
    def get(self, request: Request) -> Response:
        query = InvoiceQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked, now = query.validated_data, timezone.now()
        invoices = invoice_queries.invoices_of(
            organization=self.organization,
            limit=asked["limit"] + 1,
            status=asked.get("status"),
            before=moment_and_id(asked["cursor"]) if "cursor" in asked else None,
        )
        left = outstanding_by_invoice(invoices)
        return Response(
            page(
                invoices,
                limit=asked["limit"],
                position=lambda invoice: (invoice.finalized_at.isoformat(), str(invoice.pk)),
                render=lambda invoice: invoice_json(invoice, left=left[invoice.pk], now=now),
            )
        )


class InvoiceDetail(InvoiceView):
    @extend_schema(operation_id="get_invoice", summary="An invoice with its lines", responses=InvoiceDetailAnswer)
    def get(self, request: Request, invoice_id: UUID) -> Response:
        """Each line with its applied rate – price version, band, markup, exchange rate – and a formula to recompute it."""
        invoice = self.invoice(invoice_id)
        return Response(
            detail_json(
                invoice,
                invoice_queries.priced_lines(invoice),
                invoice_queries.agreed_lines(invoice),
                now=timezone.now(),
            )
        )


class InvoiceLineEvents(InvoiceView):
    @extend_schema(
        operation_id="list_invoice_line_events",
        summary="The requests behind a line, newest first",
        parameters=[PageQuery],
        responses=LineEventPage,
    )
    def get(self, request: Request, invoice_id: UUID, position: int) -> Response:
        """Every recorded call that put tokens into the line. Their `line_amount`s, over all pages, add up to its exact amount."""
        query = PageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        invoice = self.invoice(invoice_id)
        priced = invoice_queries.find_line(invoice, position)
        if priced is None:
            raise Http404
        shares = invoice_queries.shares_of(
            invoice=invoice,
            priced=priced,
            limit=asked["limit"] + 1,
            before=only_id(asked["cursor"]) if "cursor" in asked else None,
        )
        render = events_renderer(self.organization, [share.event for share in shares])
        return Response(
            page(
                shares,
                limit=asked["limit"],
                position=lambda share: (str(share.event.id),),
                render=lambda share: (
                    render(share.event) | {"line_quantity": share.quantity, "line_amount": plain(share.amount)}
                ),
            )
        )
