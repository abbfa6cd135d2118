"""Make organizations and look up the members of one."""

import re
import secrets
from datetime import datetime

from django.db import transaction
from django.utils.text import slugify

from accounts.audit_log import write_audit_entry
from accounts.models import BillingProfile, Currency, Membership, Organization, Role, User

SLUG_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


class NotPossible(Exception):
    """The organization's status does not allow this."""


class HasEnded(Exception):
    """The organization is closing or closed: nothing new begins in it."""


def keep_from_ending(organization_id: int, *, using: str = "default") -> None:
    """Whoever closes the organization waits until the transaction ends. Raises HasEnded if somebody did."""
    with transaction.atomic(using=using):
        organization = Organization.objects.using(using).select_for_update(no_key=True).get(pk=organization_id)
    if organization.has_ended:
        raise HasEnded(f"organization {organization.slug} is {organization.status}")


def create_organization(
    *,
    name: str,
    owner: User | None,
    now: datetime,
    slug: str = "",
    zone: str = "Asia/Seoul",
    currency: str = Currency.KRW,
    language: str = "ko",
) -> Organization:
    """Make an organization with its owner's membership and an empty billing profile, as the `system` role.

    The slug comes from the name where that has enough Latin letters, with a random ending, so that it tells nothing of others.
    """
    with transaction.atomic(using="system"):
        organization = Organization.objects.using("system").create(
            slug=slug or _free_slug(name),
            name=name,
            zone=zone,
            billing_currency=currency,
            language=language,
            created_at=now,
        )
        BillingProfile.objects.using("system").create(
            organization=organization, contact_email=owner.email if owner else ""
        )
        if owner is not None:
            Membership.objects.using("system").create(
                organization=organization, user=owner, role=Role.OWNER, created_at=now
            )
        write_audit_entry(
            action="organization.created",
            target=organization.slug,
            organization=organization,
            actor=owner,
            now=now,
            using="system",
        )
    return organization


def _free_slug(name: str) -> str:
    stem = re.sub(r"[^a-z0-9-]", "", slugify(name))[:30].strip("-")
    ending = "".join(secrets.choice(SLUG_ALPHABET) for _unused in range(6))
    return f"{stem}-{ending}" if len(stem) >= 2 else f"org-{ending}"


def memberships_of(user: User) -> list[Membership]:
    """Every place of `user`, oldest first. Crosses tenants, hence as the `system` role."""
    return list(
        Membership.objects.using("system").filter(user=user).select_related("organization").order_by("created_at", "pk")
    )


def membership_in(user: User, slug: str) -> Membership | None:
    """The place of `user` in the organization called `slug`, or None – also where there is no such organization."""
    return (
        Membership.objects.using("system")
        .filter(user=user, organization__slug=slug)
        .select_related("organization")
        .first()
    )


def suspend_organization(*, organization_id: int, reason: str, now: datetime, actor: User | None) -> Organization:
    """Refuse the calls of an active organization from now on; its keys, history and debts stay.

    Part of `billing.overdue.suspension`, which keeps why and tells; needs the tenant scope. Raises NotPossible.
    """
    active, suspended = Organization.Status.ACTIVE, Organization.Status.SUSPENDED
    return _change_status(organization_id, active, suspended, "organization.suspended", reason, now, actor)


def reactivate_organization(*, organization_id: int, reason: str, now: datetime, actor: User | None) -> Organization:
    """Let a suspended organization call again, as `billing.overdue.suspension` does. Needs the tenant scope. Raises NotPossible."""
    active, suspended = Organization.Status.ACTIVE, Organization.Status.SUSPENDED
    return _change_status(organization_id, suspended, active, "organization.reactivated", reason, now, actor)


def _change_status(
    organization_id: int, before: str, after: str, action: str, reason: str, now: datetime, actor: User | None
) -> Organization:
    with transaction.atomic():
        organizations = Organization.objects.filter(pk=organization_id)
        if not organizations.filter(status=before).update(status=after):
            raise NotPossible(f"organization {organization_id} is not {before}")
        organization = organizations.get()
        write_audit_entry(
            action=action,
            target=organization.slug,
            organization=organization,
            actor=actor,
            now=now,
            detail={"reason": reason},
        )
    return organization
