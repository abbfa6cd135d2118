"""A customer changes what invoices print, invites a colleague who joins and rotates a key."""

import re
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.api_keys import identify_api_key
from accounts.models import ApiKey, BillingProfile, Consent, Invitation, Membership, Organization, Role
from billing.delivery import deliver_waiting
from pricing.tokens import TokenUsage
from tests import stories
from tests.dashboard.conftest import Browse, text_of

MILLION = TokenUsage(input_tokens=500_000, output_tokens=500_000)
"""Costs ₩66 and ₩6.6 VAT."""
DETAILS = {
    "legal_name": "주식회사 에이크미",
    "registration_number": "2208162517",
    "representative": "김대표",
    "address": "서울특별시 강남구 가상로 1",
    "business_type": "정보통신업",
    "business_item": "소프트웨어",
    "contact_name": "이경리",
    "contact_email": "pay@acme.example",
    "language": "en",
}
NEWCOMER = {
    "email": "minji@acme.example",
    "password1": stories.PASSWORD,
    "password2": stories.PASSWORD,
    "name": "김민지",
    "agree_terms": "on",
    "agree_privacy": "on",
}


@pytest.fixture
def owner(cast: stories.Cast, browse: Browse) -> Client:
    return browse(cast.acme.owner)


def member(cast: stories.Cast, browse: Browse, role: Role) -> Client:
    return browse(stories.make_member(cast.acme.organization, role, now=stories.NOON))


# -- billing details -------------------------------------------------------------------------------------------------


def test_billing_details_are_kept(owner: Client) -> None:
    assert owner.post("/o/acme/settings/billing", DETAILS)["Location"] == "/o/acme/settings/billing"
    profile = BillingProfile.objects.using("system").get(organization__slug="acme")
    assert (profile.registration_number, profile.contact_email) == ("220-81-62517", "pay@acme.example")
    assert Organization.objects.using("system").get(slug="acme").language == "en"
    page = owner.get("/o/acme/settings/billing")
    assert "220-81-62517" in page.content.decode()
    assert "Saved." in text_of(page)


def test_a_wrong_registration_number_is_refused_beside_its_field(
    owner: Client, browse: Browse, cast: stories.Cast
) -> None:
    answer = owner.post("/o/acme/settings/billing", DETAILS | {"registration_number": "220-81-62518"})
    assert answer.status_code == 422
    assert "The check digit does not fit." in text_of(answer)
    korean = browse(cast.acme.owner, language="ko")
    answer = korean.post("/o/acme/settings/billing", DETAILS | {"registration_number": "123"})
    assert "사업자등록번호는 숫자 10자리입니다" in text_of(answer)
    assert BillingProfile.objects.using("system").get(organization__slug="acme").legal_name == ""


def test_billing_managers_change_details_and_nothing_else(cast: stories.Cast, browse: Browse) -> None:
    manager = member(cast, browse, Role.BILLING)
    assert manager.post("/o/acme/settings/billing", DETAILS).status_code == 302
    assert manager.post("/o/acme/settings", {"name": "Mine"}).status_code == 403
    assert manager.post("/o/acme/limits/new", {"amount": "1"}).status_code == 403
    developer = member(cast, browse, Role.DEVELOPER)
    assert "Owners, admins and billing managers can change this." in text_of(developer.get("/o/acme/settings/billing"))
    assert developer.post("/o/acme/settings/billing", DETAILS).status_code == 403


# -- members ---------------------------------------------------------------------------------------------------------


def invite(owner: Client, email: str = "minji@acme.example", role: str = "developer") -> str:
    """Send an invitation; the path in the mail that arrives."""
    assert owner.post("/o/acme/members/invite", {"email": email, "role": role})["Location"] == "/o/acme/members"
    return path_in_mail()


def path_in_mail() -> str:
    deliver_waiting(now=stories.NOON + timedelta(seconds=1))
    found = re.search(r"/invitations/\S+", str(mail.outbox[-1].body))
    assert found is not None
    return found[0]


