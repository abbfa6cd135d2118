"""A log line carries what happened, never a secret."""

import json
import logging

import pytest

from accounts.api_keys import API_PREFIX, SERVICE_PREFIX, new_secret
from accounts.structured_logs import StructuredFormatter, scrub


def line(message: str, *, as_json: bool = True, **extra: object) -> str:
    record = logging.LogRecord("gateway", logging.INFO, "file", 1, message, None, None)
    record.__dict__.update(extra)
    return StructuredFormatter(as_json=as_json).format(record)


def test_a_line_is_one_json_object_with_its_fields() -> None:
    read = json.loads(line("call settled", request_id="req_1", tokens=12))
    assert (read["message"], read["request_id"], read["tokens"], read["level"]) == ("call settled", "req_1", 12, "info")


def test_a_console_line_reads_from_left_to_right() -> None:
    assert "gateway: call settled request_id=req_1" in line("call settled", as_json=False, request_id="req_1")


@pytest.mark.parametrize("kind", [API_PREFIX, SERVICE_PREFIX, "Bearer ", "sk_live_"])
def test_secrets_are_shortened_wherever_they_stand(kind: str) -> None:
    secret = new_secret(kind)
    for written in (line(f"refused {secret}"), line("refused", detail=secret), scrub(f"key={secret}")):
        assert secret not in written


def test_words_that_only_end_like_a_prefix_stay() -> None:
    assert "Task billing.tasks.close_periods" in line("Task billing.tasks.close_periods succeeded")


def test_what_may_hold_a_prompt_is_left_out() -> None:
    assert "canary" not in line("failed", data={"prompt": "canary"}, request="canary")
