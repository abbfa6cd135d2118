"""What is refused before it costs anything, in the shape and with the codes that OpenAI's clients know."""

import json
import socket
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import openai
import pytest
from django.utils import timezone

from accounts.api_keys import new_secret, revoke_api_key
from accounts.models import Organization, Scope
from accounts.tenancy import tenant_scope
from catalog.models import CostTable, LanguageModel
from catalog.publishing import delist
from ledger.models import KeyStop, LimitWindow
from ledger.velocity import stop_key
from metering.limiting import set_limit
from tests import stories
from tests.gateway.running import House, wait_until

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def nothing_is_charged(house: House) -> Any:
    held, charges, called = house.balance()["held"], house.charges(), len(house.llm.get("/sandbox/bill")["generations"])
    yield
    assert (house.balance()["held"], house.charges()) == (held, charges)
    assert len(house.llm.get("/sandbox/bill")["generations"]) == called


def refused(house: House, body: Any, *, secret: str = "", path: str = CHAT) -> tuple[int, dict[str, Any]]:
    headers = stories.bearer(secret or house.cast.acme.secret) | {"Content-Type": "application/json"}
    status, head, answer = house.gateway.call("POST", path, body, headers)
    assert head["x-request-id"].startswith("req_")
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    return status, answer["error"]


@pytest.mark.parametrize("secret", ["", "sk-something", "idk_live_" + "a" * 38, "well formed", "\N{SNOWMAN}"])
def test_unknown_keys(house: House, secret: str) -> None:
    secret = new_secret("idk_live_") if secret == "well formed" else secret
    headers = {"Authorization": f"Bearer {secret}".encode()} if secret else {}
    status, head, answer = house.gateway.call("POST", CHAT, {"model": stories.DEVSTRAL, "messages": HELLO}, headers)
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert head["www-authenticate"] == "Bearer"


def test_the_client_raises_what_it_should(house: House) -> None:
    with pytest.raises(openai.AuthenticationError) as refusal:
        house.gateway.client("idk_live_wrong").chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert refusal.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as refusal:
        house.acme.chat.completions.create(model="nobody/knows-it", messages=HELLO)
    assert refusal.value.code == "model_not_found"


def test_expired_key(house: House) -> None:
    now = timezone.now()
    _key, secret = stories.make_key(house.cast.acme.organization, now=now, expires_at=now + timedelta(seconds=1))
    time.sleep(1.1)
    assert refused(house, {"model": stories.DEVSTRAL, "messages": HELLO}, secret=secret)[0] == 401


def test_key_without_the_scope(house: House) -> None:
    _key, secret = stories.make_key(house.cast.acme.organization, now=timezone.now(), scopes=[Scope.USAGE_READ])
    status, error = refused(house, {"model": stories.DEVSTRAL, "messages": HELLO}, secret=secret)
    assert (status, error["code"]) == (403, "missing_scope")


def test_key_of_another_model(house: House) -> None:
    _key, secret = stories.make_key(house.cast.acme.organization, now=timezone.now(), allowed_models=["some/other"])
    assert refused(house, {"model": stories.DEVSTRAL, "messages": HELLO}, secret=secret)[0] == 404
    assert list(house.gateway.client(secret).models.list()) == []


CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/completions": {"prompt": "안녕하세요"},
    "/v1/responses": {"input": "안녕하세요"},
    "/v1/embeddings": {"input": "안녕하세요"},
}


@pytest.mark.parametrize("path", CALLS)
def test_every_endpoint_asks_whose_key_it_is_and_what_it_may(house: House, path: str) -> None:
    now, acme = timezone.now(), house.cast.acme.organization
    body = {"model": stories.DEVSTRAL, **CALLS[path]}
    assert refused(house, body, secret=new_secret("idk_live_"), path=path)[0] == 401
    _key, reader = stories.make_key(acme, now=now, scopes=[Scope.USAGE_READ])
    assert refused(house, body, secret=reader, path=path)[1]["code"] == "missing_scope"
    _key, other = stories.make_key(acme, now=now, allowed_models=["some/other"])
    assert refused(house, body, secret=other, path=path)[1]["code"] == "model_not_found"
    key, ended = stories.make_key(acme, now=now)
    with tenant_scope([acme.pk]):
        revoke_api_key(key=key, now=now, actor=None)
    assert refused(house, body, secret=ended, path=path)[1]["code"] == "invalid_api_key"


def test_closed_organization(house: House) -> None:
    company = stories.make_company("gone", now=timezone.now())
    row = Organization.objects.using("system").filter(pk=company.organization.pk)
    row.update(status="closed", closes_at=timezone.now())
    status, error = refused(house, {"model": stories.DEVSTRAL, "messages": HELLO}, secret=company.secret)
    assert (status, error["code"]) == (401, "invalid_api_key"), "its keys ended with it"


