"""Papers to download: an invoice's PDF and statement, a credit note's PDF, the receipt of a payment."""

import logging
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing import documents
from billing.models import Document, Payment
from billing.papers.paper_kinds import Subject, file_name
from billing.papers.typesetting import FontsMissing, TypesettingFailed
from dashboard.access import organization_page
from dashboard.credit_notes import note_or_404
from dashboard.invoice_page import invoice_or_404

logger = logging.getLogger(__name__)


@organization_page()
@require_safe
def invoice_pdf(request: HttpRequest, invoice_id: UUID) -> HttpResponse:
    found = invoice_or_404(request.organization, invoice_id)
    return download(request, found, back=("dashboard:invoice", found.pk))


@organization_page()
@require_safe
def statement(request: HttpRequest, invoice_id: UUID) -> HttpResponse:
    found = invoice_or_404(request.organization, invoice_id)
    return download(request, found, kind=Document.Kind.STATEMENT, back=("dashboard:invoice", found.pk))


@organization_page()
@require_safe
def credit_note(request: HttpRequest, note_id: UUID) -> HttpResponse:
    found = note_or_404(request.organization, note_id)
    return download(request, found, back=("dashboard:invoice", found.invoice_id))


@organization_page()
@require_safe
def receipt(request: HttpRequest, payment_id: UUID) -> HttpResponse:
    """Of a payment that succeeded; others have none."""
    payments = Payment.objects.for_organization(request.organization).filter(status=Payment.Status.SUCCEEDED)
    found = payments.filter(pk=payment_id).first()
    if found is None:
        raise Http404(payment_id)
    back = ("dashboard:invoice", found.invoice_id) if found.invoice_id else ("dashboard:invoices",)
    return download(request, found, back=back)


def download(request: HttpRequest, subject: Subject, *, kind: str = "", back: tuple[object, ...]) -> HttpResponse:
    """The document as a download, rendered now where it was not yet; where that fails, its page again with a word about it."""
    try:
        content = documents.open_document(subject, kind=kind, now=timezone.now())
    except (documents.DocumentDiffers, FontsMissing, TypesettingFailed, OSError):
        logger.exception("a document cannot be opened", extra={"subject": str(subject.pk)})
        messages.error(request, _("The PDF cannot be made at the moment. We have been told; please try again later."))
        name, *rest = back
        return redirect(str(name), request.organization.slug, *rest)
    headers = {"Content-Disposition": f'attachment; filename="{file_name(subject, kind=kind)}"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)
