"""Webhooks are registered, tested and removed on their page; the secret is shown once."""

import re
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry, Role
from billing.models import NoticeSetting, WebhookDelivery, WebhookEndpoint
from billing.notifications.webhook_endpoints import secrets_of
from tests import stories
from tests.dashboard.conftest import Browse, text_of

WEBHOOKS = "/o/acme/webhooks"
URL, HOST = "https://hooks.acme.example/notices", "https://hooks.acme.example/…"


@pytest.fixture
def owner(cast: stories.Cast, browse: Browse) -> Client:
    return browse(cast.acme.owner, language="en")


def only() -> WebhookEndpoint:
    return WebhookEndpoint.objects.using("system").get()


def test_a_webhook_is_registered_and_its_secret_shown_once(owner: Client) -> None:
    assert "No webhook yet" in text_of(owner.get(WEBHOOKS))
    answer = owner.post(WEBHOOKS, {"url": URL})
    found = re.search(r"whsec_[0-9a-f]{64}", answer.content.decode())
    assert found is not None
    assert [found[0]] == secrets_of(only(), now=timezone.now())
    assert "no-store" in answer["Cache-Control"]
    for page in (WEBHOOKS, f"{WEBHOOKS}/{only().pk}"):
        text = owner.get(page).content.decode()
        assert URL in text
        assert found[0] not in text


@pytest.mark.parametrize("url", ["", "ftp://x.example", "https://u:p@x.example", "nothing"])
def test_what_is_no_address_is_refused(owner: Client, url: str) -> None:
    assert owner.post(WEBHOOKS, {"url": url}).status_code == 422
    assert not WebhookEndpoint.objects.using("system").exists()


def test_tests_are_seen_and_a_removed_webhook_is_gone(owner: Client) -> None:
    owner.post(WEBHOOKS, {"url": URL})
    page = f"{WEBHOOKS}/{only().pk}"
    assert owner.post(page, {"action": "test"})["Location"] == page
    shown = text_of(owner.get(page))
    assert f"evt_{WebhookDelivery.objects.using('system').get().notice_id.hex}" in shown
    assert "A test is on its way already." in text_of(owner.post(page, {"action": "test"}, follow=True))
    WebhookEndpoint.objects.using("system").update(disabled_at=stories.NOON)
    assert "Switched off" in text_of(owner.get(page))
    owner.post(page, {"action": "switch_on"})
    assert only().disabled_at is None
    assert owner.post(page, {"action": "remove"})["Location"] == WEBHOOKS
    assert owner.get(page).status_code == 404
    assert "No webhook yet" in text_of(owner.get(WEBHOOKS))


def test_a_secret_is_rotated_shown_once_and_the_one_before_ended(owner: Client) -> None:
    owner.post(WEBHOOKS, {"url": URL})
    page = f"{WEBHOOKS}/{only().pk}"
    [first] = secrets_of(only(), now=timezone.now())
    assert "Two secrets work at present" not in text_of(owner.get(page))
    assert f"{page}/rotate" in owner.get(page).content.decode()
    assert owner.post(f"{page}/rotate", {"overlap": "1"}).status_code == 422
    answer = owner.post(f"{page}/rotate", {"overlap": "168"})
    assert "no-store" in answer["Cache-Control"]
    assert "are signed with the previous secret as well" in text_of(answer)
    second = secrets_of(only(), now=timezone.now())[0]
    assert second in answer.content.decode()
    assert secrets_of(only(), now=timezone.now()) == [second, first]
    shown = owner.get(page)
    assert "Two secrets work at present" in text_of(shown)
    assert not {first, second} & set(re.findall(r"whsec_[0-9a-f]{64}", shown.content.decode()))
    assert "Rotating again ends it at once" in text_of(owner.get(f"{page}/rotate"))
    assert "The previous secret no longer works." in text_of(owner.post(page, {"action": "end_overlap"}, follow=True))
    assert secrets_of(only(), now=timezone.now()) == [second]
    assert "Two secrets work at present" not in text_of(owner.get(page))


def test_a_secret_in_wrong_hands_ends_at_once(owner: Client) -> None:
    owner.post(WEBHOOKS, {"url": URL})
    [first] = secrets_of(only(), now=timezone.now())
    answer = owner.post(f"{WEBHOOKS}/{only().pk}/rotate", {"overlap": "0"})
    assert "previous secret as well" not in text_of(answer)
    assert first not in secrets_of(only(), now=timezone.now())


