"""Browsers in a story whose clock stands at noon in Seoul."""

import re
from collections.abc import Callable, Iterator
from html import unescape

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from tests import stories

Browse = Callable[..., Client]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still at noon."""
    with time_machine.travel(stories.NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def cast(db: None, clock: time_machine.Traveller) -> stories.Cast:
    return stories.meet_the_cast(now=stories.NOON)


@pytest.fixture
def browse(db: None) -> Browse:
    """A browser, signed in as somebody or as nobody, that reads `language`."""

    def open_browser(user: User | None = None, *, language: str = "en") -> Client:
        client = Client(headers={"Accept-Language": language})
        client.cookies["invoicedream_language"] = language
        if user is not None:
            client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return open_browser


def text_of(response: HttpResponse) -> str:
    """What a reader sees of a page: no tags, one blank between words."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
