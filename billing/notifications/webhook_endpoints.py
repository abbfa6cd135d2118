"""Endpoints that hear of notices: registered by owners and admins, tested, given another secret, switched on again, removed.

A secret is shown once, by the deed that made it. No table holds it: it is derived from SECRET_KEY and the endpoint's
`nonce`, as the tokens of invitations are, so a copy of the database signs nothing. Another SECRET_KEY makes other secrets.
"""

import secrets
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q
from django.utils.crypto import salted_hmac

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.rotating import is_sent_again
from accounts.tenancy import TenantQuerySet, tenant_scope
from billing.models import Notice, WebhookDelivery, WebhookEndpoint
from billing.notifications.notices import queue_deliveries
from billing.notifications.webhook_addresses import is_public
from ledger.settling import lock_balance

MOST = 5
SECRET_PREFIX, SALT = "whsec_", "billing.notifications.webhook_endpoints"
LONGEST = 500


class BadUrl(ValueError):
    """The message says what an address must be like."""


class TooMany(ValueError):
    """An organization has MOST endpoints."""


class TestsTooFast(ValueError):
    """A test is still on its way."""


class Removed(ValueError):
    """The endpoint was removed meanwhile."""


def secrets_of(endpoint: WebhookEndpoint, *, now: datetime) -> list[str]:
    """What its deliveries are signed with: the present secret, and the one before while both work."""
    nonces = [endpoint.nonce, endpoint.previous_nonce] if previous_works(endpoint, now=now) else [endpoint.nonce]
    return [_secret(endpoint, nonce) for nonce in nonces]


def previous_works(endpoint: WebhookEndpoint, *, now: datetime) -> bool:
    """Whether the secret before the last rotation still signs."""
    return endpoint.previous_until is not None and endpoint.previous_until > now


def _secret(endpoint: WebhookEndpoint, nonce: str) -> str:
    return SECRET_PREFIX + salted_hmac(SALT, f"{endpoint.pk}.{nonce}", algorithm="sha256").hexdigest()


def _nonce() -> str:
    return secrets.token_hex(16)


def schemes() -> tuple[str, ...]:
    """Of addresses that notices may go to. The demo, which has no internet around it, also calls itself."""
    return ("https", "http") if settings.DEMO else ("https",)


def check_url(url: str) -> str:
    """The address, if notices may go there. What its name resolves to is looked at when something is sent. Raises BadUrl."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise BadUrl("not a valid address") from None
    if parts.scheme not in schemes() or not host or len(url) > LONGEST or not url.isascii() or not url.isprintable():
        raise BadUrl(f"must be an {' or '.join(schemes())} address of at most {LONGEST} ASCII characters")
    if parts.username or parts.password or parts.fragment or " " in url or port == 0:
        raise BadUrl("must have neither a login nor a fragment")
    if not settings.DEMO and not _may_be_public(host):
        raise BadUrl("must be reachable from the internet")
    return url


def _may_be_public(host: str) -> bool:
    try:
        return is_public(ip_address(host))
    except ValueError:
        if host.replace(".", "").isdigit():  # `127.1`, `0177.0.0.1`: to resolvers they are addresses
            return False
        return "." in host.rstrip(".") and not host.rstrip(".").endswith((".local", ".internal", ".localhost"))


def endpoints_of(organization: Organization) -> TenantQuerySet[WebhookEndpoint]:
    """Those that were not removed, the oldest first. Needs the tenant scope."""
    return WebhookEndpoint.objects.for_organization(organization).filter(removed_at=None).order_by("created_at", "pk")


def register(*, organization: Organization, url: str, actor: User | None, now: datetime) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is not shown again. Raises BadUrl, TooMany."""
    check_url(url)
    with tenant_scope([organization.pk]):
        lock_balance(organization.pk)  # one after the other, so that none slips past MOST
        if endpoints_of(organization).count() >= MOST:
            raise TooMany(MOST)
        endpoint = WebhookEndpoint(organization=organization, url=url, nonce=_nonce(), created_at=now, created_by=actor)
        endpoint.save(using="default")
        _note("webhook.registered", endpoint, actor, now)
    return endpoint, _secret(endpoint, endpoint.nonce)


