"""From sign-up to the first call: `/dashboard` finds the reader's place, `/welcome` opens it and issues the first key."""

from datetime import datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.api_keys import ROLES_THAT_MANAGE_KEYS, issue_api_key
from accounts.forms import INVITATION, invitation_of
from accounts.models import ApiKey, Membership
from accounts.organizations import memberships_of
from accounts.tenancy import tenant_scope
from billing.onboarding import open_first_account
from dashboard.access import organization_page
from dashboard.request_rows import newest_event, rows_of


@login_required
@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """The organization that was looked at last, else the oldest; a newcomer is welcomed first, or joins who invited them."""
    places = memberships_of(request.user)
    if not places and invitation_of(request):
        return redirect("dashboard:join", request.session[INVITATION])
    if not places:
        return redirect("dashboard:welcome")
    slugs = [place.organization.slug for place in places]
    last = request.session.get("organization")
    return redirect("dashboard:overview", last if last in slugs else slugs[0])


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest) -> HttpResponse:
    """Opens the newcomer's organization; POST issues its first key, which this page shows once.

    Whoever has a key already, or may not have one, is led to the overview.
    """
    now = timezone.now()
    place = place_of(request, now=now)
    request.organization, request.membership = place.organization, place
    with tenant_scope([place.organization_id]):
        if place.role not in ROLES_THAT_MANAGE_KEYS or ApiKey.objects.for_organization(place.organization).exists():
            return redirect("dashboard:overview", place.organization.slug)
        secret = ""
        if request.method == "POST":
            _key, secret = issue_api_key(
                organization=place.organization, name=_("First key"), now=now, created_by=request.user
            )
    return render(request, "dashboard/welcome.html", {"secret": secret})


def place_of(request: HttpRequest, *, now: datetime) -> Membership:
    """The reader's oldest place; a newcomer's is made now."""
    places = memberships_of(request.user)
    if not places:
        open_first_account(owner=request.user, now=now)
        places = memberships_of(request.user)
    return places[0]


@organization_page()
@require_safe
def first_request(request: HttpRequest) -> HttpResponse:
    """A part of the welcome page: waits, asking every few seconds, until the first usage is there. Then it stops asking."""
    event = newest_event(request.organization)
    rows = rows_of(request.organization, [event]) if event else []
    return render(request, "dashboard/first_request.html", {"row": rows[0] if rows else None})
