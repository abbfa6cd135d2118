"""What other gateways really send, recorded in payloads/ (see there who sent what), and what it must mean to us."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.tenancy import tenant_scope
from metering.models import UsageEvent
from tests import stories

PAYLOADS = Path(__file__).parent / "payloads"
EXPECTED: Mapping[str, Any] = json.loads((PAYLOADS / "expected.json").read_text())
RECORDED_AT = datetime(2026, 11, 22, 16, 50, tzinfo=UTC)
EVENTS, LITELLM, OTLP = "/api/v1/usage/events", "/api/v1/usage/litellm", "/api/v1/usage/otlp/v1/traces"
DOORS: Mapping[str, tuple[str, str]] = {
    "litellm-json-array.json": (LITELLM, "application/json"),
    "litellm-ndjson.ndjson": (LITELLM, "application/json"),
    "litellm-single.json": (LITELLM, "application/json"),
    "otlp-openai-instrumentation.json": (OTLP, "application/json"),
    "cloudevent.json": (EVENTS, "application/cloudevents+json"),
    "cloudevents-batch.json": (EVENTS, "application/cloudevents-batch+json"),
}
"""Where each was sent, under the content type that it came with: LiteLLM calls its lines JSON, too."""


@pytest.fixture
def acme(db: None) -> Client:
    """Under its own key: LiteLLM ran without organizations of its own."""
    with time_machine.travel(RECORDED_AT, tick=False):
        cast = stories.meet_the_cast(now=RECORDED_AT)
        client = Client(headers=cast.acme.headers)
        client.organization = cast.acme.organization  # type: ignore[attr-defined]
        yield client  # type: ignore[misc]


def test_each_recording_has_its_expectation() -> None:
    files = {path.name for path in PAYLOADS.iterdir()} - {"README.md", "expected.json"}
    assert files == set(DOORS) == set(EXPECTED)


@pytest.mark.parametrize("name", DOORS)
def test_a_recorded_body_means_what_its_sender_meant(acme: Client, name: str) -> None:
    path, media_type = DOORS[name]
    for _again in range(2):
        answer = acme.post(path, (PAYLOADS / name).read_bytes(), content_type=media_type)
        assert answer.status_code == 200, answer.content
    organization = acme.organization  # type: ignore[attr-defined]
    with tenant_scope([organization.pk]):
        events = list(UsageEvent.objects.for_organization(organization).order_by("occurred_at", "key"))
    assert [facts_of(event, EXPECTED[name][0]) for event in events] == EXPECTED[name]


def facts_of(event: UsageEvent, named: Mapping[str, Any]) -> dict[str, Any]:
    """The event as far as the expectation speaks of it."""
    facts = {name: getattr(event, name) for name in named if name not in ("amount", "reported_cost", "occurred_at")}
    facts["amount"] = format(event.amount.normalize(), "f")
    facts["occurred_at"] = event.occurred_at.isoformat()
    if "reported_cost" in named:
        facts["reported_cost"] = event.reported_cost and format(event.reported_cost.normalize(), "f")
    return facts
