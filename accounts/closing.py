"""What an organization's closing means for who may enter and call: its moment, its keys, its invitations."""

from datetime import datetime, timedelta

from accounts.api_keys import revoke_api_key
from accounts.invitations import pending_invitations
from accounts.models import ApiKey, Organization, User


def lock_organization(organization_id: int) -> Organization:
    """Its row, until the transaction ends: whoever makes a key or an invitation comes before or after. Needs the tenant scope."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization_id)


def set_closing_moment(organization: Organization, *, at: datetime | None) -> None:
    """No key of the locked organization works from `at` on, and no usage of later is taken; None takes that back."""
    organization.closes_at = at
    organization.save(update_fields=["closes_at"])


def end_access(organization: Organization, *, now: datetime, actor: User | None) -> int:
    """Revoke every key of the locked organization, for good, and cancel its invitations. Returns how many keys worked until now."""
    end_for_good(organization)
    keys = list(ApiKey.objects.for_organization(organization).filter(revoked_at=None).order_by("pk"))
    for key in keys:
        revoke_api_key(key=key, now=now, actor=actor)
    pending_invitations(organization).update(canceled_at=now)
    return len(keys)


def end_for_good(organization: Organization) -> None:
    """The usage of the locked organization is over, what is owed is not settled."""
    organization.status, organization.readable_until = Organization.Status.CLOSING, None
    organization.save(update_fields=["status", "readable_until"])


def mark_closed(organization: Organization, *, readable_until: datetime) -> None:
    """The locked organization is settled. Members read until then."""
    organization.status, organization.readable_until = Organization.Status.CLOSED, readable_until
    organization.save(update_fields=["status", "readable_until"])


def keep_readable(organization: Organization, *, days: int, now: datetime) -> None:
    """Members of the locked, closed organization read for as many days more, if their time is over or ends within a day."""
    if organization.readable_until is None or organization.readable_until > now + timedelta(days=1):
        return
    organization.readable_until = now + timedelta(days=days)
    organization.save(update_fields=["readable_until"])
