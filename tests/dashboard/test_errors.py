"""Pages of errors keep the reader signed in and in their language; programs get JSON, and what cannot be framed a bare page."""

from typing import Any

import pytest
from django.test import Client, RequestFactory

from accounts.models import Role, User
from dashboard import errors
from tests import stories
from tests.dashboard.conftest import Browse, text_of


def test_a_lost_reader_stays_signed_in(cast: stories.Cast, browse: Browse) -> None:
    page = browse(cast.acme.owner).get("/nowhere")
    assert page.status_code == 404
    assert "There is nothing at this address" in text_of(page) and "Go to the dashboard" in text_of(page)
    assert "Sign in" not in text_of(page) and 'href="/dashboard">Dashboard</a>' in page.content.decode()
    assert "Sign in" in text_of(browse().get("/nowhere")) and "Go to the start page" in text_of(
        browse().get("/nowhere")
    )


def test_a_lost_reader_is_spoken_to_in_their_own_language(cast: stories.Cast) -> None:
    User.objects.filter(pk=cast.acme.owner.pk).update(language="ko")
    client = Client(headers={"accept-language": "en"})
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    for path in ("/nowhere", "/o/globex/invoices"):
        page = client.get(path)
        assert page.status_code == 404 and '<html lang="ko"' in page.content.decode()


def test_a_role_that_may_not_is_told_within_the_site(cast: stories.Cast, browse: Browse) -> None:
    viewer = stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON)
    page = browse(viewer).get("/o/acme/members/invite")
    assert page.status_code == 403
    assert "Your role does not allow this" in text_of(page) and "Sign in" not in text_of(page)
    assert "Privacy policy" in text_of(page)


def test_our_own_failure_keeps_the_frame_too(
    cast: stories.Cast, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.invoices.open_periods", fail)
    client = browse(cast.acme.owner)
    client.raise_request_exception = False
    page = client.get("/o/acme/invoices")
    assert page.status_code == 500
    assert "Something went wrong on our side" in text_of(page) and "Sign in" not in text_of(page)


def test_a_failure_that_takes_the_frame_with_it_is_told_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.errors.render", fail)
    page = errors.server_error(RequestFactory().get("/"))
    assert page.status_code == 500
    assert "site-header" not in page.content.decode() and "</html>" in page.content.decode()


def test_programs_are_answered_as_before() -> None:
    answer = errors.page_not_found(RequestFactory().get("/api/x"), Exception())
    assert answer.status_code == 404 and answer["Content-Type"] == "application/json"


def fail(*_words: Any, **_more: Any) -> Any:
    raise RuntimeError("the database is gone")