def test_delisted_model(house: House) -> None:
    now = timezone.now()
    stories.make_model("acme/old", now=now)
    wait_until(lambda: "acme/old" in {model.id for model in house.acme.models.list()})
    table = CostTable.objects.using("system").get(slug="openrouter")
    model = LanguageModel.objects.using("system").get(slug="acme/old")
    delist(cost_table=table, language_model=model, effective_from=timezone.now(), origin="test", now=timezone.now())
    wait_until(lambda: "acme/old" not in {model.id for model in house.acme.models.list()})
    status, error = refused(house, {"model": "acme/old", "messages": HELLO})
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")


def test_credit_used_up(house: House) -> None:
    poor = stories.make_company("poor", now=timezone.now(), trial_credit=Decimal(0))
    status, error = refused(house, {"model": stories.DEVSTRAL, "messages": HELLO}, secret=poor.secret)
    assert (status, error["type"], error["code"]) == (402, "insufficient_quota", "insufficient_quota")
    assert " top up your credit at http://127.0.0.1:8000/o/poor/credit; without a card, ask " in error["message"]


def test_credit_that_does_not_cover_the_worst_case(house: House) -> None:
    """₩1 covers some 13,000 tokens at ₩0.0000726 with tax: a small cap fits, a large one does not, and nothing is cut silently."""
    small = stories.make_company("small", now=timezone.now(), trial_credit=Decimal(1))
    body = {"model": stories.DEVSTRAL, "messages": HELLO, "max_tokens": 20_000}
    assert refused(house, body, secret=small.secret)[0] == 402
    assert refused(house, body | {"max_tokens": 5_000, "n": 4}, secret=small.secret)[0] == 402


def test_spend_limits_say_whose_they_are_and_where_to_change_them(house: House) -> None:
    capped = stories.make_company("capped", now=timezone.now())
    body = {"model": stories.DEVSTRAL, "messages": HELLO, "max_tokens": 20_000}
    set_limit(organization=capped.organization, amount=Decimal(1), actor=None, now=timezone.now())
    status, error = refused(house, body, secret=capped.secret)
    assert (status, error["type"], error["code"]) == (402, "insufficient_quota", "insufficient_quota")
    assert "monthly spend limit of your organization (₩1 with tax, of which ₩1 is left)" in error["message"]
    assert "/o/capped/limits." in error["message"]
    set_limit(organization=capped.organization, api_key=capped.key, amount=Decimal(0), actor=None, now=timezone.now())
    set_limit(organization=capped.organization, amount=Decimal(1000), actor=None, now=timezone.now())
    status, error = refused(house, body | {"stream": True}, secret=capped.secret)
    assert (status, error["code"]) == (402, "insufficient_quota")
    assert "monthly spend limit of this API key (₩0 with tax, of which ₩0 is left)" in error["message"]
    with pytest.raises(openai.APIStatusError) as refusal:
        house.gateway.client(capped.secret).chat.completions.create(model=stories.DEVSTRAL, messages=HELLO)
    assert refusal.value.status_code == 402


def test_a_daily_limit_of_a_member_says_when_to_come_back(house: House) -> None:
    company = stories.make_company("daily", now=timezone.now())
    _key, secret = stories.make_key(company.organization, now=timezone.now(), created_by=company.owner)
    limit = set_limit(
        organization=company.organization,
        member=company.owner,
        window=LimitWindow.DAY,
        amount=Decimal(1),
        actor=None,
        now=timezone.now(),
    )
    body = {"model": stories.DEVSTRAL, "messages": HELLO, "max_tokens": 20_000}
    status, headers, answer = house.gateway.call("POST", "/v1/chat/completions", body, stories.bearer(secret))
    assert (status, answer["error"]["code"]) == (402, "insufficient_quota")
    assert "daily spend limit of the member who made this API key" in answer["error"]["message"]
    midnight = limit.window_end.astimezone(stories.SEOUL)
    assert f"It begins anew at {midnight:%Y-%m-%d} 00:00 (Asia/Seoul)." in answer["error"]["message"]
    seconds = (limit.window_end - timezone.now()).total_seconds()
    assert seconds - 5 < int(headers["retry-after"]) <= seconds + 60


