"""Who is billed, as invoices, receipts and reminders name and reach them."""

from accounts.models import BillingProfile, Membership, Organization, Role


def billing_profile(organization: Organization) -> BillingProfile:
    """The organization's, or an empty one. Needs the tenant scope."""
    return BillingProfile.objects.for_organization(organization).first() or BillingProfile(organization=organization)


def buyer_details(organization: Organization, profile: BillingProfile) -> dict[str, str]:
    """What papers keep of their buyer for ever; without a billing profile they go to the organization and its owner.

    Needs the tenant scope.
    """
    owner = Membership.objects.for_organization(organization).filter(role=Role.OWNER).select_related("user").first()
    return {
        "organization": organization.name,
        "legal_name": profile.legal_name or organization.name,
        "registration_number": profile.registration_number,
        "representative": profile.representative,
        "address": profile.address,
        "business_type": profile.business_type,
        "business_item": profile.business_item,
        "contact_name": profile.contact_name or (owner.user.get_full_name() if owner else ""),
        "contact_email": profile.contact_email or (owner.user.email if owner else ""),
    }
