"""No page loads, frames or posts to anything of others; one that must is named here."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from dashboard.security_headers import ContentSecurityPolicyMiddleware, allow_sources
from tests import stories
from tests.dashboard.conftest import Browse

STRICT = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "path", ["/", "/models", "/legal/terms", "/accounts/signup/", "/nothing-here", "/api/v1/nothing"]
)
def test_answers_carry_the_policy(db: None, browse: Browse, path: str) -> None:
    stories.make_catalog(now=stories.NOON)
    answer = browse().get(path)
    assert answer["Content-Security-Policy"] == STRICT
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_view_may_allow_more_for_itself() -> None:
    @allow_sources(script_src=["'unsafe-inline'"], img_src=["https://images.example"])
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    answer = ContentSecurityPolicyMiddleware(view)(RequestFactory().get("/"))
    policy = answer["Content-Security-Policy"].split("; ")
    assert "script-src 'self' 'unsafe-inline'" in policy
    assert "img-src 'self' data: https://images.example" in policy
    assert "default-src 'self'" in policy


def test_errors_outside_of_views(db: None, browse: Browse) -> None:
    answer = browse().get("/api/v2/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    page = browse(language="ko").get("/nothing-here")
    assert page.status_code == 404
    assert "text/html" in page["Content-Type"]


@pytest.mark.parametrize(
    "address", ["/models?q=%00", "/models/%00", "/api/v1/models/%00", "/o/acme/requests?model=%00"]
)
def test_an_address_with_nul_is_a_bad_request(db: None, client: Client, address: str) -> None:
    assert client.get(address).status_code == 400
