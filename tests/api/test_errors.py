"""One error shape, rate-limit headers on every answer, and what a stranger is told."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
from django.test import Client
from pytest import MonkeyPatch

from accounts import throttling
from tests import stories

JSON = "application/json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("get", "/api/v1/usage", None, 401, "not_authenticated"),
        ("post", "/api/v1/usage/events", "[]", 401, "not_authenticated"),
        ("get", "/api/v1/nothing", None, 404, "not_found"),
        ("get", "/api/nothing", None, 404, "not_found"),
        ("get", "/api/v1/models/no/such", None, 404, "not_found"),
        ("put", "/api/v1/estimates", "{}", 405, "method_not_allowed"),
        ("post", "/api/v1/estimates", "{", 400, "malformed_request"),
        ("post", "/api/v1/estimates", "[]", 400, "invalid"),
        ("post", "/api/v1/estimates", '{"model": "no/such"}', 404, "model_not_found"),
        ("get", "/api/v1/models?cursor=x", None, 400, "invalid"),
        ("get", "/api/v1/models?sort=x", None, 400, "invalid"),
    ],
)
def test_the_shape(cast: stories.Cast, method: str, path: str, body: str | None, status: int, code: str) -> None:
    answer = getattr(Client(), method)(path, body, content_type=JSON) if body else getattr(Client(), method)(path)
    assert answer.status_code == status
    assert answer["Content-Type"] == JSON
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert error["code"] == code and error["message"].isascii()
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(answer.headers)
    assert ("WWW-Authenticate" in answer) == (status == 401)


def test_several_faults_are_all_told(cast: stories.Cast) -> None:
    answer = Client().post("/api/v1/estimates", {"input_tokens": -1}, content_type=JSON)
    error = answer.json()["error"]
    assert {detail["field"] for detail in error["details"]} == {"model", "input_tokens"}


@pytest.mark.parametrize(
    "header", ["Bearer idk_live_nonsense", "Bearer", "Basic YTpi", f"Bearer idk_live_{'a' * 38}", "Bearer isk_live_x"]
)
def test_a_bad_key_is_refused_everywhere(cast: stories.Cast, header: str) -> None:
    for path in ("/api/v1/usage", "/api/v1/models", "/api/v1/api-keys"):
        answer = Client().get(path, headers={"Authorization": header})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "X-RateLimit-Limit" in answer
    answer = Client().post("/api/v1/usage/events", "[]", content_type=JSON, headers={"Authorization": header})
    assert answer.status_code == 401


def test_whatever_a_client_accepts_it_gets_json(cast: stories.Cast) -> None:
    answer = Client().get("/api/v1/models", headers={"Accept": "text/csv"})
    assert (answer.status_code, answer["Content-Type"]) == (200, JSON)


def test_too_many_requests(cast: stories.Cast, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setitem(throttling.api_settings.DEFAULT_THROTTLE_RATES, "client", "2/min")
    acme, globex = Client(headers=cast.acme.headers), Client(headers=cast.globex.headers)
    answers = [acme.get("/api/v1/usage") for _time in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2]["Retry-After"]) <= 60
    assert globex.get("/api/v1/usage").status_code == 200, "limits are per key"


def test_processes_that_count_in_steps_never_give_a_number_twice(cast: stories.Cast) -> None:
    processes = [throttling.WindowCounters() for _number in range(2)]
    name = f"test:{uuid4()}"

    def hits(number: int) -> list[int | None]:
        return [processes[number % 2].hit(name, seconds=60, step=7) for _time in range(40)]

    with ThreadPoolExecutor(8) as pool:
        counts = [count for some in pool.map(hits, range(8)) for count in some if count is not None]
    assert len(set(counts)) == len(counts) == 320
    assert max(counts) <= 320 + 8 * 7


def test_without_redis_everybody_may_pass(cast: stories.Cast, monkeypatch: MonkeyPatch) -> None:
    lonely = throttling.WindowCounters()
    lonely._client = redis.Redis(port=1, socket_timeout=0.1)
    monkeypatch.setattr(throttling, "counters", lambda: lonely)
    monkeypatch.setitem(throttling.api_settings.DEFAULT_THROTTLE_RATES, "client", "1/min")
    acme = Client(headers=cast.acme.headers)
    answers = [acme.get("/api/v1/usage") for _time in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0]["X-RateLimit-Limit"] == "1"


def test_a_defect_is_told_in_the_same_shape(cast: stories.Cast, monkeypatch: MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("billing.estimates.open_periods", fail)
    answer = Client(headers=cast.acme.headers, raise_request_exception=False).get("/api/v1/estimates/current")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
