"""Another gateway pushes usage: each event gets its verdict, what is good is kept, and sending twice counts once."""

import gc
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connections
from django.test import Client

from accounts.models import Scope
from accounts.tenancy import tenant_scope
from metering import ingestion
from metering.models import UsageEvent
from metering.pushed_events import WHERE_FIELDS_ARE, InvalidEvent, MalformedBatch, PushedEvent
from tests import stories

PATH = "/api/v1/usage/events"


def event(**fields: Any) -> dict[str, Any]:
    """A call of acme an hour ago."""
    given = {
        "id": "call-1",
        "organization": "acme",
        "model": stories.DEVSTRAL,
        "occurred_at": "2026-11-22T11:00:00+09:00",
        "input_tokens": 1000,
        "output_tokens": 500,
    }
    return {name: value for name, value in (given | fields).items() if value is not None}


@pytest.fixture
def push(as_gateway: Client) -> Callable[..., dict[str, Any]]:
    def send(*events: Any, client: Client = as_gateway, status: int = 200) -> dict[str, Any]:
        answer = client.post(PATH, list(events), content_type="application/json")
        assert answer.status_code == status, answer.content
        found: dict[str, Any] = answer.json()
        return found

    return send


def reasons(answer: dict[str, Any]) -> list[str]:
    return [result.get("reason", "") for result in answer["results"]]


def stored(cast: stories.Cast) -> list[UsageEvent]:
    with tenant_scope([cast.acme.organization.pk, cast.globex.organization.pk]):
        return list(UsageEvent.objects.order_by("key"))


