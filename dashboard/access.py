"""The door of an organization's pages: who may enter, and what the page sees once they are in.

Inside, the transaction sees this organization's rows only, and times are written in its zone. Rendering happens inside, too, so a
template that follows a relation stays behind row-level security.
"""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from accounts.models import Role
from accounts.organizations import membership_in
from accounts.tenancy import tenant_scope

EVERYBODY = frozenset(Role)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
View = Callable[..., HttpResponse]


def organization_page(
    *, roles: Collection[str] = EVERYBODY, scoped: bool = True, after_end: bool = False
) -> Callable[[View], View]:
    """Let members with one of `roles` in; the view gets `request.organization` and `request.membership`.

    Of an organization whose usage has ended pages can be read; what changes something is refused but where it is said to go on
    `after_end`, and a closed one is out of sight at last. Strangers to the organization get the same 404 as for one that does not
    exist; members without the role get 403. A view that is not `scoped` opens the tenant's scope by itself, because it talks to
    others between transactions.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return sign_in(request)
            membership = membership_in(request.user, slug)
            if membership is None or membership.organization.is_out_of_sight(now=timezone.now()):
                raise Http404("no such organization among the reader's own")
            if membership.role not in roles:
                raise PermissionDenied(membership.role)
            request.membership, request.organization = membership, membership.organization
            remember(request)
            if membership.organization.has_ended and request.method not in SAFE and not after_end:
                return _refuse_after_end(request)
            scope = tenant_scope([membership.organization_id]) if scoped else nullcontext()
            with timezone.override(ZoneInfo(membership.organization.zone)), scope:
                response = view(request, **kwargs)
                if not getattr(response, "is_rendered", True):
                    response.render()
            patch_cache_control(response, private=True, no_store=True)
            return response

        return guarded

    return decorate


def _refuse_after_end(request: HttpRequest) -> HttpResponse:
    """To the page that says how far the closure is."""
    messages.error(request, _("The organization's usage has ended, so nothing can be changed any more."))
    address = reverse("dashboard:closure", args=[request.organization.slug])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


def sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page and back; a part of a page that is being refreshed takes the whole page there."""
    if request.htmx:
        return HttpResponseClientRefresh()
    return redirect_to_login(request.get_full_path())


def remember(request: HttpRequest) -> None:
    """The next visit of `/dashboard` leads to the organization that was looked at last."""
    slug = request.organization.slug
    if request.session.get("organization") != slug:
        request.session["organization"] = slug


def may(request: HttpRequest, roles: Collection[str]) -> bool:
    """Whether to offer what members with one of `roles` may do."""
    return request.membership.role in roles
