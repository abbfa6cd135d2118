"""Write a notice down, once, with the mails and webhooks that carry it: one transaction. Nothing is sent here."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Membership, Organization, User
from accounts.profiles import ROLES_THAT_ADMINISTER
from accounts.tenancy import tenant_scope
from billing.mail import mails
from billing.models import Notice, NoticeSetting, OutboxMail, WebhookDelivery, WebhookEndpoint
from billing.site_addresses import (
    closure_page,
    credit_note_page,
    credit_page,
    invoices_page,
    keys_page,
    limits_page,
    webhooks_page,
)
from pricing.plain_text import plain

_PAGES = {
    Notice.Kind.WEBHOOK_DISABLED: webhooks_page,
    Notice.Kind.WEBHOOK_TEST: webhooks_page,
    Notice.Kind.KEY_CREATED: keys_page,
    Notice.Kind.SUSPENDED: invoices_page,
    Notice.Kind.RESTORED: invoices_page,
    Notice.Kind.REFUND_SUCCEEDED: credit_page,
    Notice.Kind.CLOSURE_ASKED: closure_page,
    Notice.Kind.CLOSURE_WITHDRAWN: closure_page,
    Notice.Kind.CLOSING: closure_page,
    Notice.Kind.CLOSED: closure_page,
}
"""Where one looks or changes something (a refund without a credit note is of credit); of all others it is the page of limits."""
_OF_CREDIT_NOTES = (Notice.Kind.CREDIT_NOTE_ISSUED, Notice.Kind.REFUND_SUCCEEDED)


def announce(
    *,
    organization: Organization,
    kind: str,
    key: str,
    data: Mapping[str, object],
    now: datetime,
    concerned: User | None = None,
    also_to: str = "",
) -> Notice | None:
    """Tell owners, admins and `concerned`, if a member, by mail, and every endpoint that is on. None if it was told before.

    `also_to` is an address that need not be a member's; it is told in the organization's language. Inside the organization's
    tenant scope, whose transaction it is part of.
    """
    notice = tell_endpoints(organization=organization, kind=kind, key=key, data=data, now=now)
    if notice is None:
        return None
    people = _people(organization, concerned)
    told = [(str(person.pk), person.email, person.language) for person in people]
    if also_to and also_to.lower() not in {person.email for person in people}:
        told.append(("billing", also_to, organization.language))
    for name, address, language in told:
        mails.enqueue(
            kind=OutboxMail.Kind.NOTICE,
            key=f"notice:{notice.pk}:{name}",
            organization=organization,
            recipient=address,
            language=language,
            context={"notice": str(notice.pk)},
            now=now,
        )
    return notice


def tell_endpoints(
    *, organization: Organization, kind: str, key: str, data: Mapping[str, object], now: datetime
) -> Notice | None:
    """As `announce`, for programs only: what people hear by a mail of its own kind. Those of a closed organization hear nothing."""
    notice, made = Notice.objects.get_or_create(
        organization=organization, key=key, defaults={"kind": kind, "data": dict(data), "created_at": now}
    )
    if not made:
        return None
    if organization.status != Organization.Status.CLOSED:
        endpoints = WebhookEndpoint.objects.for_organization(organization).filter(removed_at=None, disabled_at=None)
        queue_deliveries(notice, endpoints, now=now)
    return notice


def queue_deliveries(notice: Notice, endpoints: Iterable[WebhookEndpoint], *, now: datetime) -> list[WebhookDelivery]:
    """Let endpoints hear of a notice that was just written, and ring for it once that is committed."""
    deliveries = [
        WebhookDelivery(
            organization_id=notice.organization_id,
            endpoint=endpoint,
            notice=notice,
            next_attempt_at=now,
            created_at=now,
        )
        for endpoint in endpoints
    ]
    WebhookDelivery.objects.bulk_create(deliveries)
    for delivery in deliveries:
        _ring_after_commit(delivery)
    return deliveries


def body_of(notice: Notice, organization: Organization) -> bytes:
    """What endpoints read: the same bytes at every attempt."""
    event = {
        "id": f"evt_{notice.pk.hex}",
        "type": notice.kind,
        "created_at": moment_text(notice.created_at),
        "organization": organization.slug,
        "data": notice.data,
        "url": _page(notice, organization),
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def moment_text(at: datetime) -> str:
    """A moment in UTC as notices write it: 2026-11-22T03:04:05Z."""
    return at.isoformat().replace("+00:00", "Z")


def _page(notice: Notice, organization: Organization) -> str:
    if notice.kind in _OF_CREDIT_NOTES and "credit_note" in notice.data:
        return credit_note_page(organization_slug=organization.slug, note_id=notice.data["credit_note"])
    page = _PAGES.get(Notice.Kind(notice.kind), limits_page)
    return page(organization_slug=organization.slug)


def set_low_credit(*, organization: Organization, amount: Decimal, actor: User | None, now: datetime) -> NoticeSetting:
    """Say below what credit a notice is wanted (Decimal, tax included; 0: never)."""
    with tenant_scope([organization.pk]):
        setting, _made = NoticeSetting.objects.update_or_create(
            organization=organization, defaults={"low_credit": amount}
        )
        write_audit_entry(
            action="low_credit.set",
            target="organization",
            organization=organization,
            actor=actor,
            now=now,
            detail={"amount": plain(setting.low_credit)},
        )
    return setting


def low_credit_of(organization: Organization) -> Decimal:
    """Below what credit the organization is told. Needs the tenant scope."""
    setting = NoticeSetting.objects.for_organization(organization).first()
    return setting.low_credit if setting else settings.LOW_CREDIT[organization.billing_currency]


def _people(organization: Organization, concerned: User | None) -> list[User]:
    places = Membership.objects.for_organization(organization).select_related("user").order_by("pk")
    return [
        place.user
        for place in places
        if place.user.is_active and (place.role in ROLES_THAT_ADMINISTER or place.user == concerned)
    ]


def _ring_after_commit(delivery: WebhookDelivery) -> None:
    def ring() -> None:
        from billing import tasks  # which run the steps that write notices down

        tasks.ring(tasks.deliver_webhook, organization_id=delivery.organization_id, delivery_id=str(delivery.pk))

    transaction.on_commit(ring, robust=True)
