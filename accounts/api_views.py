"""The base of every REST view: rate-limit headers on each answer, and one tenant's scope around the handler.

`OrganizationAPIView` is the only way to a tenant's rows over REST: it authenticates first, as the `system` role, then opens
`tenant_scope` for the caller's organization, so a handler cannot see anything else even if it forgets to ask properly.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from rest_framework.exceptions import APIException, NotAcceptable, NotAuthenticated, NotFound, PermissionDenied
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import SAFE_METHODS, AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import Caller, OrganizationNotNamed
from accounts.models import Organization, Role, User
from accounts.openapi import ApiSchema
from accounts.profiles import ROLES_THAT_ADMINISTER
from accounts.tenancy import tenant_scope


class LenientNegotiation(DefaultContentNegotiation):
    """Answers in the first format we have where none of those asked for is ours, so that errors can be read too."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A REST view. It speaks English, whatever the site's language. Whoever is refused is counted first, by address if need be."""

    content_negotiation_class = LenientNegotiation
    schema = ApiSchema()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with translation.override("en"):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None
        request.version = request.versioning_scheme = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        try:
            self.perform_authentication(request)
        except APIException:
            self.check_throttles(request)
            raise
        self.check_throttles(request)
        self.check_permissions(request)

    def finalize_response(
        self, request: HttpRequest | Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        rate_limit = getattr(request, "rate_limit", None)
        for name, value in rate_limit.headers.items() if rate_limit else ():
            response.headers[name] = value
        return response


class PublicAPIView(ApiView):
    """What everybody may see; `caller` is who asks, if they say so."""

    permission_classes = [AllowAny]

    @property
    def caller(self) -> Caller | None:
        return self.request.auth if isinstance(self.request.auth, Caller) else None


class OrganizationAPIView(ApiView):
    """A view on one organization's rows. A key needs `scope`, a member one of `roles`."""

    scope: ClassVar[str]
    roles: ClassVar[frozenset[str]] = frozenset(Role)
    unscoped_methods: ClassVar[frozenset[str]] = frozenset()
    """Methods that check for themselves who asks, and write through a door of their own."""
    after_end: ClassVar[bool] = False
    """Whether something may still be changed by it once the organization's usage has ended."""
    permission_classes = [IsAuthenticated]

    organization: Organization

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method in self.unscoped_methods:
            return
        if self.caller.may(scope=self.scope, roles=self.roles) is False:
            raise PermissionDenied
        name = (request.method or "").lower()
        if name in self.http_method_names and hasattr(self, name):
            # A view object serves one request: dispatch finds the wrapped handler next.
            setattr(self, name, self._in_scope(getattr(self, name)))

    @property
    def caller(self) -> Caller:
        """Who asks. Raises OrganizationNotNamed for a session that leaves open for whom."""
        caller = self.request.auth
        if caller is None and not self.request.user.is_authenticated:
            raise NotAuthenticated
        if caller is None:
            raise OrganizationNotNamed
        return caller

    @property
    def administers(self) -> bool:
        """Whether a person asks who administers the organization. A key never does: what runs away must not lift what stops it."""
        return self.caller.key is None and self.caller.role in ROLES_THAT_ADMINISTER

    def administrator(self, what: str) -> User:
        """Who changes `what`, with their session. Raises PermissionDenied."""
        user = self.caller.user
        if user is None or not self.administers:
            raise PermissionDenied(f"Only owners and admins can change {what}, with their session.")
        return user

    def _in_scope(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def scoped(*args: Any, **kwargs: Any) -> Response:
            with tenant_scope([self.caller.organization_id]):
                self.organization = Organization.objects.get(pk=self.caller.organization_id)
                if self.organization.is_out_of_sight(now=timezone.now()):
                    raise NotFound("No such organization.")
                if self.organization.has_ended and self.request.method not in SAFE_METHODS and not self.after_end:
                    raise PermissionDenied("The organization's usage has ended, so nothing can be changed any more.")
                return handler(*args, **kwargs)

        return scoped
