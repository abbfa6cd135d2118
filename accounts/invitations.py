"""Invite somebody by e-mail, send it anew, cancel it; whoever holds the mail accepts it once.

The token is a signature over the invitation's number and a nonce, so that the mail can be written from the row, while neither the
database nor the outbox holds anything that opens the door. A forged token is refused without a look at the database.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.core import signing
from django.db import IntegrityError, transaction

from accounts.audit_log import write_audit_entry
from accounts.members import MayNot, administers
from accounts.models import Invitation, Membership, Organization, Role, User
from accounts.organizations import keep_from_ending
from accounts.tenancy import TenantQuerySet, tenant_scope

VALID_FOR = timedelta(days=7)
MOST_A_DAY = 30
SALT = "accounts.invitation"


class InvitationGone(Exception):
    """The token is forged, or its invitation was accepted, canceled, sent anew or has expired: one answer for all."""


class AlreadyMember(Exception):
    """This person has a place in the organization."""


class AlreadyInvited(Exception):
    """An invitation to this address is pending: send it again instead."""


class TooManyInvitations(Exception):
    """An organization sends so many invitations a day and no more, so that nobody is pestered through us."""


class WrongPerson(Exception):
    """The invitation is for another address than those that the signed-in person has shown to be theirs."""


def invite(*, organization: Organization, email: str, role: str, inviter: Membership, now: datetime) -> Invitation:
    """Keep a place for the holder of `email`. Raises MayNot, AlreadyMember, AlreadyInvited, TooManyInvitations.

    The mail is the caller's to send, in the same transaction.
    """
    _check_may_give(inviter, role)
    email = email.strip().lower()
    with tenant_scope([organization.pk]):
        _check_number(organization, now=now)
        if Membership.objects.for_organization(organization).filter(user__email=email).exists():
            raise AlreadyMember(email)
        pending = pending_invitations(organization).filter(email=email)
        if pending.filter(expires_at__gt=now).exists():
            raise AlreadyInvited(email)
        pending.update(canceled_at=now)
        invitation = Invitation(
            organization=organization,
            email=email,
            role=role,
            invited_by=inviter.user,
            created_at=now,
        )
        try:
            with transaction.atomic():
                _renew(invitation, now=now)
        except IntegrityError:
            raise AlreadyInvited(email) from None
        _note("member.invited", invitation, inviter.user, now, role=role)
    return invitation


def resend(*, organization: Organization, invitation_id: int, actor: Membership, now: datetime) -> Invitation:
    """Give a pending invitation another token and another week; the token before ends. Raises MayNot, InvitationGone."""
    with tenant_scope([organization.pk]):
        invitation = _pending(organization, invitation_id)
        _check_may_give(actor, invitation.role)
        _check_number(organization, now=now)
        _renew(invitation, now=now)
        _note("member.invited_again", invitation, actor.user, now, role=invitation.role)
    return invitation


def cancel(*, organization: Organization, invitation_id: int, actor: Membership, now: datetime) -> Invitation:
    """Take a pending invitation back. Raises MayNot, InvitationGone."""
    with tenant_scope([organization.pk]):
        invitation = _pending(organization, invitation_id)
        _check_may_give(actor, invitation.role)
        invitation.canceled_at = now
        invitation.save(update_fields=["canceled_at"])
        _note("invitation.canceled", invitation, actor.user, now)
    return invitation


def find_invitation(token: str, *, now: datetime) -> Invitation:
    """The open invitation of `token`. Raises InvitationGone. Looks in all organizations, hence as the `system` role."""
    try:
        signing.Signer(salt=SALT, sep="~").unsign(token)
    except signing.BadSignature:
        raise InvitationGone from None
    rows = Invitation.objects.using("system").select_related("organization", "invited_by")
    invitation = rows.filter(digest=_digest(token)).first()
    if invitation is None or not is_open(invitation, now=now):
        raise InvitationGone
    return invitation


def accept(*, token: str, user: User, now: datetime) -> Membership:
    """Give `user`, who has shown that the invited address is theirs, the place. Raises InvitationGone, WrongPerson.

    Whoever is a member already stays as they are; the invitation is used up all the same.
    """
    found = find_invitation(token, now=now)
    if not is_for(found, user):
        raise WrongPerson
    with tenant_scope([found.organization_id]):
        invitation = Invitation.objects.for_organization(found.organization_id).select_for_update().get(pk=found.pk)
        if not is_open(invitation, now=now) or bytes(invitation.digest) != _digest(token):
            raise InvitationGone
        invitation.accepted_at, invitation.accepted_by = now, user
        invitation.save(update_fields=["accepted_at", "accepted_by"])
        membership, _made = Membership.objects.get_or_create(
            organization_id=invitation.organization_id,
            user=user,
            defaults={"role": invitation.role, "created_at": now},
        )
        _note("member.joined", invitation, user, now, role=membership.role)
    return membership


def is_open(invitation: Invitation, *, now: datetime) -> bool:
    return invitation.accepted_at is None and invitation.canceled_at is None and now < invitation.expires_at


def is_for(invitation: Invitation, user: User) -> bool:
    """Whether the invited address is one that `user` has verified."""
    return EmailAddress.objects.filter(user=user, email__iexact=invitation.email, verified=True).exists()


def pending_invitations(organization: Organization) -> TenantQuerySet[Invitation]:
    """Those that were neither accepted nor canceled, expired ones included."""
    return Invitation.objects.for_organization(organization).filter(accepted_at=None, canceled_at=None)


def token_of(*, invitation_id: int, nonce: str) -> str:
    """The token that the mail carries."""
    return signing.Signer(salt=SALT, sep="~").sign(f"{invitation_id}.{nonce}")


def _renew(invitation: Invitation, *, now: datetime) -> None:
    """Save it with a fresh token. The number is part of the token, so a new row is saved before it is known.

    By the tenant's connection, said by name: a new row would follow its organization to the one that this was looked up by.
    """
    invitation.nonce = secrets.token_urlsafe(16)
    invitation.sent_at, invitation.expires_at = now, now + VALID_FOR
    if invitation.pk is None:
        invitation.digest = secrets.token_bytes(32)
        invitation.save(using="default")
    invitation.digest = _digest(token_of(invitation_id=invitation.pk, nonce=invitation.nonce))
    invitation.save(using="default")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _pending(organization: Organization, invitation_id: int) -> Invitation:
    rows = pending_invitations(organization).select_for_update().filter(pk=invitation_id)
    invitation = rows.first()
    if invitation is None:
        raise InvitationGone
    return invitation


def _check_may_give(member: Membership, role: str) -> None:
    if not administers(member) or (role == Role.OWNER and member.role != Role.OWNER):
        raise MayNot(member.role)


def _check_number(organization: Organization, *, now: datetime) -> None:
    """Serialized by the organization's row. Raises HasEnded."""
    keep_from_ending(organization.pk)
    sent = Invitation.objects.for_organization(organization).filter(sent_at__gt=now - timedelta(days=1))
    if sent.count() >= MOST_A_DAY:
        raise TooManyInvitations


def _note(action: str, invitation: Invitation, actor: User, now: datetime, **detail: str) -> None:
    """The audit log cannot forget, so it names the invitation, not the address."""
    write_audit_entry(
        action=action,
        target=f"invitation {invitation.pk}",
        organization=invitation.organization,
        actor=actor,
        now=now,
        detail=detail,
    )
