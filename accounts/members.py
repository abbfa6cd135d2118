"""Change what members may do, remove them, let them leave. An organization always keeps an owner."""

from datetime import datetime

from accounts.audit_log import write_audit_entry
from accounts.models import Membership, Organization, Role, User
from accounts.profiles import ROLES_THAT_ADMINISTER
from accounts.tenancy import tenant_scope


class MayNot(Exception):
    """The role of the one who asks does not allow it: admins may not make, change or remove owners."""


class LastOwner(Exception):
    """Somebody must stay who may do everything: make another member an owner first."""


class NoSuchMember(Exception):
    """There is no such member in the organization (any more)."""


def administers(member: Membership) -> bool:
    """Whether the member may change who belongs to the organization."""
    return member.role in ROLES_THAT_ADMINISTER


def may_change(actor: Membership, member: Membership) -> bool:
    """Whether `actor` may change the role of `member`, or remove them."""
    return administers(actor) and (actor.role == Role.OWNER or member.role != Role.OWNER)


def roles_to_give(actor: Membership) -> list[Role]:
    """The roles that `actor` may give others."""
    return [role for role in Role if administers(actor) and (role != Role.OWNER or actor.role == Role.OWNER)]


def change_role(
    *, organization: Organization, membership_id: int, role: str, actor: Membership, now: datetime
) -> Membership:
    """Give a member another role. Raises NoSuchMember, MayNot, LastOwner."""
    with tenant_scope([organization.pk]):
        member, asking, owners = _locked(organization, membership_id, actor)
        if not may_change(asking, member) or role not in roles_to_give(asking):
            raise MayNot(asking.role)
        if member.role == role:
            return member
        if member.role == Role.OWNER and owners == 1:
            raise LastOwner
        before, member.role = member.role, role
        member.save(update_fields=["role"])
        _note("member.role_changed", member, actor.user, now, before=before, role=role)
    return member


def remove(*, organization: Organization, membership_id: int, actor: Membership, now: datetime) -> None:
    """End a membership; the person's account, and what they made here, stay. Raises NoSuchMember, MayNot, LastOwner."""
    with tenant_scope([organization.pk]):
        member, asking, owners = _locked(organization, membership_id, actor)
        if member != asking and not may_change(asking, member):
            raise MayNot(asking.role)
        if member.role == Role.OWNER and owners == 1:
            raise LastOwner
        _note("member.left" if member == asking else "member.removed", member, actor.user, now)
        member.delete()


def _locked(organization: Organization, membership_id: int, actor: Membership) -> tuple[Membership, Membership, int]:
    """The member, the one who asks as they are now, and how many owners there are.

    All rows are locked, in one order, so that of two owners who leave or demote each other at once one comes too late.
    """
    rows = Membership.objects.for_organization(organization).select_related("organization").order_by("pk")
    members = {member.pk: member for member in rows.select_for_update(of=("self",))}
    if membership_id not in members or actor.pk not in members:
        raise NoSuchMember
    owners = sum(member.role == Role.OWNER for member in members.values())
    return members[membership_id], members[actor.pk], owners


def _note(action: str, member: Membership, actor: User, now: datetime, **detail: str) -> None:
    write_audit_entry(
        action=action,
        target=f"user {member.user_id}",
        organization=member.organization,
        actor=actor,
        now=now,
        detail=detail,
    )
