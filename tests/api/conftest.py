"""Clients of the REST API in a story whose clock stands at noon."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client

from tests import stories


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still at noon."""
    with time_machine.travel(stories.NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def cast(db: None, clock: time_machine.Traveller) -> stories.Cast:
    return stories.meet_the_cast(now=stories.NOON)


@pytest.fixture
def as_acme(cast: stories.Cast) -> Client:
    """Acme's program, with its key."""
    return Client(headers=cast.acme.headers)


@pytest.fixture
def as_gateway(cast: stories.Cast) -> Client:
    """The foreign gateway, with its service key."""
    return Client(headers=stories.bearer(cast.service_secret))


@pytest.fixture
def signed_in(cast: stories.Cast) -> Callable[[Any], Client]:
    """A browser with somebody's session; `enforce_csrf_checks` is off unless a test makes its own client."""

    def sign_in(user: Any) -> Client:
        client = Client()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return sign_in