def test_a_colleague_without_an_account_signs_up_and_joins(owner: Client, browse: Browse) -> None:
    path = invite(owner)
    assert mail.outbox[-1].to == ["minji@acme.example"]
    assert "minji@acme.example" in text_of(owner.get("/o/acme/members"))

    newcomer = browse(language="en")
    page = newcomer.get(path)
    assert "Invitation to Acme" in text_of(page)
    assert "no-store" in page["Cache-Control"]
    form = newcomer.get("/accounts/signup/?next=" + path)
    assert 'value="minji@acme.example"' in form.content.decode()
    assert "organization_name" not in form.content.decode()
    answer = newcomer.post("/accounts/signup/", NEWCOMER | {"next": path})
    assert answer["Location"] == path, "the mail has shown that the address is theirs: nothing else to confirm"
    assert Consent.objects.count() == 2
    assert newcomer.post(path)["Location"] == "/o/acme/"
    assert "Welcome to Acme." in text_of(newcomer.get("/o/acme/"))
    place = Membership.objects.using("system").get(user__email="minji@acme.example")
    assert (place.organization.slug, place.role) == ("acme", "developer")
    assert Organization.objects.using("system").count() == 2
    assert browse().get(path).status_code == 404, "used up"
    assert "Pending invitations" not in text_of(owner.get("/o/acme/members"))


def test_whoever_lost_the_link_on_the_way_is_led_back_to_it(owner: Client, browse: Browse) -> None:
    path = invite(owner)
    newcomer = browse()
    newcomer.get(path)
    newcomer.post("/accounts/signup/", NEWCOMER)
    assert newcomer.get("/dashboard")["Location"] == path


def test_another_address_than_the_invited_one_does_not_join(owner: Client, browse: Browse) -> None:
    path = invite(owner)
    newcomer = browse()
    newcomer.get(path)
    newcomer.post("/accounts/signup/", NEWCOMER | {"email": "else@acme.example", "next": path})
    addresses = EmailAddress.objects.filter(user__name="김민지").values_list("email", "verified")
    assert list(addresses) == [("minji@acme.example", True)]
    stranger = browse(stories.make_user("stranger@elsewhere.example"))
    assert "This invitation is for minji@acme.example" in text_of(stranger.get(path))
    assert stranger.post(path).status_code == 403
    assert not Membership.objects.using("system").filter(organization__slug="acme", role="developer").exists()


