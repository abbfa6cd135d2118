"""What an organization says of itself: its name and language, and the details that its invoices print."""

from collections.abc import Mapping
from datetime import datetime

from accounts.audit_log import write_audit_entry
from accounts.business_standing import note_number
from accounts.models import BillingProfile, Organization, Role, User
from accounts.registration_numbers import normalize_registration_number
from accounts.tenancy import tenant_scope

ROLES_THAT_ADMINISTER = frozenset({Role.OWNER, Role.ADMIN})
ROLES_THAT_EDIT_PROFILE = ROLES_THAT_ADMINISTER | {Role.BILLING}
PROFILE_FIELDS = (
    "legal_name",
    "registration_number",
    "representative",
    "address",
    "business_type",
    "business_item",
    "contact_name",
    "contact_email",
    "po_number",
    "pays_by",
    "prices",
)
PERSONAL = frozenset({"representative", "contact_name", "contact_email"})
"""Of these the audit log, which cannot forget, notes only that they changed."""


def update_profile(
    *, organization: Organization, changes: Mapping[str, str], actor: User | None, now: datetime
) -> BillingProfile:
    """Change fields of the billing profile; invoices that are final keep what they say. Raises InvalidRegistrationNumber.

    The registration number is kept as 000-00-00000, or empty for a private person.
    """
    wanted = {name: changes[name].strip() for name in PROFILE_FIELDS if name in changes}
    if wanted.get("registration_number"):
        wanted["registration_number"] = normalize_registration_number(wanted["registration_number"])
    with tenant_scope([organization.pk]):
        profile = BillingProfile.objects.for_organization(organization).select_for_update().get()
        changed = {name: value for name, value in wanted.items() if getattr(profile, name) != value}
        if changed:
            for name, value in changed.items():
                setattr(profile, name, value)
            profile.save(update_fields=list(changed))
            if changed.get("registration_number"):
                note_number(organization_id=organization.pk, number=profile.registration_number)
            write_audit_entry(
                action="billing_profile.changed",
                target=organization.slug,
                organization=organization,
                actor=actor,
                now=now,
                detail={name: "changed" if name in PERSONAL else value for name, value in changed.items()},
            )
    return profile


def update_organization(
    *,
    organization: Organization,
    actor: User | None,
    now: datetime,
    name: str | None = None,
    language: str | None = None,
) -> Organization:
    """Change the name, or the language of invoices and mails."""
    wanted = {"name": name and name.strip(), "language": language}
    with tenant_scope([organization.pk]):
        row = Organization.objects.select_for_update().get(pk=organization.pk)
        changed = {field: value for field, value in wanted.items() if value and getattr(row, field) != value}
        if changed:
            for field, value in changed.items():
                setattr(row, field, value)
            row.save(update_fields=list(changed))
            write_audit_entry(
                action="organization.changed", target=row.slug, organization=row, actor=actor, now=now, detail=changed
            )
    return row
