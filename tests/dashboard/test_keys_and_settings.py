"""Keys are issued, shown once and revoked; names and languages are changed – by those who may."""

import re

import pytest
from django.test import Client

from accounts.api_keys import InvalidKey, identify_api_key
from accounts.models import ApiKey, AuditEntry, Organization, Role, User
from tests import stories
from tests.dashboard.conftest import Browse, text_of

NEW_KEY = {
    "name": "Production",
    "scopes": ["inference"],
    "allowed_models": stories.DEVSTRAL,
    "expires_on": "2026-12-31",
}


@pytest.fixture
def owner(cast: stories.Cast, browse: Browse) -> Client:
    return browse(cast.acme.owner)


def test_a_key_is_shown_once(owner: Client, cast: stories.Cast) -> None:
    answer = owner.post("/o/acme/keys/new", NEW_KEY)
    assert "no-store" in answer["Cache-Control"]
    found = re.search(r"idk_live_\w{38}", answer.content.decode())
    assert found is not None
    identity = identify_api_key(found[0], now=stories.NOON)
    assert (identity.organization_slug, identity.scopes, identity.allowed_models) == (
        "acme",
        {"inference"},
        {stories.DEVSTRAL},
    )
    assert identity.expires_at is not None
    assert identity.expires_at.isoformat() == "2026-12-31T15:00:00+00:00", "the end of the day in Seoul"
    page = owner.get("/o/acme/keys")
    assert found[0] not in page.content.decode()
    assert f"Production {found[0][:13]}… Call models 1 model" in text_of(page)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"name": ""}, "required"),
        ({"scopes": []}, "required"),
        (
            {"allowed_models": "mistralai/devstral-smal\nopenai/gpt-9"},
            "Unknown model: mistralai/devstral-smal, openai/gpt-9",
        ),
        ({"expires_on": "2026-11-21"}, "This day is over already."),
    ],
)
def test_a_wrong_form_says_what_is_wrong(owner: Client, wrong: dict[str, object], complaint: str) -> None:
    answer = owner.post("/o/acme/keys/new", NEW_KEY | wrong)
    assert answer.status_code == 422
    assert complaint in text_of(answer)
    assert ApiKey.objects.using("system").count() == 2


def test_a_revoked_key_is_refused(owner: Client, cast: stories.Cast) -> None:
    url = f"/o/acme/keys/{cast.acme.key.pk}/revoke"
    assert "cannot be undone" in text_of(owner.get(url))
    assert owner.post(url)["Location"] == "/o/acme/keys"
    assert f"The key {cast.acme.key.prefix}… is revoked." in text_of(owner.get("/o/acme/keys"))
    with pytest.raises(InvalidKey):
        identify_api_key(cast.acme.secret, now=stories.NOON)
    assert "revoked already" in text_of(owner.get(url))


def test_the_list_says_when_a_key_was_used(owner: Client, cast: stories.Cast) -> None:
    stories.use(cast.acme.organization, at=stories.NOON, api_key_id=cast.acme.key.pk)
    assert "2026-11-22, about 12:00 ₩0.099" in text_of(owner.get("/o/acme/keys"))


def test_a_viewer_may_look_but_not_create_keys(cast: stories.Cast, browse: Browse) -> None:
    viewer = browse(stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON))
    page = viewer.get("/o/acme/keys")
    assert cast.acme.key.prefix in page.content.decode()
    assert "/keys/new" not in page.content.decode()
    assert "/revoke" not in page.content.decode()
    assert "/keys/new" not in viewer.get("/o/acme/").content.decode()
    refused = viewer.post("/o/acme/keys/new", NEW_KEY)
    assert refused.status_code == 403
    assert "Your role does not allow this" in text_of(refused)
    assert viewer.post(f"/o/acme/keys/{cast.acme.key.pk}/revoke").status_code == 403
    assert ApiKey.objects.using("system").filter(revoked_at=None).count() == 2


def test_the_organization_is_renamed_by_those_who_may(owner: Client, cast: stories.Cast, browse: Browse) -> None:
    assert owner.post("/o/acme/settings", {"name": "Acme Labs"})["Location"] == "/o/acme/settings"
    organization = Organization.objects.using("system").get(slug="acme")
    assert organization.name == "Acme Labs"
    entry = AuditEntry.objects.using("system").get(action="organization.changed")
    assert (entry.actor, entry.detail) == (cast.acme.owner, {"name": "Acme Labs"})
    assert owner.post("/o/acme/settings", {"name": ""}).status_code == 422

    viewer = browse(stories.make_member(organization, Role.VIEWER, now=stories.NOON))
    assert "Owners and admins can change this." in text_of(viewer.get("/o/acme/settings"))
    assert viewer.post("/o/acme/settings", {"name": "Mine"}).status_code == 403


def test_a_new_language_holds_at_once_and_on_other_devices(cast: stories.Cast, browse: Browse) -> None:
    client = browse(cast.acme.owner, language="en")
    client.post("/o/acme/settings/profile", {"name": "Kim", "language": "ko"})
    assert "저장했습니다" in text_of(client.get("/o/acme/settings/profile"))
    elsewhere = Client(headers={"Accept-Language": "en"})
    elsewhere.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert "개요" in text_of(elsewhere.get("/o/acme/"))
    elsewhere.post("/language", {"language": "en", "next": "/o/acme/"})
    assert "Overview" in text_of(elsewhere.get("/o/acme/"))
    assert User.objects.get(pk=cast.acme.owner.pk).language == "en"


def test_members_and_their_roles(owner: Client, cast: stories.Cast) -> None:
    stories.make_member(cast.acme.organization, Role.BILLING, now=stories.NOON)
    page = text_of(owner.get("/o/acme/members"))
    assert "owner@acme.example you owner@acme.example Owner 2026-11-22" in page
    assert "billing@acme.example Billing manager" in page
    assert "globex" not in page


def test_limits_a_minute_of_a_key(owner: Client, cast: stories.Cast) -> None:
    key = cast.acme.key
    address = f"/o/acme/keys/{key.pk}/rates"
    assert "6,000 requests and use 20,000,000 tokens a minute" in text_of(owner.get(address))
    assert owner.post(address, {"requests": "1,200", "tokens": ""}).status_code == 302
    key = ApiKey.objects.using("system").get(pk=key.pk)
    assert (key.requests_per_minute, key.tokens_per_minute) == (1200, None)
    assert "A minute 1,200 requests" in text_of(owner.get(f"/o/acme/keys/{key.pk}"))
    entry = AuditEntry.objects.using("system").get(action="api_key.rate_limits_set")
    assert (entry.actor, entry.detail) == (cast.acme.owner, {"requests": 1200, "tokens": None})
    assert owner.post(address, {"requests": "0"}).status_code == 422
    assert owner.post(address, {}).status_code == 302
    assert ApiKey.objects.using("system").get(pk=key.pk).requests_per_minute is None


def test_the_form_offers_a_new_key_what_most_need(cast: stories.Cast, browse: Browse) -> None:
    form = browse(cast.acme.owner).get("/o/acme/keys/new").context["form"]
    assert sorted(form["scopes"].value()) == ["inference", "usage:read"]
