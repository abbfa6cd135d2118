"""The console in the tests' own process: its settings over those of the tests, and the `system` role as its default."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings
from django.db import connections
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import User
from config import console_settings
from tests.stories import PASSWORD, Cast, meet_the_cast

SAME = {"DATABASES", "STORAGES", "PASSWORD_HASHERS"}
"""Of these the tests have their own; the role of the default connection is changed by hand."""
DIFFERENT = {
    name: getattr(console_settings, name)
    for name in dir(console_settings)
    if name.isupper() and name not in SAME and getattr(settings, name, None) != getattr(console_settings, name)
}


@pytest.fixture
def console(db: None) -> Iterator[None]:
    """This process is a console until the test ends."""
    default, system = (connections[alias].settings_dict for alias in ("default", "system"))
    before = {name: default[name] for name in ("USER", "PASSWORD")}
    connections["default"].close()
    default.update({name: system[name] for name in before})
    with override_settings(**DIFFERENT):
        yield
    connections["default"].close()
    default.update(before)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(db: None, now: datetime) -> Cast:
    """Acme, globex and an operator, brought on stage before the curtain of the console rises."""
    return meet_the_cast(now=now)


def give_second_factor(user: User) -> str:
    """An authenticator app for `user`; its secret."""
    secret: str = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code_of(secret: str) -> str:
    """What the app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(timezone.now().timestamp()) // 30)))


def sign_in(client: Client, user: User, *, secret: str | None = None) -> None:
    """By password and, where there is one, the app's code."""
    response = client.post("/sign-in/", {"login": user.email, "password": PASSWORD})
    assert response.status_code == 302, response.content.decode()
    if secret:
        response = client.post("/second-factor/sign-in/", {"code": code_of(secret)})
        assert response.status_code == 302, response.content.decode()


@pytest.fixture
def operator(cast: Cast, console: None) -> Client:
    """A browser in which the operator is signed in, with the second factor."""
    client = Client()
    sign_in(client, cast.operator, secret=give_second_factor(cast.operator))
    return client
