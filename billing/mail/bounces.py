"""Addresses that a mail server refused for good: kept until it takes a mail again, and shown where somebody can correct them."""

from datetime import datetime

from accounts.models import Organization
from billing.buyers import billing_profile, buyer_details
from billing.models import BouncingAddress, OutboxMail


def note_bounce(mail: OutboxMail, reason: str, *, now: datetime) -> None:
    """The recipient's server refused `mail` until it was believed. In the transaction that gives the mail up."""
    BouncingAddress.objects.get_or_create(
        organization_id=mail.organization_id,
        address=mail.recipient.lower(),
        cleared_at=None,
        defaults={"reason": reason, "bounced_at": now},
    )


def note_taken(mail: OutboxMail, *, now: datetime) -> None:
    """The recipient's server took `mail`, so the address works. In the transaction that marks the mail as sent."""
    bouncing = BouncingAddress.objects.for_organization(mail.organization_id)
    bouncing.filter(address=mail.recipient.lower(), cleared_at=None).update(cleared_at=now)


def bouncing_contact(organization: Organization) -> BouncingAddress | None:
    """The address that invoices go to, if it is refused. Needs the tenant scope."""
    contact = buyer_details(organization, billing_profile(organization))["contact_email"]
    bouncing = BouncingAddress.objects.for_organization(organization)
    return bouncing.filter(address=contact.lower(), cleared_at=None).first()
