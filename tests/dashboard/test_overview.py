"""The overview: what was just used is there at once, and a page that is being looked at refreshes itself only when it must."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from accounts.tenancy import tenant_scope
from ledger.event_ids import new_id
from ledger.holds import HoldRequest, reserve
from pricing.tokens import TokenUsage
from tests import stories
from tests.dashboard.conftest import Browse, text_of

MILLION = TokenUsage(input_tokens=9_000_000, output_tokens=1_000_000)


@pytest.fixture
def owner(cast: stories.Cast, browse: Browse) -> Client:
    return browse(cast.acme.owner)


def test_recorded_usage_is_there_at_once(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    acme = cast.acme
    assert "Make your first call" in text_of(owner.get("/o/acme/"))
    stories.use(acme.organization, at=stories.NOON, api_key_id=acme.key.pk, usage=MILLION)
    page = text_of(owner.get("/o/acme/"))
    assert "This month so far ₩660 ₩726 with VAT" in page
    assert "Available to spend ₩4,274 VAT included · ₩0 held" in page
    assert "Requests 1 this month" in page
    assert "Tokens 10M 9M in · 1M out" in page
    assert "Devstral Small 1 ₩660" in page
    assert "2026-11-22 12:00:00 Devstral Small Test 9,000,000 1,000,000 ₩660.00" in page
    korean = text_of(browse(acme.owner, language="ko").get("/o/acme/"))
    assert "이번 달 현재 ₩660 부가세 포함 ₩726" in korean
    assert "토큰 1,000만 입력 900만 · 출력 100만" in korean


def test_the_forecast_goes_on_at_the_pace_so_far(cast: stories.Cast, owner: Client) -> None:
    stories.use(cast.acme.organization, at=stories.NOON, usage=MILLION)
    page = text_of(owner.get("/o/acme/"))
    assert "Expected for the month ₩921 ₩1,013 with VAT, at the pace so far" in page, "660 × 30 / 21.5 days"


def test_it_refreshes_when_something_changed_and_not_otherwise(cast: stories.Cast, owner: Client) -> None:
    def refresh() -> int:
        url = f"/o/acme/?state={owner.get('/o/acme/').context['state']}"
        return owner.get(url, headers={"HX-Request": "true"}).status_code

    assert refresh() == 204
    before = owner.get("/o/acme/").context["state"]
    stories.use(cast.acme.organization, at=stories.NOON)
    answer = owner.get(f"/o/acme/?state={before}", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer.content.decode().lstrip().startswith('<div id="live"'), "the part, not the page"
    assert "Devstral Small" in text_of(answer)
    assert refresh() == 204


def test_a_refresh_after_signing_out_takes_the_page_to_the_sign_in(cast: stories.Cast, browse: Browse) -> None:
    answer = browse().get("/o/acme/", headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"
    assert browse().get("/o/acme/")["Location"] == "/accounts/login/?next=/o/acme/"


def test_what_needs_attention_is_said(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    acme = cast.acme.organization
    stories.use(acme, at=stories.NOON, model="nobody/knows-this")
    page = text_of(owner.get("/o/acme/"))
    assert "1 request waits for a price" in page
    [waiting] = owner.get("/o/acme/waiting").context["page"]
    korean = browse(cast.acme.owner, language="ko")
    for path in ("waiting", f"requests/{waiting.event_id}"):
        assert f"알 수 없는 모델: {waiting.model}" in text_of(korean.get(f"/o/acme/{path}"))
    assert "This request waits for its price" in text_of(owner.get(f"/o/acme/requests/{waiting.event_id}"))

    stories.use(acme, at=stories.NOON, usage=TokenUsage(input_tokens=100_000_000, output_tokens=0))
    assert "The credit is used up" in text_of(owner.get("/o/acme/"))


def test_held_amounts_open_to_their_calls(cast: stories.Cast, owner: Client) -> None:
    acme = cast.acme
    request = HoldRequest(
        organization_id=acme.organization.pk,
        id=new_id(stories.NOON),
        created_at=stories.NOON,
        expires_at=stories.NOON + timedelta(minutes=15),
        api_key_id=acme.key.pk,
        model_id=stories.LanguageModel.objects.get().pk,
        amount=Decimal("12.5"),
        request_id="req_1",
        upstream="sandbox",
    )
    assert reserve([request]) == [None]
    assert "₩4,987 VAT included · ₩13 held" in text_of(owner.get("/o/acme/"))
    page = text_of(owner.get("/o/acme/holds"))
    assert "req_1 Devstral Small Test running ₩13" in page


def test_it_asks_no_more_for_more_usage(cast: stories.Cast, owner: Client) -> None:
    def queries() -> int:
        with (
            CaptureQueriesContext(connections["default"]) as asked,
            CaptureQueriesContext(connections["system"]) as more,
        ):
            assert owner.get("/o/acme/").status_code == 200
        return len(asked) + len(more)

    stories.use(cast.acme.organization, at=stories.NOON, api_key_id=cast.acme.key.pk)
    queries()  # the first visit remembers the organization
    few = queries()
    for number in range(5):
        model = stories.make_model(f"qwen/qwen{number}", now=stories.NOON)
        key, _secret = stories.make_key(cast.acme.organization, now=stories.NOON)
        at = stories.NOON - timedelta(days=number)
        stories.use(cast.acme.organization, at=at, now=stories.NOON, model=model.slug, api_key_id=key.pk)
    assert queries() <= few


def test_the_neighbour_finds_nothing(cast: stories.Cast, browse: Browse) -> None:
    stranger = browse(cast.globex.owner)
    assert stranger.get("/o/acme/").status_code == 404
    assert "acme" not in text_of(stranger.get("/o/acme/")).lower()
    assert stranger.get("/dashboard")["Location"] == "/o/globex/"


def test_the_last_organization_is_remembered(cast: stories.Cast, browse: Browse) -> None:
    both = stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON)
    stories.Membership.objects.using("system").create(
        organization=cast.globex.organization, user=both, role=Role.VIEWER, created_at=stories.NOON
    )
    client = browse(both)
    assert client.get("/dashboard")["Location"] == "/o/acme/"
    assert client.get("/o/globex/").status_code == 200
    assert client.get("/dashboard")["Location"] == "/o/globex/"
    with tenant_scope([cast.globex.organization.pk]):
        stories.Membership.objects.filter(user=both).delete()
    assert client.get("/dashboard")["Location"] == "/o/acme/"
