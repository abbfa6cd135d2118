"""Other gateways push usage in their own formats: each means the same to us, counts once, and never says more than is committed."""

import gzip
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.test.utils import override_settings

from accounts.models import Scope
from accounts.tenancy import tenant_scope
from metering.models import UsageEvent
from tests import stories

EVENTS, LITELLM, OTLP = "/api/v1/usage/events", "/api/v1/usage/litellm", "/api/v1/usage/otlp/v1/traces"
AN_HOUR_AGO = "2026-11-22T11:00:00+09:00"
SECONDS = 1795312800
"""The same moment since 1970."""
WON = Decimal("0.099")
"""1,000 tokens in (600 of them cached) and 500 out, all at devstral's one price."""

COUNTS = {"input_tokens": 400, "cache_read_tokens": 600, "output_tokens": 500, "reasoning_tokens": 200}
OURS = {"id": "c-1", "organization": "acme", "model": stories.DEVSTRAL, "occurred_at": AN_HOUR_AGO} | COUNTS
CLOUD_EVENT = {
    "specversion": "1.0",
    "type": "llm.call",
    "source": "https://gateway.example/eu",
    "id": "c-1",
    "time": AN_HOUR_AGO,
    "subject": "acme",
    "data": {
        "model": stories.DEVSTRAL,
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "cached_tokens": 600,
        "reasoning_tokens": 200,
    },
}
RECORD = {
    "litellm_call_id": "c-1",
    "id": "gen-1",
    "trace_id": "t-1",
    "call_type": "acompletion",
    "status": "success",
    "stream": True,
    "model": "openrouter/mistralai/devstral-small",
    "model_group": "devstral",
    "custom_llm_provider": "openrouter",
    "prompt_tokens": 1000,
    "completion_tokens": 500,
    "total_tokens": 1500,
    "response_cost": 0.00006,
    "startTime": SECONDS - 1.5,
    "completionStartTime": SECONDS - 1.25,
    "endTime": float(SECONDS),
    "end_user": "somebody",
    "request_tags": ["blue", "night"],
    "messages": [{"role": "user", "content": "a secret"}],
    "metadata": {
        "user_api_key_org_alias": "acme",
        "user_api_key_alias": "batch",
        "requester_metadata": {"organization": "globex"},
        "usage_object": {
            "prompt_tokens": 1000,
            "prompt_tokens_details": {"cached_tokens": 600},
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
    },
}


def attribute(name: str, value: str | int) -> dict[str, Any]:
    kind = "stringValue" if isinstance(value, str) else "intValue"
    return {"key": name, "value": {kind: str(value)}}


def span(number: str = "b7ad6b7169203331", *, parent: str = "", **attributes: str | int) -> dict[str, Any]:
    """A call to devstral; `attributes` with their dots written as two underscores, an empty one left out."""
    given: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.request.model": stories.DEVSTRAL,
        "gen_ai.response.model": stories.DEVSTRAL,
        "gen_ai.response.id": "c-1",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 500,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "gen_ai.usage.reasoning.output_tokens": 200,
    } | {name.replace("__", "."): value for name, value in attributes.items()}
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": number,
        "parentSpanId": parent,
        "name": "chat devstral",
        "startTimeUnixNano": str((SECONDS - 1) * 10**9),
        "endTimeUnixNano": str(SECONDS * 10**9 + 999),
        "attributes": [attribute(name, value) for name, value in given.items() if value != ""],
    }


