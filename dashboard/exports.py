"""Export all data: ask for the file, watch it being made, download it; both with the password given just now."""

import logging
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from accounts.recent_sign_in import has_signed_in_recently, require_recent_sign_in
from billing.exports import exporting
from billing.models import DataExport
from billing.papers import document_files
from billing.rest.exports_api import ROLES_THAT_EXPORT, export_file
from dashboard.access import organization_page

logger = logging.getLogger(__name__)
SHOWN = 5


@organization_page(roles=ROLES_THAT_EXPORT, after_end=True)
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    require_recent_sign_in(request)
    try:
        exporting.ask_for_export(organization_id=request.organization.pk, now=timezone.now(), actor=request.user)
    except exporting.TooManyExports:
        messages.warning(request, _("Five exports a day are enough. Please come back tomorrow."))
    return redirect("dashboard:closure", request.organization.slug)


@organization_page(roles=ROLES_THAT_EXPORT)
@require_safe
def progress(request: HttpRequest) -> HttpResponse:
    """The list, asked for again while one is being made; then the whole page, on which another can be asked for."""
    context = exports_context(request)
    return (
        render(request, "dashboard/export_rows.html", context) if context["is_running"] else HttpResponseClientRefresh()
    )


@organization_page(roles=ROLES_THAT_EXPORT)
@require_safe
def download(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    export = DataExport.objects.for_organization(request.organization).filter(pk=export_id).first()
    if export is None:
        raise Http404(export_id)
    if not has_signed_in_recently(request):
        return _ask_and_come_back(request)
    try:
        return export_file(export, actor=request.user)
    except document_files.WrongBytes:
        logger.exception("an export cannot be opened", extra={"export": str(export_id)})
        messages.error(request, _("This file is not there any more. Please make another export."))
        return redirect("dashboard:closure", request.organization.slug)


def _ask_and_come_back(request: HttpRequest) -> HttpResponse:
    """To the page with the file, not to the file itself: that would leave the reader where the password was asked for."""
    messages.info(request, _("After this you can download the file."))
    page = reverse("dashboard:closure", args=[request.organization.slug])
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({REDIRECT_FIELD_NAME: page})}")


def exports_context(request: HttpRequest) -> dict[str, object]:
    """The newest exports, and whether one is being made. Needs the tenant scope."""
    found = exporting.exports_of(request.organization)[:SHOWN]
    return {"exports": found, "is_running": any(one.status in DataExport.OPEN_STATUSES for one in found)}
