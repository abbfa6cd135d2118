"""Who asks: an API key, a service key, or a member's session. Look-ups cross tenants, hence run as the `system` role.

An authenticated request has `request.auth`, a `Caller` that names one organization (or a `Reporter` for a service key), and no
database transaction open yet: `accounts.api_views` opens the tenant's scope around the handler.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotFound
from rest_framework.request import Request

from accounts.api_keys import (
    SERVICE_PREFIX,
    InvalidKey,
    KeyIdentity,
    ServiceIdentity,
    digest,
    identify_api_key,
    identify_service_key,
)
from accounts.models import User
from accounts.organizations import membership_in, memberships_of
from accounts.service_keys import note_use

ORGANIZATION_HEADER = "X-Organization"


class InvalidApiKey(AuthenticationFailed):
    """One answer for unknown, mistyped, revoked and expired keys."""

    default_detail = "The API key is not valid."
    default_code = "invalid_api_key"


class OrganizationNotNamed(APIException):
    """A member of several organizations must say which one is meant."""

    status_code = 400
    default_detail = f"You belong to several organizations: name one in the header {ORGANIZATION_HEADER}."
    default_code = "organization_not_named"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who speaks for one organization: the holder of an API key, or a member with a role."""

    organization_id: int
    key: KeyIdentity | None = None
    user: User | None = None
    role: str | None = None

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    @property
    def throttle_ident(self) -> str:
        return f"key:{self.key.api_key_id}" if self.key else f"user:{self.user and self.user.pk}"

    def may(self, *, scope: str, roles: Collection[str]) -> bool:
        """Whether the key has `scope`, or the member one of `roles`."""
        return scope in self.key.scopes if self.key else self.role in roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """A foreign gateway, by its service key."""

    identity: ServiceIdentity

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    @property
    def throttle_ident(self) -> str:
        return f"source:{self.identity.source_id}"


def bearer_secret(request: Request) -> str | None:
    """The secret in the Authorization header; None if there is no such header. Raises InvalidApiKey if it is no bearer."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise InvalidApiKey("The Authorization header must read: Bearer <API key>.")
    return secret.strip()


class BearerAuthentication(BaseAuthentication):
    """What the two key authentications share: the scheme that a 401 names."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="InvoiceDream"'


class ApiKeyAuthentication(BearerAuthentication):
    """`Authorization: Bearer idk_live_…`."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        secret = bearer_secret(request)
        if secret is None:
            return None
        try:
            identity = identify_api_key(secret, now=timezone.now())
        except InvalidKey:
            raise InvalidApiKey from None
        if request.headers.get(ORGANIZATION_HEADER, identity.organization_slug) != identity.organization_slug:
            raise NotFound("No such organization.")
        caller = Caller(organization_id=identity.organization_id, key=identity)
        return caller, caller


class ReporterAuthentication(BearerAuthentication):
    """For pushed usage: a service key (`isk_live_…`) or an organization's API key."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | tuple[Reporter, Reporter] | None:
        secret = bearer_secret(request)
        if secret is None or not secret.startswith(SERVICE_PREFIX):
            return ApiKeyAuthentication().authenticate(request)
        now = timezone.now()
        try:
            reporter = Reporter(identity=identify_service_key(secret, now=now))
        except InvalidKey:
            raise InvalidApiKey from None
        note_use(key_id=reporter.identity.service_key_id, now=now)
        return reporter, reporter


class RememberedReporterAuthentication(ReporterAuthentication):
    """Remembers for two seconds whom a key belongs to: pushed usage comes in streams of requests under one key.

    Per organization that is named beside the key, because a key of another one is refused. A revoked key is refused as soon as
    it is forgotten, well within the five seconds that are promised.
    """

    SECONDS, MOST = 2.0, 10_000
    _known: ClassVar[dict[tuple[bytes, str | None], tuple[tuple[Any, Any], float]]] = {}

    def authenticate(self, request: Request) -> Any:
        secret = bearer_secret(request)
        if secret is None:
            return None
        name, now = (digest(secret), request.headers.get(ORGANIZATION_HEADER)), time.monotonic()
        known = self._known.get(name)
        if known is not None and known[1] > now:
            return known[0]
        found = super().authenticate(request)
        if found is not None:
            if len(self._known) > self.MOST:
                self._known.clear()
            self._known[name] = (found, now + self.SECONDS)
        return found


class OrganizationSessionAuthentication(SessionAuthentication):
    """The site's session cookie with a CSRF token; the header `X-Organization`, or the user's only organization.

    `request.auth` stays None while no organization is named, which is enough for what the public may see too.
    """

    def authenticate(self, request: Request) -> tuple[User, Caller | None] | None:
        found = super().authenticate(request)
        if found is None or isinstance(found[0], AnonymousUser):
            return None
        user: User = found[0]
        slug = request.headers.get(ORGANIZATION_HEADER)
        if slug is not None:
            membership = membership_in(user, slug)
            if membership is None:
                raise NotFound("No such organization.")
        else:
            memberships = memberships_of(user)
            membership = memberships[0] if len(memberships) == 1 else None
        if membership is None:
            return user, None
        return user, Caller(organization_id=membership.organization_id, user=user, role=membership.role)