def test_a_batch_twice_counts_once(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    batch = [event(id=f"call-{number}", organization=("acme", "globex")[number % 2]) for number in range(10)]
    first, second = push(*batch), push(*batch)
    assert {name: first[name] for name in ("accepted", "duplicate", "conflict", "rejected")} == {
        "accepted": 10,
        "duplicate": 0,
        "conflict": 0,
        "rejected": 0,
    }
    assert second["duplicate"] == 10 and second["accepted"] == 0
    assert [result["index"] for result in first["results"]] == list(range(10))
    assert [result["id"] for result in first["results"]] == [one["id"] for one in batch]
    assert [result["event_id"] for result in first["results"]] == [result["event_id"] for result in second["results"]]
    assert len(stored(cast)) == 10


def test_a_bad_event_is_rejected_by_itself(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    answer = push(event(), event(id="bad", input_tokens="1000"), event(id="good"), {"id": "worse"}, 7)
    assert [result["status"] for result in answer["results"]] == [
        "accepted",
        "rejected",
        "accepted",
        "rejected",
        "rejected",
    ]
    assert [result["id"] for result in answer["results"]] == ["call-1", "bad", "good", "worse", None]
    assert [one.key for one in stored(cast)] == ["call-1", "good"]


def test_many_at_once_with_halves_in_common_count_once(cast: stories.Cast) -> None:
    batches = [[event(id=f"call-{number}") for number in range(start, start + 20)] for start in range(0, 80, 10)]

    def send(batch: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            client = Client(headers=stories.bearer(cast.service_secret))
            answer: dict[str, Any] = client.post(PATH, batch, content_type="application/json").json()
            return answer
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, batches))
    assert sum(answer["accepted"] for answer in answers) == 90
    assert sum(answer["duplicate"] for answer in answers) == 70
    assert len(stored(cast)) == 90


def test_same_id_other_content_is_a_conflict(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    push(event())
    answer = push(event(output_tokens=501), event(occurred_at="2026-11-22T10:59:00+09:00"), event())
    assert [result["status"] for result in answer["results"]] == ["conflict", "conflict", "duplicate"]
    assert [one.output_tokens for one in stored(cast)] == [500]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input_tokens": -1}, "input_tokens: Expected `int` >= 0"),
        ({"input_tokens": 2**31}, "input_tokens: Expected `int` <= 2147483647"),
        ({"input_tokens": 1.0}, "input_tokens: Expected `int | null`, got `float`"),
        ({"input_tokens": True}, "input_tokens: Expected `int | null`, got `bool`"),
        ({"reasoning_tokens": 501}, "reasoning_tokens: 501 is more than output_tokens (500), which contains it"),
        ({"prompt_tokens": 5}, f"Object contains unknown field `prompt_tokens`; {WHERE_FIELDS_ARE}"),
        ({"id": ""}, "id: Expected `str` of length >= 1"),
        ({"id": "x" * 201}, "id: Expected `str` of length <= 200"),
        ({"id": "a\x00b"}, "id: must not contain control characters"),
        ({"model": "a\nb"}, "model: must not contain control characters"),
        ({"end_user": "\x7f"}, "end_user: must not contain control characters"),
        ({"occurred_at": "2026-11-22T11:00:00"}, "occurred_at: Expected `datetime` with a timezone component"),
        ({"occurred_at": 1700000000}, "occurred_at: Expected `datetime`, got `int`"),
        ({"occurred_at": "2026-10-18T11:00:00+09:00"}, "occurred_at: more than 35 days ago"),
        ({"occurred_at": "2026-11-22T12:05:01+09:00"}, "occurred_at: more than 300 seconds ahead of our clock"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at: more than 35 days ago"),
        ({"cost_usd": 0.1}, 'cost_usd: must be a decimal string such as "0.00012": numbers in JSON lose digits'),
        ({"cost_usd": "NaN"}, "cost_usd: not a decimal number: 'NaN'"),
        ({"cost_usd": "-1"}, "cost_usd: must lie between 0 and 1000000000"),
        ({"cost_usd": "1e99"}, "cost_usd: must lie between 0 and 1000000000"),
        ({"tags": {str(number): "x" for number in range(11)}}, "tags: Expected `object` of length <= 10"),
        ({"tags": {"a": "x" * 257}}, "tags[...]: Expected `str` of length <= 256"),
        ({"tags": {"a": 1}}, "tags[...]: Expected `str`, got `int`"),
        ({"tags": {"": "x"}}, "a name in tags: Expected `str` of length >= 1"),
        ({"organization": "nobody"}, "unknown organization"),
        ({"organization": None}, "unknown organization"),
        ({"api_key": "idk_live_none"}, "api_key: not the id or prefix of one key of the organization"),
        ({"api_key": "999999"}, "api_key: not the id or prefix of one key of the organization"),
    ],
)
def test_reasons(cast: stories.Cast, push: Callable[..., dict[str, Any]], fields: dict[str, Any], reason: str) -> None:
    answer = push(event(**fields))
    assert reasons(answer) == [reason]
    assert stored(cast) == []


def test_bytes_that_are_no_text_are_rejected_by_themselves(cast: stories.Cast, as_gateway: Client) -> None:
    good, bad = json.dumps(event()).encode(), json.dumps(event(id="XX")).encode()
    for broken in (b"\xff", b"\\ud800", b"\\ud83d\\u0041"):
        body = b"[" + bad.replace(b"XX", broken) + b"," + good + b"]"
        answer = as_gateway.post(PATH, body, content_type="application/json").json()
        assert answer["results"][0]["status"] == "rejected"
        assert reasons(answer)[0] == "the event is not readable JSON in UTF-8"
    assert [one.key for one in stored(cast)] == ["call-1"]


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"null", b"[1", b"[" * 100_000, b"\xff", b'[{"id": "a"}] x'])
def test_a_body_that_is_no_array(cast: stories.Cast, as_gateway: Client, body: bytes) -> None:
    answer = as_gateway.post(PATH, body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a"', "the body's JSON ends too early, at line 1, column 5"),
        (b'[{"id": "a"},\n {"id"\n', "the body's JSON ends too early, at line 3, column 1"),
        (b'[{"id": "a"},\n {"id" 7}]', "the body's JSON is broken, at line 2, column 8"),
        (b'{"a": 1}', "must be a JSON array of events: Expected `array`, got `object`"),
    ],
)
def test_a_body_that_is_no_array_says_where_it_goes_wrong(
    cast: stories.Cast, as_gateway: Client, body: bytes, words: str
) -> None:
    answer = as_gateway.post(PATH, body, content_type="application/json")
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            PATH,
            json.dumps([event(), event(organization="nobody"), event(id="old", occurred_at="2026-01-01T00:00:00Z")]),
        ),
        (PATH, "{}"),
        (PATH, "[" * 100_000),
        ("/api/v1/usage/litellm", '[{"model": 7}]'),
        ("/api/v1/usage/litellm", "["),
    ],
    ids=["refused", "no array", "deep", "refused record", "no records"],
)
def test_nothing_of_a_body_waits_for_the_collector(
    cast: stories.Cast, as_gateway: Client, path: str, body: str
) -> None:
    as_gateway.post(path, body, content_type="application/json")
    gc.collect()
    gc.disable()
    try:
        as_gateway.post(path, body, content_type="application/json")
        kinds = (PushedEvent, InvalidEvent, MalformedBatch)
        assert [found for found in gc.get_objects() if issubclass(type(found), kinds)] == []
    finally:
        gc.enable()


