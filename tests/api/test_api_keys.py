"""Keys over REST: the secret once, nobody else's, and no key that can do more than its maker."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Role, Scope
from tests import stories

PATH, JSON = "/api/v1/api-keys", "application/json"


def post(client: Client, **wanted: Any) -> Any:
    return client.post(PATH, wanted, content_type=JSON)


def test_the_secret_is_shown_once_and_works(cast: stories.Cast, as_acme: Client) -> None:
    answer = post(as_acme, name="Search team", scopes=["usage:read"], allowed_models=[stories.DEVSTRAL])
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    issued = answer.json()
    assert issued["secret"].startswith(issued["prefix"])
    assert (issued["scopes"], issued["allowed_models"]) == (["usage:read"], [stories.DEVSTRAL])
    assert Client(headers=stories.bearer(issued["secret"])).get("/api/v1/usage").status_code == 200
    shown = as_acme.get(f"{PATH}/{issued['id']}").json()
    assert shown == {name: value for name, value in issued.items() if name != "secret"}
    assert issued["secret"] not in as_acme.get(PATH).content.decode()


def test_a_revoked_key_is_refused(cast: stories.Cast, as_acme: Client) -> None:
    issued = post(as_acme, name="Old").json()
    for _time in range(2):
        assert as_acme.delete(f"{PATH}/{issued['id']}").status_code == 204
    assert Client(headers=stories.bearer(issued["secret"])).get("/api/v1/usage").status_code == 401
    assert as_acme.get(f"{PATH}/{issued['id']}").json()["revoked_at"] == "2026-11-22T03:00:00Z"
    assert AuditEntry.objects.using("system").filter(action="api_key.revoked").count() == 1


def test_pages(cast: stories.Cast, as_acme: Client) -> None:
    made = [post(as_acme, name=str(number)).json()["id"] for number in range(4)]
    first = as_acme.get(PATH, {"limit": 3}).json()
    rest = as_acme.get(PATH, {"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [key["id"] for key in first["data"] + rest["data"]] == [*reversed(made), str(cast.acme.key.pk)]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"name": ""},
        {"name": "x" * 61},
        {"name": "a\x00"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": "keys"},
        {"name": "x", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "allowed_models": [""]},
    ],
)
def test_bad_wishes(cast: stories.Cast, as_acme: Client, wanted: dict[str, Any]) -> None:
    assert post(as_acme, **wanted).status_code == 400


def test_no_key_makes_a_mightier_one(cast: stories.Cast) -> None:
    _key, secret = stories.make_key(
        cast.acme.organization, now=stories.NOON, scopes=[Scope.KEYS, Scope.USAGE_READ], allowed_models=["a/b"]
    )
    weak = Client(headers=stories.bearer(secret))
    assert post(weak, name="x", scopes=["inference"]).status_code == 403
    assert post(weak, name="x", allowed_models=["c/d"]).status_code == 403
    issued = post(weak, name="x").json()
    assert (issued["scopes"], issued["allowed_models"]) == (["usage:read"], ["a/b"])


def test_a_new_key_calls_models_and_reads_usage_unless_more_is_asked_for(
    cast: stories.Cast, as_acme: Client, signed_in: Callable[[Any], Client]
) -> None:
    for client in (as_acme, signed_in(cast.acme.owner)):
        issued = post(client, name="Plain").json()
        assert issued["scopes"] == ["inference", "usage:read"]
        refused = Client(headers=stories.bearer(issued["secret"])).post(
            "/api/v1/usage/events", "[]", content_type="application/json"
        )
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            403,
            "The API key lacks the scope usage:write.",
        )
    assert post(as_acme, name="Reporter", scopes=["usage:write"]).json()["scopes"] == ["usage:write"]


def test_a_key_without_the_scope_manages_none(cast: stories.Cast, as_acme: Client) -> None:
    secret = post(as_acme, name="plain").json()["secret"]
    plain = Client(headers=stories.bearer(secret))
    assert plain.get(PATH).status_code == post(plain, name="x").status_code == 403


@pytest.mark.parametrize(
    ("role", "status"), [(Role.ADMIN, 200), (Role.DEVELOPER, 200), (Role.BILLING, 403), (Role.VIEWER, 403)]
)
def test_roles(cast: stories.Cast, signed_in: Callable[[Any], Client], role: Role, status: int) -> None:
    member = stories.make_member(cast.acme.organization, role, now=stories.NOON)
    assert signed_in(member).get(PATH).status_code == status


def test_a_session_needs_the_csrf_token(cast: stories.Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = post(client, name="x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")


def test_a_session_names_its_organization(cast: stories.Cast, signed_in: Callable[[Any], Client]) -> None:
    from accounts.models import Membership

    owner = cast.acme.owner
    client = signed_in(owner)
    assert [key["id"] for key in client.get(PATH).json()["data"]] == [str(cast.acme.key.pk)]
    assert client.get(PATH, headers={"X-Organization": "globex"}).status_code == 404
    assert client.get(PATH, headers={"X-Organization": "nobody"}).status_code == 404
    Membership.objects.using("system").create(
        organization=cast.globex.organization, user=owner, role=Role.DEVELOPER, created_at=stories.NOON
    )
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "organization_not_named")
    assert client.get("/api/v1/models").status_code == 200
    globex = client.get(PATH, headers={"X-Organization": "globex"}).json()["data"]
    assert [key["id"] for key in globex] == [str(cast.globex.key.pk)]


def test_a_key_cannot_name_another_organization(cast: stories.Cast, as_acme: Client) -> None:
    assert as_acme.get(PATH, headers={"X-Organization": "globex"}).status_code == 404
    assert as_acme.get(PATH, headers={"X-Organization": "acme"}).status_code == 200


def test_somebody_without_an_organization(cast: stories.Cast, signed_in: Callable[[Any], Client]) -> None:
    assert signed_in(stories.make_user("nobody@example.com")).get(PATH).status_code == 400


@pytest.mark.parametrize("key_id", ["{globex}", "0", "x", "999999999999999999999", "-1", "²"])
def test_what_is_not_ours_is_not_found(cast: stories.Cast, as_acme: Client, key_id: str) -> None:
    path = f"{PATH}/{key_id.format(globex=cast.globex.key.pk)}"
    assert as_acme.get(path).status_code == as_acme.delete(path).status_code == 404
    cast.globex.key.refresh_from_db(using="system")
    assert cast.globex.key.revoked_at is None