def test_members_without_the_role_look_only(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    owner.post(WEBHOOKS, {"url": URL})
    viewer = browse(stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON), language="en")
    assert URL in viewer.get(WEBHOOKS).content.decode()
    assert viewer.post(WEBHOOKS, {"url": URL}).status_code == 403
    assert viewer.post(f"{WEBHOOKS}/{only().pk}", {"action": "remove"}).status_code == 403


@pytest.mark.parametrize(
    ("stored", "english", "korean"),
    [
        ("http_503", "It answered with status 503.", "상태 코드 503"),
        ("could_not_connect", "Could not connect.", "연결하지 못했습니다."),
        ("ClientConnectorError: Cannot connect to host 10.1.2.3:443", "The call failed.", "호출하지 못했습니다."),
    ],
    ids=["status", "unreachable", "an old text"],
)
def test_why_a_delivery_failed_is_said_without_addresses(
    cast: stories.Cast, owner: Client, browse: Browse, stored: str, english: str, korean: str
) -> None:
    owner.post(WEBHOOKS, {"url": URL})
    page = f"{WEBHOOKS}/{only().pk}"
    owner.post(page, {"action": "test"})
    WebhookDelivery.objects.using("system").update(attempts=1, last_error=stored)
    assert english in text_of(owner.get(page))
    shown = text_of(browse(cast.acme.owner, language="ko").get(page))
    assert korean in shown
    assert "10.1.2.3" not in shown


def test_who_may_not_change_webhooks_sees_no_query(cast: stories.Cast, owner: Client, browse: Browse) -> None:
    owner.post(WEBHOOKS, {"url": f"{URL}?token=hush"})
    viewer = browse(stories.make_member(cast.acme.organization, Role.VIEWER, now=stories.NOON), language="en")
    for page in (WEBHOOKS, f"{WEBHOOKS}/{only().pk}"):
        assert "token=hush" in owner.get(page).content.decode()
        seen = viewer.get(page).content.decode()
        assert URL in seen
        assert "hush" not in seen


def test_the_audit_log_keeps_neither_path_nor_token(owner: Client) -> None:
    owner.post(WEBHOOKS, {"url": f"{URL}?token=hush"})
    page = f"{WEBHOOKS}/{only().pk}"
    owner.post(page, {"action": "test"})
    WebhookEndpoint.objects.using("system").update(disabled_at=stories.NOON)
    owner.post(page, {"action": "switch_on"})
    owner.post(f"{page}/rotate", {"overlap": "24"})
    owner.post(page, {"action": "end_overlap"})
    owner.post(page, {"action": "remove"})
    entries = AuditEntry.objects.using("system").filter(action__startswith="webhook.").order_by("pk")
    assert [(entry.action, entry.detail) for entry in entries] == [
        ("webhook.registered", {"url": HOST}),
        ("webhook.tested", {"url": HOST}),
        ("webhook.switched_on", {"url": HOST}),
        ("webhook.secret_rotated", {"url": HOST, "overlap_hours": 24}),
        ("webhook.overlap_ended", {"url": HOST}),
        ("webhook.removed", {"url": HOST}),
    ]


@pytest.mark.parametrize(
    ("demo", "hint", "wrong"),
    [
        (True, "in the demo also an address of this computer", "Write an http:// or https:// address"),
        (False, "reachable from the internet", "Write an https:// address that can be reached"),
    ],
    ids=["demo", "outside"],
)
def test_the_form_says_which_addresses_it_takes(
    owner: Client, settings: Settings, demo: bool, hint: str, wrong: str
) -> None:
    settings.DEMO = demo
    assert hint in text_of(owner.get(WEBHOOKS))
    assert wrong in text_of(owner.post(WEBHOOKS, {"url": "ftp://x.example"}))
    assert (owner.post(WEBHOOKS, {"url": "http://127.0.0.1:9/"}).status_code == 200) == demo


def test_low_credit_is_told_below_what_one_says(owner: Client) -> None:
    assert "Low credit is told below ₩1,000." in text_of(owner.get("/o/acme/limits"))
    owner.post("/o/acme/limits/low-credit", {"amount": "2,500"})
    assert NoticeSetting.objects.using("system").get().low_credit == Decimal(2500)
    assert "told below ₩2,500." in text_of(owner.get("/o/acme/limits"))
    owner.post("/o/acme/limits/low-credit", {"amount": "0"})
    assert "Low credit is not told." in text_of(owner.get("/o/acme/limits"))