def test_an_empty_batch(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    assert push() == {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0, "results": []}


@pytest.mark.parametrize("element", ["1", json.dumps(event())])
def test_too_many_events(cast: stories.Cast, as_gateway: Client, monkeypatch: pytest.MonkeyPatch, element: str) -> None:
    monkeypatch.setattr(ingestion.settings, "USAGE_MAX_BATCH", 3)
    answer = as_gateway.post(PATH, f"[{','.join([element] * 4)}]", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_events")
    assert stored(cast) == []


def test_too_large_a_body(cast: stories.Cast, as_gateway: Client) -> None:
    answer = as_gateway.post(PATH, b" " * (10 * 1024 * 1024 + 1), content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_everything_that_is_told_is_kept(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    told = {
        "cache_read_tokens": 7,
        "cache_write_tokens": 6,
        "cache_write_1h_tokens": 5,
        "reasoning_tokens": 4,
        "audio_input_tokens": 3,
        "image_output_tokens": 2,
        "images": 1,
        "searches": 0,
        "requests": 2,
        "upstream": "openrouter",
        "request_id": "r-1",
        "generation_id": "gen-1",
        "attempt": 1,
        "status": 200,
        "streamed": True,
        "latency_ms": 1200,
        "first_token_ms": 90,
        "finish_reason": "stop",
        "end_user": '사용자 "1" \\',
        "tags": {"team": '검색 "팀"', "empty": ""},
    }
    answer = push(
        event(**told, api_key=cast.acme.key.prefix, cost_usd="0.0001", requested_model="openrouter/auto"),
        event(id="by-id", api_key=str(cast.acme.key.pk)),
    )
    assert answer["accepted"] == 2, answer
    by_id, full = stored(cast)
    assert {name: getattr(full, name) for name in told} == told
    assert full.reported_cost == Decimal("0.0001")
    assert full.api_key_id == by_id.api_key_id == cast.acme.key.pk
    assert full.audio_output_tokens is None, "not told is unknown, not 0"
    assert full.occurred_at == full.received_at - timedelta(hours=1)


def test_what_an_upstream_charged_may_have_more_digits_than_we_keep(
    cast: stories.Cast, push: Callable[..., dict[str, Any]]
) -> None:
    push(event(cost_usd="1.2345678901234567e-05"))
    assert stored(cast)[0].reported_cost == Decimal("0.00001234567890123457")


def test_an_unknown_model_waits_for_its_price(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    answer = push(event(model="new/model"))
    assert answer["accepted"] == 1
    assert reasons(answer) == ["waits for a price: unknown model: new/model"]
    acme = Client(headers=cast.acme.headers)
    found = acme.get(f"{PATH}/{answer['results'][0]['event_id']}").json()
    assert (found["amount"], found["model"], found["waits_for"]) == (None, "new/model", "unknown model: new/model")
    assert acme.get("/api/v1/usage").json()["waiting_for_price"] == 1


def test_a_source_reports_only_for_whom_it_may(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    _source, secret = stories.make_service_source(
        now=stories.NOON, slug="narrow", organizations=[cast.globex.organization]
    )
    narrow = Client(headers=stories.bearer(secret))
    answer = push(event(), event(organization="globex"), client=narrow)
    assert [result["status"] for result in answer["results"]] == ["rejected", "accepted"]
    assert reasons(answer)[0] == "unknown organization"
    _source, secret = stories.make_service_source(now=stories.NOON, slug="wide")
    assert push(event(), client=Client(headers=stories.bearer(secret)))["accepted"] == 1


def test_an_organization_reports_for_itself_only(
    cast: stories.Cast, as_acme: Client, push: Callable[..., dict[str, Any]]
) -> None:
    answer = push(event(), event(id="own", organization=None), event(id="x", organization="globex"), client=as_acme)
    assert [result["status"] for result in answer["results"]] == ["accepted", "accepted", "rejected"]
    assert {one.organization_id for one in stored(cast)} == {cast.acme.organization.pk}


def test_a_neighbours_key_is_unknown(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    for name in (cast.globex.key.prefix, str(cast.globex.key.pk)):
        assert push(event(api_key=name))["rejected"] == 1


def test_the_same_id_of_two_sources_is_two_events(
    cast: stories.Cast, as_acme: Client, push: Callable[..., dict[str, Any]]
) -> None:
    assert push(event())["accepted"] == push(event(), client=as_acme)["accepted"] == 1


def test_a_key_needs_the_scope(cast: stories.Cast, push: Callable[..., dict[str, Any]]) -> None:
    _key, secret = stories.make_key(cast.acme.organization, now=stories.NOON, scopes=[Scope.USAGE_READ])
    answer = push(event(), client=Client(headers=stories.bearer(secret)), status=403)
    assert answer["error"]["code"] == "permission_denied"


def test_a_session_cannot_push(
    cast: stories.Cast, signed_in: Callable[[Any], Client], push: Callable[..., Any]
) -> None:
    push(event(), client=signed_in(cast.acme.owner), status=401)


def test_a_revoked_service_key_is_refused_within_five_seconds(
    cast: stories.Cast,
    clock: time_machine.Traveller,
    push: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from accounts.authentication import RememberedReporterAuthentication

    push(event())
    cast.source.service_keys.using("system").update(revoked_at=stories.NOON)
    monkeypatch.setattr(RememberedReporterAuthentication, "_known", {})
    assert RememberedReporterAuthentication.SECONDS < 5
    push(event(), status=401)


@pytest.fixture
def broken_writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(ingestion.recording, "record", fail)
    return


def test_while_the_database_is_away_it_is_said(cast: stories.Cast, as_gateway: Client, broken_writer: None) -> None:
    answer = as_gateway.post(PATH, [event()], content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "temporarily_unavailable")
    assert answer["Retry-After"] == "1"


def test_rejected_events_cost_nothing_even_while_the_database_is_away(
    cast: stories.Cast, push: Callable[..., dict[str, Any]], broken_writer: None
) -> None:
    assert push(event(output_tokens=-1))["rejected"] == 1
