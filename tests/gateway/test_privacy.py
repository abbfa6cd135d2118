"""Prompts, answers and secrets are kept nowhere: no table, no log."""

import contextlib
import http.client
from collections.abc import Callable
from typing import Any

import openai
import redis
from psycopg import sql

from tests import stories
from tests.gateway.conftest import UPSTREAM_KEY
from tests.gateway.running import House, wait_until

CANARY = "canary-7f3a91-카나리아"
ANSWER = "I would look at the repository"


BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": CANARY}]},
    "completions": {"prompt": CANARY},
    "embeddings": {"input": CANARY},
    "responses": {"input": CANARY},
}


def call_every_endpoint(house: House) -> None:
    """Each after success, refusals, a timeout, and failures before and within its answer; plain and streamed."""
    faults = ["", "status-400", "status-429", "status-500", "garbage", "drop-mid-stream", "hang-before-headers"]
    for path, body in BODIES.items():
        for fault in faults:
            for stream in (False, True):
                if fault:
                    house.llm.order(fault)
                given = {"model": stories.DEVSTRAL, "stream": stream, **body}
                headers = stories.bearer(house.cast.acme.secret) | {"Content-Type": "application/json"}
                with contextlib.suppress(OSError, http.client.HTTPException):
                    house.gateway.call("POST", f"/v1/{path}", given, headers)
                house.llm.call("DELETE", "/sandbox/faults")


def call_every_way(house: House) -> None:
    """Success, refusals of all kinds, and failures, each with the canary in its prompt."""
    prompt: Any = [{"role": "user", "content": f"{CANARY} please {number}"} for number in range(1)]
    faults = ["", "status-400", "status-500", "garbage", "drop-mid-stream", "hang-before-headers", "error-mid-stream"]
    for fault in faults:
        for stream in (False, True):
            if fault:
                house.llm.order(fault)
            with contextlib.suppress(openai.APIError):
                answer = house.acme.chat.completions.create(model=stories.DEVSTRAL, messages=prompt, stream=stream)
                list(answer) if stream else None
    for wrong in ({"model": "nobody/knows-it"}, {"max_tokens": -1}, {"stop": [CANARY]}):
        with contextlib.suppress(openai.APIError):
            house.acme.chat.completions.create(**{"model": stories.DEVSTRAL, "messages": prompt} | wrong)  # type: ignore[call-overload]
    with contextlib.suppress(openai.APIError):
        house.gateway.client("idk_live_" + CANARY.encode().hex()).models.list()
    house.gateway.call("POST", "/v1/chat/completions", b"{" + CANARY.encode(), stories.bearer(house.cast.acme.secret))


def test_a_canary_is_found_nowhere(house: House) -> None:
    call_every_way(house)
    call_every_endpoint(house)
    assert house.charges() > 0
    log = house.gateway.log.read_text()
    for secret in (CANARY, CANARY.encode().hex(), "카나리아", UPSTREAM_KEY, house.cast.acme.secret):
        assert secret not in log
        assert secret.encode("unicode-escape").decode() not in log
        assert find_in_tables(house, secret) == []
        assert find_in_redis(house, secret) == []


def find_in_redis(house: House, text: str) -> list[bytes]:
    """The keys that contain `text`, or whose values do: queues, caches, counters."""
    wanted = repr(text.encode())[2:-1]
    with redis.Redis.from_url(house.environment["REDIS_URL"]) as client:
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
        }
        return [key for key in client.scan_iter() if wanted in repr((key, read[client.type(key)](key)))]


def find_in_tables(house: House, text: str) -> list[str]:
    """The tables with a row that contains `text`; partitions are read through their parents."""
    tables = house.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    assert {"metering_usageevent", "ledger_hold", "accounts_auditentry"} <= {table["relname"] for table in tables}
    query = sql.SQL("SELECT 1 FROM {} AS t WHERE strpos(t::text, %s) > 0 LIMIT 1")
    return [
        table["relname"]
        for table in tables
        if house.database.execute(query.format(sql.Identifier(table["relname"])), [text]).fetchone()
    ]


def test_one_line_a_request(house: House) -> None:
    before = len(house.gateway.log_lines("call"))
    answer = house.acme.chat.completions.with_raw_response.create(
        model=stories.DEVSTRAL, messages=[{"role": "user", "content": "안녕하세요"}]
    )
    lines = wait_until(lambda: house.gateway.log_lines("call")[before:])  # written when the answer is out
    assert len(lines) == 1
    line = lines[-1]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["organization"], line["model"], line["status"], line["fate"]) == (
        "acme",
        stories.DEVSTRAL,
        200,
        "recorded",
    )
    assert line["completion_tokens"] > 0
    assert line["hold_id"] == answer.headers["x-invoicedream-receipt"]
