"""Who may enter the console: operators, after password and second factor. Everything else of it lies behind this door.

Sessions name the backend that made them, and Django accepts only backends of its settings: so a session of the site is none
here, nor one of the console there, though both keep theirs in one table.
"""

from collections.abc import Callable
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.utils import is_mfa_enabled
from django.contrib.auth.views import redirect_to_login
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control

from accounts.allauth_adapter import AccountAdapter
from accounts.audit_log import write_audit_entry
from accounts.models import User

FOR_EVERYBODY = frozenset({"healthz", "readyz", "set_language", "account_login", "mfa_authenticate"})
"""Names of the addresses before sign-in."""
TO_SET_UP = frozenset({"mfa_activate_totp", "mfa_reauthenticate", "account_reauthenticate", "account_logout"})
"""What an operator who has not proved a second factor may reach, besides those."""
PROVED = "second_factor_set_up"


def is_operator(user: Any) -> bool:
    """Whether `user` is one of ours, and still is."""
    return bool(user.is_authenticated and user.is_active and user.is_staff)


class OperatorBackend(AuthenticationBackend):
    """Knows operators only: for anybody else the right password is as wrong as any other."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and is_operator(user)


class ConsoleAccountAdapter(AccountAdapter):
    """Refuses whom the backend does not know, and writes down who came in."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        user = super().authenticate(request, **credentials)  # may be one that the backend refused
        return user if user is not None and is_operator(user) else None

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        write_audit_entry(action="operator.signed_in", target=user.email, actor=user, now=timezone.now())
        return super().post_login(request, user, **options)


class OperatorOnlyMiddleware:
    """Lets nobody but operators with a second factor beyond the entrance, whatever the view behind an address does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        patch_cache_control(response, private=True, no_store=True)
        return response

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponse | None:
        match = request.resolver_match
        name = match.view_name if match else ""
        if name in FOR_EVERYBODY:
            return None
        if not is_operator(request.user):
            if request.user.is_authenticated:
                get_adapter(request).logout(request)
            return redirect_to_login(request.get_full_path())
        if name in TO_SET_UP:
            return None
        if not is_mfa_enabled(request.user, [Authenticator.Type.TOTP]):
            return redirect("mfa_activate_totp")
        if not proved_second_factor(request):
            return redirect_to_login(request.get_full_path(), reverse("mfa_reauthenticate"))
        return None


def proved_second_factor(request: HttpRequest) -> bool:
    """Whether this very session did. One that was opened by the password alone does not become good when another sets it up."""
    records = get_authentication_records(request, request.user)
    return PROVED in request.session or any(record["method"] == "mfa" for record in records)


@receiver(authenticator_added)
def remember_proof(request: HttpRequest, **kwargs: Any) -> None:
    """Setting up an app takes a code of it."""
    request.session[PROVED] = True
