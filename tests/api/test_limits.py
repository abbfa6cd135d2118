"""Spend limits, stopped keys and webhooks over REST: everybody may look, owners and admins change, keys never do."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role
from billing.models import WebhookDelivery, WebhookEndpoint
from ledger.models import KeyStop, SpendLimit
from ledger.velocity import stop_key
from pricing.tokens import TokenUsage
from tests import stories

PATH, JSON = "/api/v1/limits", "application/json"


@pytest.fixture
def owner(cast: stories.Cast) -> Client:
    client = Client()
    client.force_login(cast.acme.owner, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def put(client: Client, **wish: Any) -> Any:
    return client.put(PATH, {"window": "day", "amount": "1000"} | wish, content_type=JSON)


def test_a_limit_is_set_read_changed_and_lifted(cast: stories.Cast, owner: Client) -> None:
    usage = TokenUsage(input_tokens=1_000_000, output_tokens=0)
    stories.use(cast.acme.organization, at=stories.NOON, usage=usage, api_key_id=cast.acme.key.pk)
    answer = put(owner, api_key_id=str(cast.acme.key.pk))
    assert answer.status_code == 200
    limit = answer.json()
    assert (limit["amount"], limit["spent"], limit["held"], limit["left"]) == ("1000", "72.6", "0", "927.4")
    assert (limit["window"], limit["hard"], limit["resets_at"]) == ("day", True, "2026-11-22T15:00:00Z")
    assert put(owner, api_key_id=str(cast.acme.key.pk), amount="2000").json()["id"] == limit["id"]
    put(owner, member=cast.acme.owner.email, hard=False)
    by_key = Client(headers=cast.acme.headers).get(PATH).json()["data"]
    assert [(one["member"], one["api_key_id"], one["hard"]) for one in by_key] == [
        ("owner@acme.example", None, False),
        (None, str(cast.acme.key.pk), True),
    ]
    assert owner.delete(f"{PATH}/{limit['id']}").status_code == 204
    assert owner.delete(f"{PATH}/{limit['id']}").status_code == 404
    assert SpendLimit.objects.using("system").get().member == cast.acme.owner


@pytest.mark.parametrize(
    "wish",
    [
        {"window": "year"},
        {"amount": "-1"},
        {"amount": "NaN"},
        {"amount": "1e999"},
        {"hard": "maybe"},
        {"api_key_id": "1000000"},
        {"api_key_id": "x"},
        {"member": "owner@globex.example"},
        {"api_key_id": "1", "member": "owner@acme.example"},
    ],
)
def test_bad_wishes(owner: Client, wish: dict[str, Any]) -> None:
    assert put(owner, **wish).status_code == 400
    assert not SpendLimit.objects.using("system").exists()


def test_no_key_changes_what_stops_it(cast: stories.Cast) -> None:
    program = Client(headers=cast.acme.headers)
    assert put(program).status_code == 403
    stop_key(
        organization_id=cast.acme.organization.pk,
        api_key_id=cast.acme.key.pk,
        cause=KeyStop.Cause.CAP,
        seconds=600,
        spent=Decimal(2),
        allowed=Decimal(1),
        now=stories.NOON,
    )
    [stop] = program.get(f"{PATH}/stopped-keys").json()["data"]
    assert (stop["api_key_id"], stop["spent"], stop["cause"]) == (str(cast.acme.key.pk), "2", "cap")
    assert program.post(f"{PATH}/stopped-keys/{stop['api_key_id']}/lift").status_code == 403
    assert KeyStop.objects.using("system").get().lifted_at is None


def test_an_owner_lifts_a_stop(cast: stories.Cast, owner: Client) -> None:
    stop_key(
        organization_id=cast.acme.organization.pk,
        api_key_id=cast.acme.key.pk,
        cause=KeyStop.Cause.CAP,
        seconds=600,
        spent=Decimal(2),
        allowed=Decimal(1),
        now=stories.NOON,
    )
    for _time in range(2):
        assert owner.post(f"{PATH}/stopped-keys/{cast.acme.key.pk}/lift").status_code == 204
    assert owner.get(f"{PATH}/stopped-keys").json() == {"data": []}


def test_a_webhook_is_registered_tested_and_removed(cast: stories.Cast, owner: Client) -> None:
    hooks, url = "/api/v1/webhooks", "https://hooks.acme.example/"
    answer = owner.post(hooks, {"url": url}, content_type=JSON)
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    made = answer.json()
    assert made.pop("secret").startswith("whsec_")
    assert owner.get(hooks).json() == {"data": [made]}
    one = f"{hooks}/{made['id']}"
    assert owner.post(f"{one}/test").json()["type"] == "webhook.test"
    assert owner.post(f"{one}/test").status_code == 400
    [delivery] = Client(headers=cast.acme.headers).get(f"{one}/deliveries").json()["data"]
    assert (delivery["status"], delivery["attempts"]) == ("waiting", 0)
    assert owner.post(hooks, {"url": "ftp://x"}, content_type=JSON).status_code == 400
    assert Client(headers=cast.acme.headers).delete(one).status_code == 403
    assert owner.delete(one).status_code == 204
    assert owner.get(f"{one}/deliveries").status_code == 404
    assert WebhookEndpoint.objects.using("system").get().removed_at is not None


def test_a_webhooks_secret_is_rotated_and_the_one_before_ended(cast: stories.Cast, owner: Client) -> None:
    hooks = "/api/v1/webhooks"
    made = owner.post(hooks, {"url": "https://hooks.acme.example/"}, content_type=JSON).json()
    assert made["previous_secret_until"] is None
    one = f"{hooks}/{made['id']}"
    assert owner.post(f"{one}/rotate", {"overlap_hours": 169}, content_type=JSON).status_code == 400
    answer = owner.post(f"{one}/rotate", {}, content_type=JSON)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert answer.json()["secret"] not in ("", made["secret"])
    assert answer.json()["previous_secret_until"] is not None
    assert owner.post(f"{one}/end-previous").status_code == 204
    assert [hook["previous_secret_until"] for hook in owner.get(hooks).json()["data"]] == [None]
    at_once = owner.post(f"{one}/rotate", {"overlap_hours": 0}, content_type=JSON).json()
    assert at_once["previous_secret_until"] is None
    assert Client(headers=cast.acme.headers).post(f"{one}/rotate").status_code == 403
    owner.delete(one)
    assert owner.post(f"{one}/rotate").status_code == 404


def test_keys_see_an_address_without_its_query_and_a_failure_without_addresses(
    cast: stories.Cast, owner: Client
) -> None:
    hooks, url = "/api/v1/webhooks", "https://hooks.acme.example/in?token=hush"
    made = owner.post(hooks, {"url": url}, content_type=JSON).json()
    key = Client(headers=cast.acme.headers)
    assert [one["url"] for one in owner.get(hooks).json()["data"]] == [url]
    assert [one["url"] for one in key.get(hooks).json()["data"]] == ["https://hooks.acme.example/in"]
    owner.post(f"{hooks}/{made['id']}/test")
    for stored, said in (("http_503", "http_503"), ("ClientError: 10.1.2.3", "failed"), ("", "")):
        WebhookDelivery.objects.using("system").update(last_error=stored)
        [delivery] = key.get(f"{hooks}/{made['id']}/deliveries").json()["data"]
        assert delivery["last_error"] == said


def test_a_developer_changes_nothing(cast: stories.Cast) -> None:
    developer = Client()
    user = stories.make_member(cast.acme.organization, Role.DEVELOPER, now=stories.NOON)
    developer.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert put(developer).status_code == 403
    assert developer.post("/api/v1/webhooks", {"url": "https://x.example"}, content_type=JSON).status_code == 403
