"""Requests and tokens a minute, of a key and of its organization, over all processes – and what happens without Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from django.utils import timezone

from accounts.models import ApiKey, Organization
from config.launch.ports import free_port
from tests import stories
from tests.gateway.running import House, RunningGateway, running_gateway

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
_companies = iter(range(1000))


def company(*, key: dict[str, int] | None = None, organization: dict[str, int] | None = None) -> stories.Company:
    """An organization of its own, so that nobody else has taken from its minute."""
    made = stories.make_company(f"limited-{next(_companies)}", now=timezone.now())
    Organization.objects.using("system").filter(pk=made.organization.pk).update(**(organization or {}))
    ApiKey.objects.using("system").filter(pk=made.key.pk).update(**(key or {}))
    return made


def chat(gateway: RunningGateway, secret: str, **options: Any) -> Any:
    given: dict[str, Any] = {"model": stories.DEVSTRAL, "messages": HELLO, "max_tokens": 20}
    return gateway.client(secret).chat.completions.with_raw_response.create(**(given | options))


def made(house: House) -> int:
    return len(house.llm.get("/sandbox/bill")["generations"])


@pytest.mark.parametrize("whose", ["key", "organization"])
def test_requests_a_minute(house: House, whose: str) -> None:
    secret = company(**{whose: {"requests_per_minute": 3}}).secret
    left = []
    for _call in range(3):
        answer = chat(house.gateway, secret)
        left.append(answer.headers["x-ratelimit-remaining-requests"])
    assert left == ["2", "1", "0"]
    assert answer.headers["x-ratelimit-limit-requests"] == "3"
    assert answer.headers["x-ratelimit-reset-requests"] == "1m0s"
    with pytest.raises(openai.RateLimitError) as refusal:
        chat(house.gateway, secret)
    error = refusal.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert "3 requests a minute" in error.message
    headers = error.response.headers
    assert 0 < int(headers["retry-after"]) <= 20
    assert 0 < int(headers["retry-after-ms"]) <= 20_000
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert made(house) == 3
    assert house.newest_hold()["organization_id"], "no hold was made for the refused call"


def test_streams_and_other_endpoints_count_in_the_same_minute(house: House) -> None:
    secret = company(key={"requests_per_minute": 3}).secret
    client = house.gateway.client(secret)
    list(client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, stream=True))
    client.responses.create(model=stories.DEVSTRAL, input="안녕하세요")
    client.embeddings.create(model=stories.DEVSTRAL, input="안녕하세요")
    with pytest.raises(openai.RateLimitError):
        client.completions.create(model=stories.DEVSTRAL, prompt="안녕하세요")
    assert list(client.models.list()), "what is not a call is not counted"


def test_tokens_a_minute_are_corrected_when_the_usage_is_known(house: House) -> None:
    secret = company(key={"tokens_per_minute": 10_000}).secret
    first = chat(house.gateway, secret, max_tokens=9000)
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 1000, "what it may use is taken before"
    second = chat(house.gateway, secret, max_tokens=9000)
    assert second.http_response.status_code == 200, "what it did not use is back"
    with pytest.raises(openai.RateLimitError, match="tokens a minute of this API key"):
        house.llm.order("slow:1")
        stream = chat(house.gateway, secret, max_tokens=9000, stream=True).parse()
        try:
            chat(house.gateway, secret, max_tokens=9000)
        finally:
            stream.close()


def test_a_refused_call_gives_its_tokens_back(house: House) -> None:
    secret = company(key={"tokens_per_minute": 10_000}).secret
    for _turn in range(3):
        house.llm.order("status-400")
        with pytest.raises(openai.BadRequestError):
            chat(house.gateway, secret, max_tokens=9000)


def test_two_processes_share_the_minute_and_keys_share_their_organizations(house: House, tmp_path: Path) -> None:
    limited = company(organization={"requests_per_minute": 6})
    _key, other = stories.make_key(limited.organization, now=timezone.now())
    with running_gateway(house.environment, log=tmp_path / "gateway.log") as second:
        passed = 0
        for turn in range(10):
            try:
                chat((house.gateway, second)[turn % 2], (limited.secret, other)[turn // 5])
                passed += 1
            except openai.RateLimitError as refusal:
                assert "your organization" in refusal.message
    assert 6 <= passed <= 7


def test_the_clients_own_retries_wait_as_they_are_told(house: House) -> None:
    secret = company(key={"requests_per_minute": 60}).secret
    client = house.gateway.client(secret, max_retries=2)
    answers = [client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO) for _call in range(62)]
    assert len(answers) == 62


@contextmanager
def without_redis(house: House, folder: Path, way: str) -> Iterator[RunningGateway]:
    own = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "RATE_LIMITS_WITHOUT_REDIS": way}
    with running_gateway({**house.environment, **own}, log=folder / "gateway.log") as gateway:
        yield gateway


def test_without_redis_each_process_counts_by_itself(house: House, tmp_path: Path) -> None:
    secret = company(key={"requests_per_minute": 2}).secret
    with without_redis(house, tmp_path, "local") as gateway:
        assert chat(gateway, secret).headers["x-ratelimit-remaining-requests"] == "1"
        chat(gateway, secret)
        with pytest.raises(openai.RateLimitError):
            chat(gateway, secret)
        assert gateway.log_lines("rate limits are not shared: Redis does not answer")


def test_without_redis_all_pass_if_that_is_wanted(house: House, tmp_path: Path) -> None:
    secret = company(key={"requests_per_minute": 1}).secret
    with without_redis(house, tmp_path, "open") as gateway:
        assert "x-ratelimit-remaining-requests" not in chat(gateway, secret).headers
        chat(gateway, secret)


def test_without_redis_none_passes_if_that_is_wanted(house: House, tmp_path: Path) -> None:
    secret = company().secret
    with without_redis(house, tmp_path, "closed") as gateway, pytest.raises(openai.InternalServerError) as refusal:
        chat(gateway, secret)
    assert (refusal.value.status_code, refusal.value.code) == (503, "temporarily_unavailable")
    assert refusal.value.response.headers["retry-after"]