def traces(*spans: dict[str, Any], organization: str = "acme") -> dict[str, Any]:
    resource = {"attributes": [attribute("invoicedream.organization", organization)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


def lines(*documents: object) -> str:
    return "\n".join(json.dumps(document) for document in documents) + "\n"


def send(client: Client, path: str, body: object, media_type: str = "application/json", **headers: str) -> Any:
    raw = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(path, raw, content_type=media_type, headers=headers)


def recorded(cast: stories.Cast) -> list[UsageEvent]:
    with tenant_scope([cast.acme.organization.pk, cast.globex.organization.pk]):
        return list(UsageEvent.objects.order_by("key", "id"))


def tally(answer: Any) -> tuple[int, int, int, int]:
    assert answer.status_code == 200, answer.content
    found = answer.json()
    return found["accepted"], found["duplicate"], found["conflict"], found["rejected"]


FORMATS: Mapping[str, tuple[str, str, str | bytes, str]] = {
    "our array": (EVENTS, "application/json", json.dumps([OURS]), "c-1"),
    "our lines": (EVENTS, "application/x-ndjson", lines(OURS), "c-1"),
    "a CloudEvent": (EVENTS, "application/cloudevents+json; charset=utf-8", json.dumps(CLOUD_EVENT), "https://gateway.example/eu#c-1"),
    "a batch of CloudEvents": (EVENTS, "application/cloudevents-batch+json", json.dumps([CLOUD_EVENT]), "https://gateway.example/eu#c-1"),
    "LiteLLM's array": (LITELLM, "application/json", json.dumps([RECORD]), "c-1"),
    "LiteLLM's lines": (LITELLM, "application/x-ndjson", lines(RECORD, RECORD), "c-1"),
    "LiteLLM's single record": (LITELLM, "application/json", json.dumps(RECORD, indent=1), "c-1"),
    "OTLP traces": (OTLP, "application/json", json.dumps(traces(span())), "c-1"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_means_the_same_counts_and_the_same_won(cast: stories.Cast, as_gateway: Client, name: str) -> None:
    path, media_type, body, key = FORMATS[name]
    for _again in range(2):
        assert send(as_gateway, path, body, media_type).status_code == 200
    [event] = recorded(cast)
    assert event.organization_id == cast.acme.organization.pk
    assert event.key == key
    assert {field: getattr(event, field) for field in COUNTS} == COUNTS
    assert (event.requests, event.amount, event.occurred_at.timestamp()) == (1, WON, SECONDS)


@pytest.mark.parametrize("name", FORMATS)
def test_compressed_bodies_mean_the_same(cast: stories.Cast, as_gateway: Client, name: str) -> None:
    path, media_type, body, _key = FORMATS[name]
    plain = body if isinstance(body, bytes) else body.encode()
    answer = send(as_gateway, path, gzip.compress(plain), media_type, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert [event.amount for event in recorded(cast)] == [WON]


@pytest.mark.parametrize("name", [name for name in FORMATS if "LiteLLM" not in name])
def test_nobody_reports_for_an_organization_that_its_key_does_not_allow(cast: stories.Cast, name: str) -> None:
    """The subject is what a client can forge; globex's key may report for globex only."""
    path, media_type, body, _key = FORMATS[name]
    as_globex = Client(headers=cast.globex.headers)
    answer = send(as_globex, path, body, media_type)
    assert answer.status_code == 200
    assert "unknown organization" in answer.content.decode()
    assert recorded(cast) == []


def test_under_an_organizations_own_key_litellms_teams_are_its_own(cast: stories.Cast) -> None:
    """A team may be called anything, a neighbour's name too: the key decides."""
    send(Client(headers=cast.globex.headers), LITELLM, RECORD)
    team = {"user_api_key_team_alias": "backend"}
    send(Client(headers=cast.globex.headers), LITELLM, RECORD | {"litellm_call_id": "c-2", "metadata": team})
    assert {event.organization_id for event in recorded(cast)} == {cast.globex.organization.pk}
    assert len(recorded(cast)) == 2


ODD_NEIGHBOURS = {
    "half a surrogate pair": '"\\ud83d"',
    "an exponent beyond all measure": "1e99999999999999999999",
    "a cost of gigabytes": "1e200000000",
    "an integer of 5,000 digits": "9" * 5000,
}


@pytest.mark.parametrize("odd", ODD_NEIGHBOURS)
def test_what_one_record_holds_does_not_lose_its_neighbours(cast: stories.Cast, as_gateway: Client, odd: str) -> None:
    """Prompts come along, and a prompt may hold anything."""
    value = ODD_NEIGHBOURS[odd]
    records = [RECORD, RECORD | {"litellm_call_id": "c-2", "response_cost": "ODD", "messages": "ODD"}]
    assert tally(send(as_gateway, LITELLM, json.dumps(records).replace('"ODD"', value))) == (2, 0, 0, 0)
    assert [event.reported_cost for event in recorded(cast)] == [Decimal("0.00006"), None]
    spans = traces(span(gen_ai__response__id="s-1"), span("d" * 16, gen_ai__response__id="s-2", gen_ai__prompt="ODD"))
    send(as_gateway, OTLP, json.dumps(spans).replace('"ODD"', value))
    event = CLOUD_EVENT | {"id": "e-2", "extension": "ODD"}
    body = json.dumps([CLOUD_EVENT, event]).replace('"ODD"', value)
    assert tally(send(as_gateway, EVENTS, body, "application/cloudevents-batch+json")) == (2, 0, 0, 0)
    assert len(recorded(cast)) == 6


@pytest.mark.parametrize("cost", [-0.01, 10**12, "free", None])
def test_a_cost_that_cannot_be_is_left_out_and_the_tokens_count(
    cast: stories.Cast, as_gateway: Client, cost: object
) -> None:
    send(as_gateway, LITELLM, RECORD | {"response_cost": cost})
    assert [(event.amount, event.reported_cost) for event in recorded(cast)] == [(WON, None)]


def test_different_ids_never_become_one(cast: stories.Cast, as_gateway: Client) -> None:
    long = "x" * 200
    assert tally(send(as_gateway, LITELLM, [RECORD | {"litellm_call_id": long + end} for end in "ab"])) == (2, 0, 0, 0)
    events = [CLOUD_EVENT | {"source": "gw#a", "id": "1"}, CLOUD_EVENT | {"source": "gw", "id": "a#1"}]
    assert tally(send(as_gateway, EVENTS, events, "application/cloudevents-batch+json")) == (2, 0, 0, 0)
    again = send(as_gateway, LITELLM, RECORD | {"litellm_call_id": long + "a"})
    assert tally(again) == (0, 1, 0, 0)


@pytest.mark.parametrize("path", [EVENTS, LITELLM, OTLP])
def test_a_key_that_may_not_write_usage_is_refused(cast: stories.Cast, path: str) -> None:
    _key, secret = stories.make_key(cast.acme.organization, now=stories.NOON, scopes=[Scope.USAGE_READ])
    assert send(Client(headers=stories.bearer(secret)), path, []).status_code == 403
    assert send(Client(), path, []).status_code == 401


@pytest.mark.parametrize("path", [EVENTS, LITELLM, OTLP])
@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"{", "", 400),
        (b"\x1f\x8b\x08broken", "gzip", 400),
        (gzip.compress(b"[]")[:-4], "gzip", 400),
        (b"[]", "br", 415),
        (gzip.compress(b"[" + b" " * 3000 + b"]"), "gzip", 413),
    ],
    ids=["no JSON", "no gzip", "cut gzip", "brotli", "a bomb"],
)
@override_settings(USAGE_MAX_BODY=2000)
def test_a_body_that_cannot_be_read_is_refused_as_a_whole(
    as_gateway: Client, path: str, body: bytes, encoding: str, status: int
) -> None:
    answer = send(as_gateway, path, body, **({"Content-Encoding": encoding} if encoding else {}))
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_an_unknown_media_type_is_told_the_known_ones(as_gateway: Client) -> None:
    answer = send(as_gateway, EVENTS, "a,b", "text/csv")
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["error"]["message"]
    protobuf = send(as_gateway, OTLP, b"\x0a", "application/x-protobuf")
    assert protobuf.status_code == 415
    assert "application/json" in protobuf.json()["error"]["message"]


def test_a_broken_line_fails_alone(cast: stories.Cast, as_gateway: Client) -> None:
    answer = send(as_gateway, EVENTS, lines(OURS) + "{broken\n\n" + lines(OURS | {"id": "c-2"}), "application/x-ndjson")
    assert tally(answer) == (2, 0, 0, 1)
    assert [result["status"] for result in answer.json()["results"]] == ["accepted", "rejected", "accepted"]
    answer = send(as_gateway, LITELLM, lines(RECORD | {"litellm_call_id": "c-3"}) + "{broken\n", "application/x-ndjson")
    assert tally(answer) == (1, 0, 0, 1)


@override_settings(USAGE_MAX_BATCH=2)
@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    [
        (EVENTS, "application/x-ndjson", lines(OURS, OURS, OURS)),
        (EVENTS, "application/cloudevents-batch+json", json.dumps([CLOUD_EVENT] * 3)),
        (LITELLM, "application/json", json.dumps([RECORD] * 3)),
        (LITELLM, "application/json", lines(RECORD, RECORD, RECORD)),
        (OTLP, "application/json", json.dumps(traces(*[span()] * 3))),
    ],
    ids=["lines", "CloudEvents", "LiteLLM", "LiteLLM's lines", "OTLP"],
)
def test_too_many_events_are_refused_as_a_whole(
    cast: stories.Cast, as_gateway: Client, path: str, media_type: str, body: str
) -> None:
    assert send(as_gateway, path, body, media_type).status_code == 413
    assert recorded(cast) == []


def test_a_cloud_event_of_one_kind_of_tokens_is_half_a_call(cast: stories.Cast, as_gateway: Client) -> None:
    halves = [
        CLOUD_EVENT | {"id": kind, "data": {"model": stories.DEVSTRAL, "tokens": tokens, "type": kind}}
        for kind, tokens in (("input", "1000"), ("output", 500))
    ]
    assert tally(send(as_gateway, EVENTS, halves, "application/cloudevents-batch+json")) == (2, 0, 0, 0)
    events = recorded(cast)
    assert sum(event.amount for event in events) == WON
    assert sum(event.requests for event in events) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": None}, "source and id"),
        ({"specversion": "0.3"}, "specversion"),
        ({"time": None}, "time: must be given"),
        ({"time": "2026-11-22T11:00:00"}, "occurred_at"),
        ({"data": "text"}, "data: must be"),
        ({"data": {"model": stories.DEVSTRAL}}, "prompt_tokens"),
        ({"data": {"model": stories.DEVSTRAL, "prompt_tokens": 1.5, "completion_tokens": 1}}, "whole number"),
        ({"data": {"model": stories.DEVSTRAL, "prompt_tokens": -1, "completion_tokens": 1}}, "whole number"),
        ({"data": {"model": stories.DEVSTRAL, "tokens": 1, "type": "thoughts"}}, "data.type"),
        ({"data": {"prompt_tokens": 1, "completion_tokens": 1}}, "model"),
    ],
    ids=str,
)
def test_a_cloud_event_that_cannot_be_taken_says_why(
    cast: stories.Cast, as_gateway: Client, change: dict[str, Any], reason: str
) -> None:
    answer = send(as_gateway, EVENTS, CLOUD_EVENT | change, "application/cloudevents+json")
    assert tally(answer) == (0, 0, 0, 1)
    assert reason in answer.json()["results"][0]["reason"]


