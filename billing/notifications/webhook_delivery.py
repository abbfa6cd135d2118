"""A webhook goes out: at least once, always under the same event id, signed anew at each attempt.

As mails do: a row is claimed (its next attempt put off by a lease) and committed, then the call is made, then the row is marked.
Any 2xx is an arrival; everything else is tried again, ever more seldom, for about three days. An endpoint that fails for
WEBHOOK_DAYS is switched off, and its organization is told by mail. No redirect is followed, no answer is read further than needed.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.invariants import LIMIT, Violations
from accounts.tenancy import TenantQuerySet, tenant_scope
from billing.models import Notice, WebhookDelivery, WebhookEndpoint
from billing.notifications.notices import announce, body_of
from billing.notifications.webhook_addresses import PublicResolver, refuse_private
from billing.notifications.webhook_endpoints import check_url, secrets_of
from billing.notifications.webhook_failures import ERRORS, failure_of, failure_of_status

logger = logging.getLogger(__name__)
SECONDS = 10.0
"""For everything: name, connection, answer."""
MOST_ANSWER = 4096
MAX_ATTEMPTS = 20
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=6)
LEASE = timedelta(minutes=2) * settings.SWEEP_PACE
SWEEP_SECONDS = 60.0
HEADER = "InvoiceDream-Signature"
Status = WebhookDelivery.Status


def signature(secrets: Iterable[str], body: bytes, *, at: datetime) -> str:
    """The header's value: `t`, the seconds since 1970, and for each secret `v1`, the HMAC-SHA256 of `t.body` in hex."""
    seconds = int(at.timestamp())
    signed = f"{seconds}.".encode() + body
    marks = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={seconds}", *marks])


def deliver(*, organization_id: int, delivery_id: UUID | str, now: datetime) -> str | None:
    """Make one call if it is due; returns its status, or None where it is not due or somebody else is at it."""
    delivery = _claim(organization_id, delivery_id, now=now)
    if delivery is None:
        return None
    body = body_of(delivery.notice, delivery.endpoint.organization)
    failure = post(delivery.endpoint.url, body, headers=_headers(delivery, body, now=now))
    return _note(delivery, failure, now=now)


def deliver_waiting(*, now: datetime) -> int:
    """Make the calls that are due, for a while; an endpoint that fails waits for the next sweep. Looks at all tenants.

    Endpoints take turns, so that one with a thousand calls, or a slow one, does not stand before the others.
    """
    deadline, passed_over, arrived = time.monotonic() + SWEEP_SECONDS, set[UUID](), 0
    while turn := _one_of_each(now=now, without=passed_over):
        for endpoint_id, organization_id, delivery_id in turn:
            if time.monotonic() > deadline:
                return arrived
            status = deliver(organization_id=organization_id, delivery_id=delivery_id, now=now)
            arrived += status == Status.DELIVERED
            if status != Status.DELIVERED:
                passed_over.add(endpoint_id)
    return arrived


def _one_of_each(*, now: datetime, without: Collection[UUID]) -> list[tuple[UUID, int, UUID]]:
    """Of each other endpoint the call that is due longest, as (endpoint, organization, delivery); the longest of all first."""
    due = _due(WebhookDelivery.objects.using("system"), now=now).exclude(endpoint_id__in=without)
    longest = due.order_by("endpoint_id", "next_attempt_at", "pk").distinct("endpoint_id")
    rows = longest.values_list("next_attempt_at", "endpoint_id", "organization_id", "pk")
    return [row[1:] for row in sorted(rows)]


def post(url: str, body: bytes, *, headers: dict[str, str]) -> str:
    """Send it; what went wrong (`WebhookDelivery.failure`), or nothing. Of the answer only the status counts."""
    try:
        check_url(url)
        refuse_private(urlsplit(url).hostname or "")
        return failure_of_status(asyncio.run(_post(url, body, headers)))
    except ERRORS as error:
        return failure_of(error)


