"""The OpenAPI schema tells the truth, completely; the docs page works under the site's Content-Security-Policy."""

import re
import warnings

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema
from pytest_django.fixtures import Settings

from config.api_urls import version_1
from metering.pushed_events import PushedEvent
from tests import stories


@pytest.fixture
def schema(db: None) -> dict[str, object]:
    GENERATOR_STATS.reset()
    found: dict[str, object] = Client().get("/api/v1/schema/?format=json").json()
    assert not GENERATOR_STATS, "drf-spectacular had to guess"
    return found


def test_it_is_valid(schema: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        validate_schema(schema)


def test_it_names_every_address_and_error(schema: dict[str, object]) -> None:
    paths = schema["paths"]
    assert isinstance(paths, dict)
    ours = {"/api/v1/" + re.sub("<[a-z]+:([a-z_]+)>", r"{\1}", str(route.pattern)) for route in version_1}
    assert set(paths) == ours - {"/api/v1/schema/"}
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert operation["summary"] and "default" in operation["responses"], (path, method)


def test_it_tells_how_to_authenticate(schema: dict[str, object]) -> None:
    assert set(schema["components"]["securitySchemes"]) == {"apiKey", "reporterKey", "session"}  # type: ignore[index]
    paths = schema["paths"]
    assert paths["/api/v1/usage/events"]["post"]["security"] == [{"reporterKey": []}]  # type: ignore[index]
    assert {} in paths["/api/v1/models"]["get"]["security"], "for everybody"  # type: ignore[index]


def test_it_names_every_field_of_a_pushed_event_and_requires_what_must_be_known(schema: dict[str, object]) -> None:
    paths, components = schema["paths"], schema["components"]
    body = paths["/api/v1/usage/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]  # type: ignore[index]
    shape = components["schemas"][body["items"]["$ref"].rpartition("/")[2]]  # type: ignore[index]
    assert set(shape["properties"]) == set(PushedEvent.__struct_fields__)
    assert set(shape["required"]) == {"id", "model", "occurred_at"}


def test_the_docs_page_needs_nothing_inline_and_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/docs/")
    text = page.content.decode()
    assert "<style" not in text and "style=" not in text
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    for source in sources:
        assert source.startswith(("/", "#", "mailto:")), source
        if source.startswith("/static/"):
            source = source.partition("#")[0]
            assert finders.find(source.removeprefix("/static/")), source
    assert re.findall(r"<script[^>]*>([^<]+)</script>", text) == []
    [script] = [source for source in sources if source.startswith("/api/docs/?")]
    answer = Client().get(script)
    assert answer["Content-Type"] == "application/javascript" and b"/api/v1/schema/" in answer.content
    assert "unsafe" not in page["Content-Security-Policy"]


@pytest.mark.parametrize(("language", "words"), [("ko", "게이트웨이"), ("en", "The first call")])
def test_the_docs_page_leads_to_the_gateway_too(db: None, settings: Settings, language: str, words: str) -> None:
    settings.SITE_URL, settings.GATEWAY_URL = "https://site.example", "https://gateway.example/v1"
    client = Client(headers={"accept-language": language})
    page = client.get("/api/docs/").content.decode()
    assert f'<html lang="{language}"' in page and words in page
    assert "<code>https://gateway.example/v1</code>" in page and "<code>https://site.example/api/v1</code>" in page
    assert 'base_url="https://gateway.example/v1"' in page, "a first call to copy"
    assert 'class="site-header"' in page and 'class="site-footer"' in page


def test_the_docs_page_knows_who_is_signed_in(db: None) -> None:
    client = Client(headers={"accept-language": "en"})
    client.force_login(stories.make_user("kim@acme.example", language="ko"))
    page = client.get("/api/docs/").content.decode()
    assert '<html lang="ko"' in page and "/accounts/login/" not in page
