"""What people do with their own account works under the site's few rights on it: sign in, passwords, another address, language."""

import re

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from tests import stories
from tests.dashboard.conftest import Browse

ANOTHER = "another long password"


@pytest.fixture
def member(cast: stories.Cast, browse: Browse) -> Client:
    """Acme's owner, signed in by password."""
    client = browse(language="en")
    sign_in(client, cast.acme.owner.email)
    return client


def sign_in(client: Client, email: str, password: str = stories.PASSWORD) -> None:
    answer = client.post("/accounts/login/", {"login": email, "password": password})
    assert answer["Location"] == "/dashboard", answer.content


def mailed_link() -> str:
    found = re.search(r"https?://[^/\s]+(/accounts/\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1]


def owner(cast: stories.Cast) -> User:
    return User.objects.get(pk=cast.acme.owner.pk)


def test_signing_in_is_noted(member: Client, cast: stories.Cast) -> None:
    assert owner(cast).last_login == stories.NOON


def test_a_password_is_changed(member: Client, cast: stories.Cast) -> None:
    form = {"oldpassword": stories.PASSWORD, "password1": ANOTHER, "password2": ANOTHER}
    assert member.post("/accounts/password/change/", form).status_code == 302
    assert owner(cast).check_password(ANOTHER)


def test_a_forgotten_password_is_set_anew(cast: stories.Cast, browse: Browse) -> None:
    client = browse(language="en")
    client.post("/accounts/password/reset/", {"email": cast.acme.owner.email})
    page = client.get(mailed_link())["Location"]
    assert client.post(page, {"password1": ANOTHER, "password2": ANOTHER}).status_code == 302
    sign_in(browse(), cast.acme.owner.email, ANOTHER)


def test_another_address_takes_the_place_of_the_first(member: Client, cast: stories.Cast) -> None:
    member.post("/accounts/email/", {"action_add": "", "email": "kim@acme.example"})
    member.post(mailed_link())
    member.post("/accounts/email/", {"action_primary": "", "email": "kim@acme.example"})
    assert owner(cast).email == "kim@acme.example"


def test_name_and_language(member: Client, cast: stories.Cast) -> None:
    member.post("/o/acme/settings/profile", {"name": "김민지", "language": "en"})
    assert (owner(cast).name, owner(cast).language) == ("김민지", "en")
    member.post("/language", {"language": "ko"})
    assert owner(cast).language == "ko"


@pytest.mark.parametrize(
    "path", ["/", "/models", "/legal/terms", "/api/docs/", "/accounts/password/change/", "/o/acme/"]
)
def test_whoever_is_signed_in_reads_every_page_in_their_language(cast: stories.Cast, path: str) -> None:
    """Also in a browser that prefers another one, until this browser is told to speak it."""
    User.objects.filter(pk=cast.acme.owner.pk).update(language="ko")
    client = Client(headers={"accept-language": "en"})
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert '<html lang="ko"' in client.get(path).content.decode()
    client.cookies["invoicedream_language"] = "en"
    assert '<html lang="en"' in client.get(path).content.decode()
    assert '<html lang="en"' in Client(headers={"accept-language": "en"}).get("/models").content.decode()
