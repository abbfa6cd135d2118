"""Nobody but operators with a second factor gets in, whatever the address."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth import SESSION_KEY
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import AuditEntry
from tests.console.conftest import sign_in
from tests.stories import PASSWORD, Cast, code_of, give_second_factor

OPEN = {"healthz", "readyz", "set_language", "account_login", "mfa_authenticate"}
SET_UP = "/second-factor/app/"


def addresses(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and an example of every address."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, route)
        else:
            yield pattern.name or "", "/" + example(route)


def example(route: str) -> str:
    route = re.sub(r"<uuid:\w+>", "0190b5c0-0000-7000-8000-000000000000", route)
    route = re.sub(r"<int:\w+>", "1", route)
    route = re.sub(r"<(slug|path):\w+>", "1", route)
    return re.sub(r"\(\?P<\w+>[^)]*\)", "accounts", route).replace("^", "").replace("$", "").replace("(.+)", "x")


@pytest.fixture
def everything(console: None) -> list[str]:
    return [address for name, address in addresses(get_resolver().url_patterns) if name not in OPEN]


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_sees_the_entrance_only(cast: Cast, everything: list[str], method: str) -> None:
    assert len(everything) > 100
    for address in everything:
        response = getattr(Client(), method)(address)
        assert response.status_code == 302 and response["Location"].startswith("/sign-in/"), address


def test_the_right_password_of_a_customer_is_as_wrong_as_any(cast: Cast, console: None) -> None:
    client = Client()
    right = client.post("/sign-in/", {"login": cast.acme.owner.email, "password": PASSWORD})
    wrong = client.post("/sign-in/", {"login": cast.globex.owner.email, "password": "something else"})
    assert right.status_code == wrong.status_code == 200
    assert right.context["form"].errors == wrong.context["form"].errors != {}
    assert SESSION_KEY not in client.session
    assert client.get("/").status_code == 302


def test_a_session_of_the_site_is_none_here(cast: Cast, console: None) -> None:
    client = Client()
    client.force_login(cast.operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/")["Location"].startswith("/sign-in/")


def test_without_a_second_factor_it_must_be_set_up_first(cast: Cast, everything: list[str]) -> None:
    client = Client()
    sign_in(client, cast.operator)
    reachable = {SET_UP, "/confirm/", "/second-factor/confirm/", "/sign-out/"}
    for address in everything:
        if address not in reachable:
            assert client.get(address)["Location"] == SET_UP, address
    assert client.get(SET_UP)["Location"].startswith("/confirm/")
    client.post("/confirm/", {"password": PASSWORD})
    page = client.get(SET_UP)
    secret = page.context["form"].secret
    response = client.post(SET_UP, {"code": code_of(secret)})
    assert response["Location"] == "/second-factor/recovery-codes/"
    assert client.get("/second-factor/recovery-codes/").status_code == 200
    assert client.get("/").status_code == 200


def test_a_session_by_password_alone_stays_outside(cast: Cast, console: None) -> None:
    thief, client = Client(), Client()
    sign_in(thief, cast.operator)
    secret = give_second_factor(cast.operator)
    sign_in(client, cast.operator, secret=secret)
    assert client.get("/").status_code == 200
    assert thief.get("/usage/")["Location"] == "/second-factor/confirm/?next=/usage/"
    assert thief.get(SET_UP).status_code == 302


def test_with_the_second_factor_one_is_in_and_it_is_noted(cast: Cast, console: None) -> None:
    client = Client()
    secret = give_second_factor(cast.operator)
    response = client.post("/sign-in/", {"login": cast.operator.email, "password": PASSWORD})
    assert response["Location"] == "/second-factor/sign-in/"
    assert client.get("/")["Location"].startswith("/sign-in/")
    assert client.post("/second-factor/sign-in/", {"code": "000000"}).status_code == 200
    assert client.post("/second-factor/sign-in/", {"code": code_of(secret)})["Location"] == "/"
    assert client.get("/").status_code == 200
    entry = AuditEntry.objects.filter(action="operator.signed_in").get()
    assert entry.actor == cast.operator


def test_the_second_factor_cannot_be_turned_off(operator: Client, cast: Cast) -> None:
    assert operator.post("/second-factor/app/off/").status_code == 302
    assert cast.operator.authenticator_set.filter(type="totp").exists()
    assert operator.get("/second-factor/").status_code == 200


def test_who_is_no_operator_any_more_is_out_at_once(operator: Client, cast: Cast) -> None:
    assert operator.get("/").status_code == 200
    cast.operator.is_staff = False
    cast.operator.save(using="system", update_fields=["is_staff"])
    assert operator.get("/")["Location"].startswith("/sign-in/")


def test_guessing_is_slowed_down(cast: Cast, console: None) -> None:
    client = Client()
    for _attempt in range(5):
        client.post("/sign-in/", {"login": cast.operator.email, "password": "wrong"})
    answer = client.post("/sign-in/", {"login": cast.operator.email, "password": PASSWORD})
    assert answer.status_code in {200, 429} and SESSION_KEY not in client.session


def test_signing_out(operator: Client) -> None:
    assert operator.post("/logout/").status_code == 302
    assert operator.get("/").status_code == 302


def test_there_is_no_sign_up(console: None, cast: Cast) -> None:
    assert Client().get("/accounts/signup/").status_code in {302, 404}
    assert Client().get("/sign-up/").status_code in {302, 404}


def test_health_needs_nobody(console: None) -> None:
    assert Client().get("/healthz").status_code == Client().get("/readyz").status_code == 200


def test_policies(operator: Client) -> None:
    entrance, inside = Client().get("/sign-in/"), operator.get("/")
    assert "unsafe" not in entrance["Content-Security-Policy"]
    policy = inside["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in policy and "frame-ancestors 'none'" in policy
    assert "no-store" in inside["Cache-Control"]