def test_a_record_of_litellm_keeps_what_is_worth_keeping_and_no_prompt(cast: stories.Cast, as_gateway: Client) -> None:
    assert tally(send(as_gateway, LITELLM, [RECORD])) == (1, 0, 0, 0)
    [event] = recorded(cast)
    assert (event.upstream, event.reported_cost, event.request_id, event.generation_id) == (
        "openrouter",
        Decimal("0.00006"),
        "t-1",
        "gen-1",
    )
    assert (event.latency_ms, event.first_token_ms, event.streamed, event.end_user) == (1500, 250, True, "somebody")
    assert event.tags == {"request_tags": "blue,night", "model_group": "devstral", "key_alias": "batch"}
    assert "a secret" not in repr(event.__dict__)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "failure"}, "failed call"),
        ({"cache_hit": True}, "own cache"),
        ({"endTime": None}, "endTime"),
        ({"endTime": "yesterday"}, "endTime"),
        ({"prompt_tokens": None, "metadata": {"user_api_key_org_alias": "acme"}}, "prompt_tokens"),
        ({"litellm_call_id": None, "id": None}, "litellm_call_id"),
        ({"metadata": {"user_api_key_org_alias": "nobody"}}, "unknown organization"),
        ({"metadata": {"requester_metadata": {"user_api_key_org_alias": "acme"}}}, "unknown organization"),
    ],
    ids=str,
)
def test_a_record_of_litellm_that_cannot_be_taken_says_why(
    cast: stories.Cast, as_gateway: Client, change: dict[str, Any], reason: str
) -> None:
    answer = send(as_gateway, LITELLM, [RECORD | change])
    assert tally(answer) == (0, 0, 0, 1)
    assert reason in answer.json()["results"][0]["reason"]
    assert recorded(cast) == []


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openrouter/mistralai/devstral-small", "openrouter"),
        ("mistralai/devstral-small", "openrouter"),
        ("devstral-small", "mistralai"),
        ("mistralai/devstral-small", "mistralai"),
    ],
)
def test_litellm_names_a_model_in_several_ways(
    cast: stories.Cast, as_gateway: Client, model: str, provider: str
) -> None:
    send(as_gateway, LITELLM, RECORD | {"model": model, "custom_llm_provider": provider})
    assert [event.amount for event in recorded(cast)] == [WON]