def test_a_colleague_with_an_account_signs_in_and_joins(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    path = invite(owner, email=cast.globex.owner.email, role="viewer")
    assert "Sign in and join" in text_of(browse().get(path))
    colleague = browse(cast.globex.owner)
    assert "Join" in text_of(colleague.get(path))
    assert colleague.post(path)["Location"] == "/o/acme/"
    assert colleague.get("/o/globex/").status_code == 200


def test_invitations_are_sent_again_and_taken_back(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    first = invite(owner)
    number = Invitation.objects.using("system").get().pk
    with time_machine.travel(stories.NOON + timedelta(hours=1), tick=False):
        assert owner.post(f"/o/acme/invitations/{number}/resend").status_code == 302
        deliver_waiting(now=stories.NOON + timedelta(hours=2))
    assert len(mail.outbox) == 2
    second = re.search(r"/invitations/\S+", str(mail.outbox[-1].body))
    assert second is not None and second[0] != first
    assert browse().get(first).status_code == 404
    assert browse().get(second[0]).status_code == 200
    owner.post(f"/o/acme/invitations/{number}/cancel")
    assert browse().get(second[0]).status_code == 404
    owner.post(f"/o/acme/invitations/{number}/resend")
    assert "not pending any more" in text_of(owner.get("/o/acme/members"))
    assert owner.post("/o/acme/members/invite", {"email": "x", "role": "viewer"}).status_code == 422
    answer = owner.post("/o/acme/members/invite", {"email": cast.acme.owner.email, "role": "viewer"})
    assert "member already" in text_of(answer)


def test_roles_are_changed_and_members_removed(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    viewer = stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON)
    place = Membership.objects.using("system").get(user=viewer)
    page = f"/o/acme/members/{place.pk}"
    assert "viewer@acme.example" in text_of(owner.get(page))
    assert owner.post(page, {"role": "billing"})["Location"] == "/o/acme/members"
    assert "viewer@acme.example Billing manager" in text_of(owner.get("/o/acme/members"))
    assert owner.post(f"{page}/remove").status_code == 302
    assert browse(viewer).get("/o/acme/").status_code == 404


def test_the_last_owner_cannot_go(cast: stories.Cast, owner: Client) -> None:
    place = Membership.objects.using("system").get(user=cast.acme.owner)
    for path, form in (
        (f"/o/acme/members/{place.pk}", {"role": "viewer"}),
        ("/o/acme/members/leave", {"understood": "on"}),
    ):
        answer = owner.post(path, form)
        assert answer.status_code == 422
        assert "needs an owner" in text_of(answer)
    assert "needs an owner" in text_of(owner.post(f"/o/acme/members/{place.pk}/remove", follow=True))


def test_members_leave_if_they_mean_it(cast: stories.Cast, browse: Browse) -> None:
    viewer = member(cast, browse, Role.VIEWER)
    assert viewer.post("/o/acme/members/leave").status_code == 422
    assert viewer.post("/o/acme/members/leave", {"understood": "on"})["Location"] == "/dashboard"
    assert viewer.get("/o/acme/").status_code == 404


def test_an_admin_is_offered_no_owner(cast: stories.Cast, browse: Browse) -> None:
    admin = member(cast, browse, Role.ADMIN)
    assert 'value="owner"' not in admin.get("/o/acme/members/invite").content.decode()
    assert admin.post("/o/acme/members/invite", {"email": "x@acme.example", "role": "owner"}).status_code == 422
    place = Membership.objects.using("system").get(user=cast.acme.owner)
    assert "Only owners can change owners." in text_of(admin.get(f"/o/acme/members/{place.pk}"))
    assert admin.post(f"/o/acme/members/{place.pk}", {"role": "viewer"}).status_code == 403
    assert admin.post(f"/o/acme/members/{place.pk}/remove").status_code == 403


# -- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_rotated_with_an_overlap(cast: stories.Cast, owner: Client) -> None:
    page = f"/o/acme/keys/{cast.acme.key.pk}"
    assert "Rotate" in text_of(owner.get(page))
    assert owner.post(f"{page}/rotate").status_code == 422
    answer = owner.post(f"{page}/rotate", {"overlap": "24"})
    found = re.search(r"idk_live_\w{38}", answer.content.decode())
    assert found is not None
    assert "no-store" in answer["Cache-Control"]
    assert "works until 2026-11-23 12:00" in text_of(answer)
    for secret in (found[0], cast.acme.secret):
        assert identify_api_key(secret, now=stories.NOON).api_key_id == cast.acme.key.pk
    assert found[0] not in owner.get(page).content.decode()
    assert "Two secrets work at present" in text_of(owner.get(page))
    owner.post(f"{page}/end-previous")
    assert "Two secrets" not in text_of(owner.get(page))
    assert ApiKey.objects.using("system").get(pk=cast.acme.key.pk).previous_digest is None


# -- the REST API ----------------------------------------------------------------------------------------------------


def test_the_organization_over_rest(cast: stories.Cast, owner: Client) -> None:
    read = Client(headers=cast.acme.headers).get("/api/v1/organization").json()
    assert (read["slug"], read["billing_profile"]["contact_email"]) == ("acme", cast.acme.owner.email)
    change = {"language": "en", "billing_profile": {"registration_number": "2208162517"}}
    answer = owner.patch("/api/v1/organization", change, content_type="application/json")
    assert answer.json()["billing_profile"]["registration_number"] == "220-81-62517"
    assert answer.json()["language"] == "en"
    wrong = {"billing_profile": {"registration_number": "220-81-62518"}}
    answer = owner.patch("/api/v1/organization", wrong, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "billing_profile.registration_number")
    with_key = Client(headers=cast.acme.headers).patch("/api/v1/organization", change, content_type="application/json")
    assert with_key.status_code == 403


def test_a_billing_manager_changes_the_profile_over_rest_but_not_the_name(cast: stories.Cast, browse: Browse) -> None:
    manager = member(cast, browse, Role.BILLING)
    profile = {"billing_profile": {"contact_email": "pay@acme.example"}}
    assert manager.patch("/api/v1/organization", profile, content_type="application/json").status_code == 200
    assert manager.patch("/api/v1/organization", {"name": "X"}, content_type="application/json").status_code == 403
