"""The OpenAPI schema tells the truth, completely; the docs page works under the site's Content-Security-Policy."""

import re
import warnings

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from config.api_urls import version_1


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


def test_the_docs_page_needs_nothing_inline_and_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/docs/")
    text = page.content.decode()
    assert "<style" not in text and "style=" not in text
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)
    for source in sources:
        assert source.startswith("/"), source
        if source.startswith("/static/"):
            assert finders.find(source.removeprefix("/static/")), source
    assert re.findall(r"<script[^>]*>([^<]+)</script>", text) == []
    [script] = [source for source in sources if source.startswith("/api/docs/")]
    answer = Client().get(script)
    assert answer["Content-Type"] == "application/javascript" and b"/api/v1/schema/" in answer.content
    assert "unsafe" not in page["Content-Security-Policy"]
