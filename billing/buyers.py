"""Who is billed, as invoices, receipts and reminders name and reach them."""

from dataclasses import dataclass

from accounts.models import BillingProfile, Membership, Organization, Role
from accounts.round_trips import Rows, Statement, run
from accounts.stored_rows import columns, instance, width

BUYER = Statement(f"""
SELECT {columns(Organization, "organization")}, {columns(BillingProfile, "profile")}, owner.name, owner.email,
    coalesce(setting.is_automatic, false)
FROM accounts_organization AS organization
LEFT JOIN accounts_billingprofile AS profile ON profile.organization_id = organization.id
LEFT JOIN billing_collectionsetting AS setting ON setting.organization_id = organization.id
LEFT JOIN LATERAL (
    SELECT person.name, person.email FROM accounts_membership AS membership
    JOIN accounts_user AS person ON person.id = membership.user_id
    WHERE membership.organization_id = organization.id AND membership.role = 'owner' ORDER BY membership.id LIMIT 1
) AS owner ON true
WHERE organization.id = %s
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """An organization as it is when an invoice becomes final; `is_automatic`: its card is charged by itself."""

    organization: Organization
    profile: BillingProfile
    owner_name: str
    owner_email: str
    is_automatic: bool

    def details(self) -> dict[str, str]:
        """What papers keep of their buyer for ever."""
        return _details(self.organization, self.profile, self.owner_name, self.owner_email)


def read_buyer(organization: Organization) -> Buyer:
    """Needs the tenant scope."""
    return buyer_in(run([(BUYER, [organization.pk])])[0])


def buyer_in(rows: Rows) -> Buyer:
    """What BUYER returned. Without a billing profile it is an empty one."""
    [row] = rows
    middle = width(Organization)
    organization = instance(Organization, row[:middle])
    profile, (name, email, is_automatic) = row[middle:-3], row[-3:]
    return Buyer(
        organization=organization,
        profile=BillingProfile(organization=organization) if profile[0] is None else instance(BillingProfile, profile),
        owner_name=name or email or "",
        owner_email=email or "",
        is_automatic=is_automatic,
    )


def billing_profile(organization: Organization) -> BillingProfile:
    """The organization's, or an empty one. Needs the tenant scope."""
    return BillingProfile.objects.for_organization(organization).first() or BillingProfile(organization=organization)


def buyer_details(organization: Organization, profile: BillingProfile) -> dict[str, str]:
    """What papers keep of their buyer for ever; without a billing profile they go to the organization and its owner.

    Needs the tenant scope.
    """
    owner = Membership.objects.for_organization(organization).filter(role=Role.OWNER).select_related("user").first()
    name, email = (owner.user.get_full_name(), owner.user.email) if owner else ("", "")
    return _details(organization, profile, name, email)


def _details(organization: Organization, profile: BillingProfile, owner_name: str, owner_email: str) -> dict[str, str]:
    return {
        "organization": organization.name,
        "legal_name": profile.legal_name or organization.name,
        "registration_number": profile.registration_number,
        "representative": profile.representative,
        "address": profile.address,
        "business_type": profile.business_type,
        "business_item": profile.business_item,
        "contact_name": profile.contact_name or owner_name,
        "contact_email": profile.contact_email or owner_email,
    }