async def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    connector = aiohttp.TCPConnector(resolver=PublicResolver(), use_dns_cache=False, force_close=True)
    patience = aiohttp.ClientTimeout(total=SECONDS)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=patience, auto_decompress=False) as client,
        client.post(url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        await answer.content.read(MOST_ANSWER)
        return answer.status


def _headers(delivery: WebhookDelivery, body: bytes, *, now: datetime) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "InvoiceDream-Webhooks/1",
        HEADER: signature(secrets_of(delivery.endpoint, now=now), body, at=now),
    }


def _claim(organization_id: int, delivery_id: UUID | str, *, now: datetime) -> WebhookDelivery | None:
    with tenant_scope([organization_id]):
        rows = WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",))
        delivery = (
            _due(rows.for_organization(organization_id), now=now)
            .filter(pk=delivery_id)
            .select_related("endpoint__organization", "notice")
            .first()
        )
        if delivery is not None:
            delivery.attempts += 1
            delivery.next_attempt_at = now + LEASE
            delivery.save(update_fields=["attempts", "next_attempt_at"])
    return delivery


def _due(rows: TenantQuerySet[WebhookDelivery], *, now: datetime) -> TenantQuerySet[WebhookDelivery]:
    return rows.filter(status=Status.WAITING, next_attempt_at__lte=now, endpoint__disabled_at=None)


def _note(delivery: WebhookDelivery, failure: str, *, now: datetime) -> str:
    """Mark the row, and what it says of its endpoint."""
    with tenant_scope([delivery.organization_id]):
        row = WebhookDelivery.objects.for_organization(delivery.organization_id).filter(
            pk=delivery.pk, status=Status.WAITING
        )
        rows = WebhookEndpoint.objects.for_organization(delivery.organization_id).filter(pk=delivery.endpoint_id)
        if not failure:
            row.update(status=Status.DELIVERED, delivered_at=now, last_error="")
            rows.filter(~Q(failing_since=None)).update(failing_since=None)
            return Status.DELIVERED
        status = Status.FAILED if delivery.attempts >= MAX_ATTEMPTS else Status.WAITING
        pause = min(FIRST_PAUSE * 2 ** (delivery.attempts - 1), LONGEST_PAUSE)
        row.update(status=status, next_attempt_at=now + pause, last_error=failure)
        rows.filter(failing_since=None).update(failing_since=now)
        _switch_off_hopeless(delivery.endpoint, now=now)
        waiting = WebhookDelivery.objects.for_organization(delivery.organization_id).filter(
            endpoint=delivery.endpoint_id
        )
        if not waiting.filter(status=Status.WAITING).exists():
            rows.filter(disabled_at=None).update(failing_since=None)  # nobody knows how it is until the next one
    logger.info(
        "a webhook was not delivered",
        extra={"delivery": str(delivery.pk), "attempts": delivery.attempts, "status": status, "failure": failure},
    )
    return status


def _switch_off_hopeless(endpoint: WebhookEndpoint, *, now: datetime) -> None:
    """After days of nothing but failures; what waits fails with it."""
    days = timedelta(days=settings.WEBHOOK_DAYS)
    rows = WebhookEndpoint.objects.for_organization(endpoint.organization_id).filter(pk=endpoint.pk)
    if not rows.filter(disabled_at=None, failing_since__lte=now - days).update(disabled_at=now):
        return
    waiting = WebhookDelivery.objects.for_organization(endpoint.organization_id).filter(endpoint=endpoint)
    waiting.filter(status=Status.WAITING).update(status=Status.FAILED)
    announce(
        organization=endpoint.organization,
        kind=Notice.Kind.WEBHOOK_DISABLED,
        key=f"webhook:{endpoint.pk}:{now.isoformat()}",
        data={"endpoint_id": str(endpoint.pk), "url": endpoint.bare_url, "days": settings.WEBHOOK_DAYS},
        now=now,
    )


def overdue_deliveries() -> Violations:
    """Webhooks that nobody sends though they are due: the sweep stands still."""
    limit = timezone.now() - timedelta(hours=settings.MAIL_OVERDUE_HOURS)
    overdue = _due(WebhookDelivery.objects.using("system"), now=limit).order_by("next_attempt_at")
    return [
        f"organization_id {delivery.organization_id}, webhook {delivery.pk}, due {delivery.next_attempt_at.isoformat()}"
        for delivery in overdue[:LIMIT]
    ]
