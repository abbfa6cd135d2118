"""Who belongs to the organization, and what each may do."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Membership, Role
from dashboard.access import organization_page
from dashboard.pages import page_links, page_of

ROLES = (
    (Role.OWNER, _("Everything, including closing the account")),
    (Role.ADMIN, _("Everything except closing the account")),
    (Role.BILLING, _("Invoices, payments and business details")),
    (Role.DEVELOPER, _("API keys and usage")),
    (Role.VIEWER, _("May look, not change")),
)


@organization_page()
@require_safe
def members(request: HttpRequest) -> HttpResponse:
    places = (
        Membership.objects.for_organization(request.organization).select_related("user").order_by("created_at", "pk")
    )
    page = page_of(request, places)
    context = {
        "section": "members",
        "page": page,
        "roles": [(role.label, text) for role, text in ROLES],
        **page_links(request, page),
    }
    return render(request, "dashboard/members.html", context)