def test_an_agents_span_does_not_count_the_calls_below_it_again(cast: stories.Cast, as_gateway: Client) -> None:
    agent = span("a" * 16, gen_ai__operation__name="invoke_agent", gen_ai__response__id="")
    tool = span("c" * 16, parent="a" * 16, gen_ai__operation__name="execute_tool")
    calls = [span(f"{number:016x}", parent="a" * 16, gen_ai__response__id=f"r-{number}") for number in (1, 2)]
    answer = send(as_gateway, OTLP, traces(agent, tool, *calls))
    assert answer.json() == {}
    assert [event.key for event in recorded(cast)] == ["r-1", "r-2"]


def test_of_nested_spans_without_an_operation_the_outermost_counts(cast: stories.Cast, as_gateway: Client) -> None:
    outer = span("a" * 16, gen_ai__operation__name="", gen_ai__response__id="outer")
    inner = span("b" * 16, parent="a" * 16, gen_ai__operation__name="", gen_ai__response__id="inner")
    send(as_gateway, OTLP, traces(inner, outer))
    assert [event.key for event in recorded(cast)] == ["outer"]


def test_a_nameless_span_that_names_no_answer_is_refused_because_its_parent_may_come_later(
    cast: stories.Cast, as_gateway: Client
) -> None:
    nameless: dict[str, str | int] = {"gen_ai__operation__name": "", "gen_ai__response__id": ""}
    for body in (span("b" * 16, parent="a" * 16, **nameless), span("a" * 16, **nameless)):
        answer = send(as_gateway, OTLP, traces(body))
        assert "gen_ai.operation.name" in answer.json()["partialSuccess"]["errorMessage"]
    assert recorded(cast) == []


