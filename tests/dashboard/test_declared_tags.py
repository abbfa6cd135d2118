"""Owners and admins declare tags on the settings page; everybody sees which, and since when."""

from django.test import Client

from accounts.models import Role
from accounts.tag_declarations import declared_tags
from accounts.tenancy import tenant_scope
from tests import stories
from tests.dashboard.conftest import Browse, text_of

ADDRESS = "/o/acme/settings/tags"


def keys_of(cast: stories.Cast) -> list[str]:
    with tenant_scope([cast.acme.organization.pk]):
        return declared_tags(cast.acme.organization)


def declare(client: Client, *keys: str, follow: bool = False) -> str:
    return text_of(client.post(ADDRESS, {f"key_{n}": key for n, key in enumerate(keys, start=1)}, follow=follow))


def test_an_owner_declares_tags(cast: stories.Cast, browse: Browse) -> None:
    owner = browse(cast.acme.owner)
    assert "Saved. It holds for what is recorded from now on." in declare(owner, "team", "", "project", follow=True)
    assert keys_of(cast) == ["team", "project"]
    declare(owner, "", "project")
    assert keys_of(cast) == ["project"]
    page = owner.get(ADDRESS)
    assert "team 2026-11-22 12:00 2026-11-22 12:00" in text_of(page)
    assert 'href="/o/acme/usage?group=tag:project"' in page.content.decode()


def test_what_cannot_be_declared_is_said(cast: stories.Cast, browse: Browse) -> None:
    assert "Each tag can be declared once only." in declare(browse(cast.acme.owner), "team", "team")
    korean = browse(cast.acme.owner, language="ko")
    assert "같은 태그는 한 번만 지정할 수 있습니다" in declare(korean, "team", "team")
    assert "1~64자" in declare(korean, "a=b")
    assert keys_of(cast) == []


def test_others_look_only(cast: stories.Cast, browse: Browse) -> None:
    for role in (Role.BILLING, Role.DEVELOPER, Role.VIEWER):
        member = browse(stories.make_member(cast.acme.organization, role, now=stories.NOON))
        page = member.get(ADDRESS)
        assert "Owners and admins can change this." in text_of(page) and 'name="key_1"' in page.content.decode()
        assert member.post(ADDRESS, {"key_1": "team"}).status_code == 403
    assert browse(cast.globex.owner).get(ADDRESS).status_code == 404
    assert keys_of(cast) == []
