"""Downloads: one's requests as a file, the requests behind an invoice, and the script that recomputes either offline."""

import logging
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing import invoice_queries
from billing.papers import document_files, evidence, evidence_files
from billing.rest.evidence_api import evidence_answer
from catalog.models import LanguageModel
from dashboard.access import organization_page
from dashboard.invoice_page import invoice_or_404
from dashboard.requests import asked_key, asked_tag
from dashboard.time_ranges import asked_range
from metering.event_filters import EventFilter
from metering.export_formats import FORMATS
from metering.exporting import usage_file
from pricing import verify_receipts

logger = logging.getLogger(__name__)


@organization_page()
@require_safe
def usage_export(request: HttpRequest) -> HttpResponseBase:
    """The requests of a range, of one model, key or tag if the address names it, as the page of requests shows them."""
    organization = request.organization
    span = asked_range(request.GET, zone=ZoneInfo(organization.zone), now=timezone.now())
    model = LanguageModel.objects.filter(slug=request.GET.get("model", "")).first()
    key = asked_key(request)
    wanted = EventFilter(
        start=span.start,
        end=span.end,
        model_id=model and model.pk,
        api_key_id=key and key.pk,
        tags=asked_tag(request),
    )
    return usage_file(organization=organization, wanted=wanted, format_name=asked_format(request))


@organization_page()
@require_safe
def invoice_export(request: HttpRequest, invoice_id: UUID) -> HttpResponseBase:
    found = invoice_or_404(request.organization, invoice_id)
    return evidence.invoice_file(found, format_name=asked_format(request))


@organization_page()
@require_safe
def invoice_evidence(request: HttpRequest, invoice_id: UUID) -> HttpResponseBase:
    """The stored file; while it is not there, its page says so."""
    found = invoice_or_404(request.organization, invoice_id)
    document = evidence_files.noted_evidence(found)
    try:
        if document is not None:
            return evidence_answer(document)
    except document_files.WrongBytes:
        logger.exception("evidence cannot be opened", extra={"invoice": found.number})
    messages.info(request, _("The evidence file is being written. Please try again in a few minutes."))
    return redirect("dashboard:invoice", request.organization.slug, found.pk)


@organization_page()
@require_safe
def line_export(request: HttpRequest, invoice_id: UUID, position: int) -> HttpResponseBase:
    found = invoice_or_404(request.organization, invoice_id)
    priced = invoice_queries.find_line(found, position)
    if priced is None:
        raise Http404(position)
    return evidence.line_file(found, priced, format_name=asked_format(request))


@require_safe
def verify_receipts_script(request: HttpRequest) -> HttpResponse:
    """The module itself, which needs nothing but Python."""
    return HttpResponse(
        Path(verify_receipts.__file__).read_bytes(),
        content_type="text/x-python; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="verify_receipts.py"'},
    )


def asked_format(request: HttpRequest) -> str:
    """The format that the address names, else CSV."""
    wanted = request.GET.get("format", "")
    return wanted if wanted in FORMATS else "csv"