def test_a_stopped_key_reads_why_and_where_that_is_lifted(house: House) -> None:
    company = stories.make_company("runaway", now=timezone.now())
    stop_key(
        organization_id=company.organization.pk,
        api_key_id=company.key.pk,
        cause=KeyStop.Cause.CAP,
        seconds=600,
        spent=Decimal(600_000),
        allowed=Decimal(500_000),
        now=timezone.now(),
    )
    body = {"model": stories.DEVSTRAL, "messages": HELLO}
    for stream in (False, True):
        status, error = refused(house, body | {"stream": stream}, secret=company.secret)
        assert (status, error["type"], error["code"]) == (403, "permission_error", "api_key_stopped")
        assert "it spent ₩600,000 with tax within 10 minutes" in error["message"]
        assert "/o/runaway/limits." in error["message"]
    with pytest.raises(openai.PermissionDeniedError):
        house.gateway.client(company.secret, max_retries=2).chat.completions.create(
            model=stories.DEVSTRAL, messages=HELLO
        )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"42",
        b'{"model": NaN}',
        b'{"model": "m", "temperature": 1e999}',
        b'{"model": "\xff"}',
        b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages": []}',
        b'{"model": 5}',
    ],
)
def test_garbage(house: House, raw: bytes) -> None:
    status, error = refused(house, raw)
    assert (status, error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", "many"),
        ("max_tokens", 10**30),
        ("max_tokens", True),
        ("n", 0),
        ("n", 10_000),
        ("stream", "yes"),
        ("stream_options", {"include_usage": True}),
        ("models", "not a list"),
    ],
)
def test_fields_that_decide_about_money(house: House, field: str, value: object) -> None:
    status, error = refused(house, {"model": stories.DEVSTRAL, "messages": HELLO, field: value})
    assert (status, error["param"]) == (400, field)


def test_fallback_models_must_be_sold_as_well(house: House) -> None:
    body = {"model": stories.DEVSTRAL, "models": ["nobody/knows-it"], "messages": HELLO}
    assert refused(house, body)[0] == 404


def test_too_large_a_body(house: House) -> None:
    body = {"model": stories.DEVSTRAL, "messages": [{"role": "user", "content": "x" * 11 * 1024 * 1024}]}
    status, error = refused(house, body)
    assert (status, error["code"]) == (413, "request_too_large")
    with pytest.raises(openai.APIStatusError) as refusal:
        house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=body["messages"])
    assert refusal.value.status_code == 413


def test_compressed_body(house: House) -> None:
    headers = stories.bearer(house.cast.acme.secret) | {"Content-Encoding": "gzip"}
    status, _head, answer = house.gateway.call("POST", CHAT, b"\x1f\x8b", headers)
    assert status == 400
    assert "Compressed" in answer["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/chat/completions", "/v1/embeddings/", "/v1/chat/completions/", "/v1/files"]
)
def test_unknown_routes(house: House, path: str) -> None:
    status, error = refused(house, {"model": stories.DEVSTRAL}, path=path)
    assert (status, error["code"]) == (404, "unknown_url")


def test_wrong_method(house: House) -> None:
    status, head, answer = house.gateway.call("GET", CHAT, None, stories.bearer(house.cast.acme.secret))
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in head["allow"]


def test_models_need_a_key(house: House) -> None:
    assert house.gateway.call("GET", "/v1/models")[0] == 401
    assert house.gateway.call("GET", f"/v1/models/{stories.DEVSTRAL}")[0] == 401


def test_revoked_key_is_refused_within_five_seconds(house: House) -> None:
    company = house.cast.acme
    key, secret = stories.make_key(company.organization, now=timezone.now())
    assert list(house.gateway.client(secret).models.list())
    with tenant_scope([company.organization.pk]):
        revoke_api_key(key=key, now=timezone.now(), actor=None)
    began = time.monotonic()
    wait_until(lambda: refused(house, {"model": "x"}, secret=secret)[0] == 401, seconds=5)
    assert time.monotonic() - began < 5


def test_a_caller_who_leaves_in_the_middle_of_its_request(house: House) -> None:
    with socket.create_connection(("127.0.0.1", house.gateway.port)) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.cast.acme.secret}\r\nContent-Length: 500\r\n\r\n"
        connection.sendall(head.encode() + json.dumps({"model": stories.DEVSTRAL})[:10].encode())
    time.sleep(0.2)
    assert house.gateway.call("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", {"role": "user", "content": "hi"}),
        ("messages", [{"role": "user", "content": {"type": "image_url", "image_url": {"url": "https://x.example/y"}}}]),
        ("messages", ["hi"]),
        ("tools", {"type": "openrouter:web_search"}),
        ("tools", ["function"]),
        ("modalities", ["text", "image"]),
    ],
)
def test_a_shape_that_could_hide_a_cost_is_refused(house: House, field: str, value: object) -> None:
    body = {"model": stories.DEVSTRAL, "messages": [{"role": "user", "content": "hi"}]} | {field: value}
    status, error = refused(house, json.dumps(body).encode())
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", field)


@pytest.mark.parametrize(
    "wish", [{"plugins": [{"id": "web"}]}, {"web_search_options": {}}, {"tools": [{"type": "web_search"}]}]
)
def test_a_search_is_not_made_on_a_model_that_has_no_price_for_it(house: House, wish: dict[str, Any]) -> None:
    body = {"model": stories.DEVSTRAL, "messages": HELLO} | wish
    status, error = refused(house, json.dumps(body).encode())
    assert (status, error["param"]) == (400, "plugins")
    assert "no price for web searches" in error["message"]
