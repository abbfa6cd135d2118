"""The addresses under /api/: version 1, its OpenAPI schema, the docs. What is none of them gets the API's own 404."""

from django.conf import settings
from django.urls import include, path, re_path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import api as accounts_api
from accounts import organization_api, tags_api
from accounts.api_views import ApiView, PublicAPIView
from billing.rest import (
    balance_api,
    credit_notes_api,
    documents_api,
    evidence_api,
    exports_api,
    invoices_api,
    payment_methods_api,
    payments_api,
    quotations_api,
    webhook_endpoints_api,
    what_if_api,
)
from billing.rest import estimates_api as billing_api
from catalog import api as catalog_api
from catalog import prices_api
from metering import api as metering_api
from metering import corrections_api, export_api, limits_api, push_api


class Schema(ApiView, SpectacularAPIView):
    """OpenAPI 3, as YAML or JSON."""


class Docs(SpectacularSwaggerSplitView):
    """The browsable docs, a page of the site. Swagger's own has an inline style, which our Content-Security-Policy refuses."""

    authentication_classes = (SessionAuthentication,)
    template_name = "api/docs.html"
    url_name = "api-schema"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        response: Response = super().get(request, *args, **kwargs)
        response.data |= {"section": "docs", "rest_url": f"{settings.SITE_URL}/api/v1"}
        return response


class NoSuchAddress(PublicAPIView):
    """Everything else."""

    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("There is no such address.")


version_1 = [
    path("limits", limits_api.Limits.as_view(), name="api-limits"),
    path("limits/<int:spend_limit_id>", limits_api.LimitDetail.as_view(), name="api-limit"),
    path("limits/stopped-keys", limits_api.StoppedKeys.as_view(), name="api-stopped-keys"),
    path("limits/stopped-keys/<int:key_id>/lift", limits_api.LiftKeyStop.as_view(), name="api-lift-key-stop"),
    path("webhooks", webhook_endpoints_api.Webhooks.as_view(), name="api-webhooks"),
    path("webhooks/<uuid:webhook_id>/test", webhook_endpoints_api.TestWebhook.as_view(), name="api-test-webhook"),
    path("webhooks/<uuid:webhook_id>/rotate", webhook_endpoints_api.RotateWebhook.as_view(), name="api-rotate-webhook"),
    path(
        "webhooks/<uuid:webhook_id>/end-previous",
        webhook_endpoints_api.EndPreviousSecret.as_view(),
        name="api-end-previous-webhook-secret",
    ),
    path(
        "webhooks/<uuid:webhook_id>/deliveries",
        webhook_endpoints_api.WebhookDeliveries.as_view(),
        name="api-webhook-deliveries",
    ),
    path("webhooks/<uuid:webhook_id>", webhook_endpoints_api.WebhookDetail.as_view(), name="api-webhook"),
    path("usage", metering_api.Usage.as_view(), name="api-usage"),
    path("usage/events", metering_api.UsageEvents.as_view(), name="api-usage-events"),
    path("usage/export", export_api.UsageExport.as_view(), name="api-usage-export"),
    path("usage/litellm", push_api.LiteLLMRecords.as_view(), name="api-usage-litellm"),
    path("usage/otlp/v1/traces", push_api.OtlpTraces.as_view(), name="api-usage-otlp"),
    path("usage/events/<uuid:event_id>", metering_api.UsageEventDetail.as_view(), name="api-usage-event"),
    path("usage/events/<uuid:event_id>/void", corrections_api.VoidEvent.as_view(), name="api-void-usage-event"),
    path("usage/events/<uuid:event_id>/amend", corrections_api.AmendEvent.as_view(), name="api-amend-usage-event"),
    path("usage/corrections", corrections_api.Corrections.as_view(), name="api-usage-corrections"),
    path("models", catalog_api.ModelList.as_view(), name="api-models"),
    path("models/<path:model_id>/prices", prices_api.ModelPrices.as_view(), name="api-model-prices"),
    path("models/<path:model_id>", catalog_api.ModelDetail.as_view(), name="api-model"),
    path("balance", balance_api.BalanceDetail.as_view(), name="api-balance"),
    path("estimates", billing_api.Estimates.as_view(), name="api-estimates"),
    path("estimates/what-if", what_if_api.WhatIf.as_view(), name="api-what-if"),
    path("estimates/current", billing_api.CurrentEstimate.as_view(), name="api-current-estimate"),
    path("credit_notes", credit_notes_api.CreditNoteList.as_view(), name="api-credit-notes"),
    path("credit_notes/<uuid:note_id>", credit_notes_api.CreditNoteDetail.as_view(), name="api-credit-note"),
    path("invoices", invoices_api.InvoiceList.as_view(), name="api-invoices"),
    path("invoices/<uuid:invoice_id>", invoices_api.InvoiceDetail.as_view(), name="api-invoice"),
    path("invoices/<uuid:invoice_id>/pdf", documents_api.InvoicePdf.as_view(), name="api-invoice-pdf"),
    path(
        "invoices/<uuid:invoice_id>/statement", documents_api.InvoiceStatement.as_view(), name="api-invoice-statement"
    ),
    path(
        "invoices/<uuid:invoice_id>/lines/<int:position>/events",
        invoices_api.InvoiceLineEvents.as_view(),
        name="api-invoice-line-events",
    ),
    path("invoices/<uuid:invoice_id>/evidence", evidence_api.InvoiceEvidence.as_view(), name="api-invoice-evidence"),
    path("invoices/<uuid:invoice_id>/export", evidence_api.InvoiceExport.as_view(), name="api-invoice-export"),
    path(
        "invoices/<uuid:invoice_id>/lines/<int:position>/export",
        evidence_api.InvoiceLineExport.as_view(),
        name="api-invoice-line-export",
    ),
    path("invoices/<uuid:invoice_id>/pay", payments_api.PayInvoice.as_view(), name="api-pay-invoice"),
    path("payment_methods", payment_methods_api.PaymentMethods.as_view(), name="api-payment-methods"),
    path("exports", exports_api.Exports.as_view(), name="api-exports"),
    path("exports/<uuid:export_id>", exports_api.ExportDetail.as_view(), name="api-export"),
    path("exports/<uuid:export_id>/file", exports_api.ExportFile.as_view(), name="api-export-file"),
    path("payments", payments_api.PaymentList.as_view(), name="api-payments"),
    path("credit_notes/<uuid:note_id>/pdf", documents_api.CreditNotePdf.as_view(), name="api-credit-note-pdf"),
    path("payments/<uuid:payment_id>/receipt", documents_api.PaymentReceipt.as_view(), name="api-payment-receipt"),
    path("quotations", quotations_api.Quotations.as_view(), name="api-quotations"),
    path("quotations/<int:quotation_id>", quotations_api.QuotationDetail.as_view(), name="api-quotation"),
    path("quotations/<int:quotation_id>/pdf", quotations_api.QuotationPdf.as_view(), name="api-quotation-pdf"),
    path("organization", organization_api.OrganizationDetail.as_view(), name="api-organization"),
    path("organization/tags", tags_api.OrganizationTags.as_view(), name="api-organization-tags"),
    path("api-keys", accounts_api.ApiKeyList.as_view(), name="api-keys"),
    path("api-keys/<str:key_id>", accounts_api.ApiKeyDetail.as_view(), name="api-key"),
    path("schema/", Schema.as_view(), name="api-schema"),
]

urlpatterns = [
    path("v1/", include(version_1)),
    path("docs/", Docs.as_view(), name="api-docs"),
    re_path(r"", NoSuchAddress.as_view(), name="api-nothing"),
]
