"""Documents as they were stored: what the customer got, opened by whoever helps them."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from billing.models import Document
from billing.papers import document_files
from billing.rest.evidence_api import evidence_answer
from console.read_only import address_of
from console.site import site


def stored_document(request: HttpRequest, pk: Any) -> HttpResponseBase:
    """The file, if it is still the one that was noted; else the page of what it belongs to, and what to do."""
    document = get_object_or_404(
        Document.objects.select_related("invoice", "payment", "quotation", "credit_note"), pk=pk
    )
    try:
        if document.kind == Document.Kind.EVIDENCE:
            return evidence_answer(document)
        content = document_files.read(document.path, sha256=document.sha256)
    except document_files.WrongBytes:
        messages.error(
            request,
            _(
                "The stored file is missing or damaged. “manage.py render_documents --verify” makes it anew, to the byte."
            ),
        )
        subject = document.invoice or document.payment or document.quotation or document.credit_note
        return redirect(address_of(subject))
    return inline_pdf(content, name=document.path.rpartition("/")[2])


def inline_pdf(content: bytes, *, name: str) -> HttpResponse:
    """A PDF that the browser shows, and saves under this name."""
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)


def document_link(document: Document) -> str:
    """Its kind, which opens it."""
    address = reverse("admin:stored_document", args=[document.pk])
    return format_html('<a class="text-link" href="{}">{}</a>', address, document.get_kind_display())


site.pages.append(path("documents/<int:pk>/", site.admin_view(stored_document), name="stored_document"))
