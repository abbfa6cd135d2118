"""An operator says which servers answer calls, and what a call cost that nobody saw end."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from catalog.models import CostTable, LanguageModel, ModelRoute, Upstream
from ledger.models import Balance
from metering.models import Evidence, UsageEvent
from tests import stories
from tests.console.conftest import audited, carry_out, refused
from tests.console.test_pages import question_a_hold
from tests.stories import Cast

MISTRAL = "https://api.mistral.example/v1"
VALUES = {
    "slug": "mistral",
    "name": "Mistral",
    "kind": "openai_compatible",
    "base_url": MISTRAL,
    "key_variable": "UPSTREAM_MISTRAL_API_KEY",
    "first_byte_seconds": "30",
    "enabled": "on",
}


@pytest.fixture(autouse=True)
def allowed(settings: Settings) -> None:
    settings.UPSTREAM_URLS = [MISTRAL]


def table(slug: str = "openrouter") -> str:
    return str(CostTable.objects.get_or_create(slug=slug, defaults={"name": slug})[0].pk)


def add(operator: Client, **values: str) -> Upstream:
    carry_out(operator, reverse("admin:add_upstream"), VALUES | {"cost_table": table()} | values)
    return Upstream.objects.get(slug="mistral")


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_empty_list_says_what_that_means(operator: Client, language: str) -> None:
    operator.cookies["invoicedream_language"] = language
    listed = reverse("admin:catalog_upstream_changelist")
    says = {
        "en": "All calls go to the upstream that the environment names.",
        "ko": "환경 변수로 지정한 상위 제공자로 보내고 있습니다.",
    }
    assert says[language] in operator.get(listed).content.decode()
    assert says[language] not in operator.get(listed, {"q": "nobody"}).content.decode(), (
        "a search that found nothing says no more"
    )


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_upstream_is_added_and_edited(operator: Client, cast: Cast, language: str) -> None:
    values = VALUES | {"cost_table": table()}
    carry_out(operator, reverse("admin:add_upstream"), values, language=language)
    upstream = Upstream.objects.get(slug="mistral")
    assert (upstream.base_url, upstream.first_byte_seconds, upstream.enabled) == (MISTRAL, 30, True)
    assert audited("upstream.added", cast).target == "mistral"
    address = reverse("admin:edit_upstream", args=[upstream.pk])
    carry_out(operator, address, VALUES | {"enabled": "", "first_byte_seconds": ""}, language=language)
    upstream.refresh_from_db()
    assert (upstream.first_byte_seconds, upstream.enabled) == (None, False)
    assert audited("upstream.edited", cast).detail == {"first_byte_seconds": None, "enabled": False}


def test_what_an_upstream_leaves_empty_is_as_the_gateway_is_set(operator: Client, cast: Cast) -> None:
    operator.cookies["invoicedream_language"] = "en"
    address = reverse("admin:add_upstream")
    assert operator.get(address).content.decode().count("Empty: as the gateway is set.") == 5
    page = operator.post(address, VALUES | {"cost_table": table(), "connect_seconds": "1"}).content.decode()
    review = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert (
        "Seconds to connect 1.0 Seconds to the first byte 30.0 Seconds between chunks as the gateway is set" in review
    )
    assert review.count("as the gateway is set") == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://169.254.169.254/v1"},
        {"key_variable": "SECRET_KEY"},
        {"key_variable": "UPSTREAM_API_KEY; DATABASE_URL"},
        {"first_byte_seconds": "0"},
        {"total_seconds": "3600"},
        {"slug": "no slug"},
    ],
)
def test_bad_input_is_refused(operator: Client, cast: Cast, wrong: dict[str, str]) -> None:
    refused(operator, reverse("admin:add_upstream"), VALUES | {"cost_table": table()} | wrong)
    assert not Upstream.objects.exists()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_route_is_added_and_edited(operator: Client, cast: Cast, language: str) -> None:
    upstream = add(operator)
    values = {"upstream": str(upstream.pk), "model": stories.DEVSTRAL, "upstream_model": "devstral", "priority": "1"}
    carry_out(operator, reverse("admin:add_route"), values, language=language)
    [route] = ModelRoute.objects.all()
    assert (route.language_model.slug, route.upstream_model, route.priority) == (stories.DEVSTRAL, "devstral", 1)
    assert audited("route.added", cast).detail["model"] == stories.DEVSTRAL
    address = reverse("admin:edit_route", args=[route.pk])
    carry_out(operator, address, {"upstream_model": "", "priority": "3", "enabled": ""}, language=language)
    route.refresh_from_db()
    assert (route.upstream_model, route.priority, route.enabled) == ("", 3, False)


def test_a_model_that_is_sold_from_another_table_cannot_be_routed(operator: Client, cast: Cast) -> None:
    upstream = add(operator, cost_table=table("own-servers"))
    values = {"upstream": str(upstream.pk), "model": stories.DEVSTRAL, "upstream_model": "", "priority": "1"}
    refused(operator, reverse("admin:add_route"), values)
    assert not ModelRoute.objects.exists()
    LanguageModel.objects.filter(slug=stories.DEVSTRAL).update(cost_table_id=int(table("own-servers")))
    carry_out(operator, reverse("admin:add_route"), values)
    assert operator.post(reverse("admin:add_route"), values | {"confirm": "1"}).status_code == 422, "once"


@pytest.fixture
def hold_address(operator: Client, cast: Cast, now: datetime) -> dict[str, str]:
    question_a_hold(cast, now=now)
    page = operator.get(reverse("admin:usage_holds"))
    hold = page.context["rows"][0]["hold"]
    return {name: reverse(f"admin:{name}_hold", args=["acme", hold.id]) for name in ("charge", "waive")}


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_call_that_nobody_saw_end_is_charged_by_hand(
    operator: Client, cast: Cast, hold_address: dict[str, str], language: str
) -> None:
    counts = {"prompt_tokens": "10", "completion_tokens": "20", "reason": "Their bill"}
    carry_out(operator, hold_address["charge"], counts, language=language)
    event = UsageEvent.objects.get(request_id="req_1")
    assert (event.evidence, event.input_tokens, event.output_tokens) == (Evidence.ESTIMATED, 10, 20)
    assert event.amount > 0
    assert Balance.objects.get(organization=cast.acme.organization).held == 0
    assert audited("hold.estimated", cast).detail["reason"] == "Their bill"
    assert operator.get(hold_address["charge"]).status_code == 404


def test_no_more_than_was_held(operator: Client, cast: Cast, hold_address: dict[str, str]) -> None:
    refused(operator, hold_address["charge"], {"prompt_tokens": "1", "completion_tokens": "90000000", "reason": "Typo"})
    assert Balance.objects.get(organization=cast.acme.organization).held == Decimal(10)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_it_is_waived_by_hand(
    operator: Client, cast: Cast, hold_address: dict[str, str], now: datetime, language: str
) -> None:
    carry_out(operator, hold_address["waive"], {"reason": "Our fault"}, language=language)
    event = UsageEvent.objects.get(request_id="req_1")
    assert (event.evidence, event.amount) == (Evidence.WAIVED, 0)
    assert event.occurred_at < now - timedelta(hours=1)
    assert Balance.objects.get(organization=cast.acme.organization).held == 0
    assert audited("hold.waived", cast).detail["reason"] == "Our fault"
