"""Colleagues come by an invitation that opens once, and an organization always keeps an owner."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections

from accounts import invitations, members
from accounts.models import AuditEntry, Invitation, Membership, Organization, Role, User
from accounts.organizations import membership_in
from accounts.tenancy import tenant_scope
from tests import stories
from tests.stories import NOON


@pytest.fixture
def cast(db: None) -> stories.Cast:
    return stories.meet_the_cast(now=NOON)


@pytest.fixture
def acme(cast: stories.Cast) -> Organization:
    return cast.acme.organization


def place(user: User, organization: Organization) -> Membership:
    found = membership_in(user, organization.slug)
    assert found is not None
    return found


def invited(
    organization: Organization, inviter: User, *, email: str = "new@acme.example", role: str = Role.DEVELOPER
) -> str:
    """The token in the mail."""
    invitation = invitations.invite(
        organization=organization, email=email, role=role, inviter=place(inviter, organization), now=NOON
    )
    return token(invitation)


def token(invitation: Invitation) -> str:
    return invitations.token_of(invitation_id=invitation.pk, nonce=invitation.nonce)


def pending(organization: Organization) -> list[str]:
    with tenant_scope([organization.pk]):
        return [invitation.email for invitation in invitations.pending_invitations(organization)]


def test_a_colleague_joins_in_the_role_that_was_kept(cast: stories.Cast, acme: Organization) -> None:
    secret = invited(acme, cast.acme.owner, email=" New@Acme.example ")
    colleague = stories.make_user("new@acme.example")
    found = invitations.find_invitation(secret, now=NOON)
    assert (found.email, found.organization) == ("new@acme.example", acme)
    invitations.accept(token=secret, user=colleague, now=NOON)
    assert place(colleague, acme).role == Role.DEVELOPER
    assert pending(acme) == []
    with tenant_scope([acme.pk]):
        trail = AuditEntry.objects.filter(action__startswith="member.").order_by("pk")
        assert [(entry.action, entry.actor) for entry in trail] == [
            ("member.invited", cast.acme.owner),
            ("member.joined", colleague),
        ]
        assert not any("new@acme" in str(entry.detail) + entry.target for entry in trail)


def test_an_invitation_opens_once(cast: stories.Cast, acme: Organization) -> None:
    secret = invited(acme, cast.acme.owner)
    colleague = stories.make_user("new@acme.example")
    invitations.accept(token=secret, user=colleague, now=NOON)
    with pytest.raises(invitations.InvitationGone):
        invitations.accept(token=secret, user=colleague, now=NOON)


def spoiled(secret: str) -> str:
    return secret[:-1] + ("A" if secret[-1] != "A" else "B")


@pytest.mark.parametrize("spoil", [spoiled, lambda secret: "", lambda secret: "1.x~y", lambda secret: secret + "\0"])
def test_a_forged_token_opens_nothing(cast: stories.Cast, acme: Organization, spoil: Callable[[str], str]) -> None:
    with pytest.raises(invitations.InvitationGone):
        invitations.find_invitation(spoil(invited(acme, cast.acme.owner)), now=NOON)


def test_after_seven_days_it_is_over_and_can_be_sent_anew(cast: stories.Cast, acme: Organization) -> None:
    old = invited(acme, cast.acme.owner)
    later = NOON + timedelta(days=7)
    with pytest.raises(invitations.InvitationGone):
        invitations.find_invitation(old, now=later)
    with tenant_scope([acme.pk]):
        row = Invitation.objects.get()
    again = invitations.resend(organization=acme, invitation_id=row.pk, actor=place(cast.acme.owner, acme), now=later)
    assert invitations.find_invitation(token(again), now=later).pk == row.pk
    with pytest.raises(invitations.InvitationGone):
        invitations.find_invitation(old, now=NOON)


def test_a_canceled_invitation_opens_nothing(cast: stories.Cast, acme: Organization) -> None:
    secret = invited(acme, cast.acme.owner)
    owner = place(cast.acme.owner, acme)
    number = invitations.find_invitation(secret, now=NOON).pk
    invitations.cancel(organization=acme, invitation_id=number, actor=owner, now=NOON)
    with pytest.raises(invitations.InvitationGone):
        invitations.find_invitation(secret, now=NOON)
    with pytest.raises(invitations.InvitationGone):
        invitations.resend(organization=acme, invitation_id=number, actor=owner, now=NOON)


def test_only_the_holder_of_the_address_may_join(cast: stories.Cast, acme: Organization) -> None:
    secret = invited(acme, cast.acme.owner)
    with pytest.raises(invitations.WrongPerson):
        invitations.accept(token=secret, user=cast.globex.owner, now=NOON)
    unconfirmed = User.objects.create_user("new@acme.example", stories.PASSWORD)
    with pytest.raises(invitations.WrongPerson):
        invitations.accept(token=secret, user=unconfirmed, now=NOON)
    assert membership_in(cast.globex.owner, acme.slug) is None


def test_who_is_there_or_was_asked_is_not_asked_twice(cast: stories.Cast, acme: Organization) -> None:
    invited(acme, cast.acme.owner)
    with pytest.raises(invitations.AlreadyInvited):
        invited(acme, cast.acme.owner, email="NEW@acme.example")
    with pytest.raises(invitations.AlreadyMember):
        invited(acme, cast.acme.owner, email=cast.acme.owner.email)


def test_invitations_of_a_day_are_counted(
    cast: stories.Cast, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MOST_A_DAY", 2)
    for number in range(2):
        invited(acme, cast.acme.owner, email=f"{number}@acme.example")
    with pytest.raises(invitations.TooManyInvitations):
        invited(acme, cast.acme.owner)
    invited(cast.globex.organization, cast.globex.owner)


@pytest.mark.parametrize("role", [Role.BILLING, Role.DEVELOPER, Role.VIEWER])
def test_others_invite_nobody(cast: stories.Cast, acme: Organization, role: Role) -> None:
    with pytest.raises(members.MayNot):
        invited(acme, stories.make_member(acme, role, now=NOON))


def test_admins_make_no_owners(cast: stories.Cast, acme: Organization) -> None:
    admin = stories.make_member(acme, Role.ADMIN, now=NOON)
    invited(acme, admin, role=Role.ADMIN)
    with pytest.raises(members.MayNot):
        invited(acme, admin, email="other@acme.example", role=Role.OWNER)
    viewer = stories.make_member(acme, Role.VIEWER, now=NOON)
    for member, role in ((viewer, Role.OWNER), (cast.acme.owner, Role.VIEWER)):
        with pytest.raises(members.MayNot):
            change(acme, member, role, by=admin)
    with pytest.raises(members.MayNot):
        remove(acme, cast.acme.owner, by=admin)


def change(organization: Organization, user: User, role: str, *, by: User) -> None:
    members.change_role(
        organization=organization,
        membership_id=place(user, organization).pk,
        role=role,
        actor=place(by, organization),
        now=NOON,
    )


def remove(organization: Organization, user: User, *, by: User) -> None:
    members.remove(
        organization=organization,
        membership_id=place(user, organization).pk,
        actor=place(by, organization),
        now=NOON,
    )


def test_roles_change_and_members_go(cast: stories.Cast, acme: Organization) -> None:
    viewer = stories.make_member(acme, Role.VIEWER, now=NOON)
    change(acme, viewer, Role.BILLING, by=cast.acme.owner)
    assert place(viewer, acme).role == Role.BILLING
    remove(acme, viewer, by=cast.acme.owner)
    assert membership_in(viewer, acme.slug) is None
    developer = stories.make_member(acme, Role.DEVELOPER, now=NOON)
    remove(acme, developer, by=developer)
    with tenant_scope([acme.pk]):
        trail = AuditEntry.objects.filter(action__startswith="member.").order_by("pk")
        assert [entry.action for entry in trail] == ["member.role_changed", "member.removed", "member.left"]


def test_the_last_owner_stays(cast: stories.Cast, acme: Organization) -> None:
    owner = cast.acme.owner
    with pytest.raises(members.LastOwner):
        remove(acme, owner, by=owner)
    with pytest.raises(members.LastOwner):
        change(acme, owner, Role.ADMIN, by=owner)
    second = stories.make_member(acme, Role.ADMIN, now=NOON)
    change(acme, second, Role.OWNER, by=owner)
    remove(acme, owner, by=owner)
    with pytest.raises(members.LastOwner):
        remove(acme, second, by=second)


def test_two_owners_who_go_at_once_leave_one_behind(cast: stories.Cast, acme: Organization) -> None:
    second = stories.make_member(acme, Role.ADMIN, now=NOON)
    change(acme, second, Role.OWNER, by=cast.acme.owner)
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def go(user: User) -> None:
        try:
            barrier.wait()
            remove(acme, user, by=user)
            outcomes.append("gone")
        except members.LastOwner:
            outcomes.append("stays")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=go, args=(user,)) for user in (cast.acme.owner, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["gone", "stays"]


def test_a_member_who_lost_the_role_meanwhile_may_no_more(cast: stories.Cast, acme: Organization) -> None:
    admin, viewer = (stories.make_member(acme, role, now=NOON) for role in (Role.ADMIN, Role.VIEWER))
    asking, target = place(admin, acme), place(viewer, acme)
    change(acme, admin, Role.VIEWER, by=cast.acme.owner)
    with pytest.raises(members.MayNot):
        members.remove(organization=acme, membership_id=target.pk, actor=asking, now=NOON)


def test_the_neighbour_reaches_nobody_here(cast: stories.Cast, acme: Organization) -> None:
    stranger = place(cast.globex.owner, cast.globex.organization)
    target = place(cast.acme.owner, acme)
    with pytest.raises(members.NoSuchMember):
        members.remove(organization=cast.globex.organization, membership_id=target.pk, actor=stranger, now=NOON)