def test_attributes_of_older_conventions_are_read(cast: stories.Cast, as_gateway: Client) -> None:
    old = span(
        gen_ai__usage__input_tokens="", gen_ai__usage__output_tokens="", gen_ai__usage__cache_read__input_tokens="",
        gen_ai__usage__prompt_tokens=1000, gen_ai__usage__completion_tokens=500, gen_ai__usage__cache_read_input_tokens=600,
        gen_ai__provider__name="", gen_ai__system="openai",
    )  # fmt: skip
    send(as_gateway, OTLP, traces(old))
    [event] = recorded(cast)
    assert (event.input_tokens, event.cache_read_tokens, event.output_tokens, event.upstream) == (
        400,
        600,
        500,
        "openai",
    )


def test_otlp_is_told_how_many_spans_were_not_recorded(cast: stories.Cast, as_gateway: Client) -> None:
    bad = span("d" * 16, gen_ai__response__id="c-9", gen_ai__usage__input_tokens="many")
    answer = send(as_gateway, OTLP, traces(span(), bad))
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert "c-9" in partial["errorMessage"] and "whole number" in partial["errorMessage"]
    other = send(as_gateway, OTLP, traces(span(gen_ai__usage__output_tokens=501)))
    assert "other content" in other.json()["partialSuccess"]["errorMessage"]
    assert [event.amount for event in recorded(cast)] == [WON]


def test_a_test_of_the_connection_is_answered_and_records_nothing(cast: stories.Cast, as_gateway: Client) -> None:
    answer = send(as_gateway, OTLP, {"resourceSpans": []}, **{"X-Test-Connection": "true"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert recorded(cast) == []


def test_a_store_that_is_away_is_never_reported_as_recorded(
    as_gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from metering import ingestion

    def away(*_arguments: object, **_options: object) -> None:
        raise OperationalError("the server is away")

    monkeypatch.setattr(ingestion, "_resolver", away)
    for path, media_type, body, _key in FORMATS.values():
        answer = send(as_gateway, path, body, media_type)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
