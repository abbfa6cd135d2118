"""The door of an organization's pages: who may enter, and what the page sees once they are in (DESIGN §6).

Inside, the transaction sees this organization's rows only, and times are written in its zone. Rendering happens inside, too, so a
template that follows a relation stays behind row-level security.
"""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.cache import patch_cache_control
from django_htmx.http import HttpResponseClientRefresh

from accounts.models import Role
from accounts.organizations import membership_in
from accounts.tenancy import tenant_scope

EVERYBODY = frozenset(Role)
View = Callable[..., HttpResponse]


def organization_page(*, roles: Collection[str] = EVERYBODY, scoped: bool = True) -> Callable[[View], View]:
    """Let members with one of `roles` in; the view gets `request.organization` and `request.membership`.

    Strangers to the organization get the same 404 as for one that does not exist; members without the role get 403. A view that is
    not `scoped` opens the tenant's scope by itself, because it talks to others between transactions.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return sign_in(request)
            membership = membership_in(request.user, slug)
            if membership is None:
                raise Http404("no such organization among the reader's own")
            if membership.role not in roles:
                raise PermissionDenied(membership.role)
            request.membership, request.organization = membership, membership.organization
            remember(request)
            speak_language_of(request)
            scope = tenant_scope([membership.organization_id]) if scoped else nullcontext()
            with timezone.override(ZoneInfo(membership.organization.zone)), scope:
                response = view(request, **kwargs)
                if not getattr(response, "is_rendered", True):
                    response.render()
            patch_cache_control(response, private=True, no_store=True)
            return response

        return guarded

    return decorate


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


def speak_language_of(request: HttpRequest) -> None:
    """The reader's own language, unless this browser has been told another one."""
    if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
        translation.activate(request.user.language)
        request.LANGUAGE_CODE = translation.get_language()


def may(request: HttpRequest, roles: Collection[str]) -> bool:
    """Whether to offer what members with one of `roles` may do."""
    return request.membership.role in roles