def rotate_secret(*, endpoint: WebhookEndpoint, overlap: timedelta, actor: User | None, now: datetime) -> str:
    """Give it a new secret, which is not shown again. The one before signs, too, for `overlap`; an even earlier one ends now.

    Where the same wish is sent again, what programs use stays, and what the first answer gave ends. Raises Removed.
    """
    with tenant_scope([endpoint.organization_id]):
        rows = WebhookEndpoint.objects.for_organization(endpoint.organization_id).select_for_update(of=("self",))
        locked = rows.filter(pk=endpoint.pk, removed_at=None).select_related("organization").first()
        if locked is None:
            raise Removed
        kept = overlap > timedelta(0)
        if not (kept and is_sent_again(locked, now=now)):
            locked.previous_nonce = locked.nonce if kept else ""
        locked.previous_until = now + overlap if kept else None
        locked.nonce, locked.rotated_at = _nonce(), now
        locked.save(update_fields=["nonce", "previous_nonce", "previous_until", "rotated_at"])
        _note("webhook.secret_rotated", locked, actor, now, overlap_hours=int(overlap.total_seconds() // 3600))
    return _secret(locked, locked.nonce)


def end_overlap(*, endpoint: WebhookEndpoint, actor: User | None, now: datetime) -> bool:
    """End the secret before the last rotation ahead of time. False if it has ended already."""
    with tenant_scope([endpoint.organization_id]):
        rows = WebhookEndpoint.objects.for_organization(endpoint.organization_id).filter(pk=endpoint.pk)
        if not rows.filter(removed_at=None, previous_until__gt=now).update(previous_nonce="", previous_until=None):
            return False
        _note("webhook.overlap_ended", endpoint, actor, now)
    return True


def remove(*, endpoint: WebhookEndpoint, actor: User | None, now: datetime) -> bool:
    """Nothing more goes there. False if it was removed before."""
    with tenant_scope([endpoint.organization_id]):
        rows = WebhookEndpoint.objects.for_organization(endpoint.organization_id).filter(pk=endpoint.pk)
        if not rows.filter(removed_at=None).update(removed_at=now):
            return False
        waiting = WebhookDelivery.objects.for_organization(endpoint.organization_id).filter(endpoint=endpoint)
        waiting.filter(status=WebhookDelivery.Status.WAITING).update(status=WebhookDelivery.Status.FAILED)
        _note("webhook.removed", endpoint, actor, now)
    return True


def switch_on(*, endpoint: WebhookEndpoint, actor: User | None, now: datetime) -> bool:
    """Send there again after it was switched off for failing. False if it was on."""
    with tenant_scope([endpoint.organization_id]):
        rows = WebhookEndpoint.objects.for_organization(endpoint.organization_id).filter(pk=endpoint.pk)
        if not rows.filter(~Q(disabled_at=None), removed_at=None).update(disabled_at=None, failing_since=None):
            return False
        _note("webhook.switched_on", endpoint, actor, now)
    return True


def send_test(*, endpoint: WebhookEndpoint, actor: User | None, now: datetime) -> WebhookDelivery:
    """Queue a notice that says nothing, for this endpoint alone. Raises TestsTooFast."""
    with tenant_scope([endpoint.organization_id]):
        lock_balance(endpoint.organization_id)
        waiting = WebhookDelivery.objects.for_organization(endpoint.organization_id).filter(
            endpoint=endpoint, notice__kind=Notice.Kind.WEBHOOK_TEST, status=WebhookDelivery.Status.WAITING
        )
        if waiting.exists():
            raise TestsTooFast
        notice = Notice(
            organization_id=endpoint.organization_id,
            kind=Notice.Kind.WEBHOOK_TEST,
            key=f"test:{secrets.token_hex(8)}",
            data={"message": "This is a test."},
            created_at=now,
        )
        notice.save(using="default")
        [delivery] = queue_deliveries(notice, [endpoint], now=now)
        _note("webhook.tested", endpoint, actor, now)
    return delivery


def _note(action: str, endpoint: WebhookEndpoint, actor: User | None, now: datetime, **more: int) -> None:
    write_audit_entry(
        action=action,
        target=str(endpoint.pk),
        organization=endpoint.organization,
        actor=actor,
        now=now,
        detail={"url": endpoint.host_url, **more},  # the log is kept for good
    )
