"""What becomes of an upstream's refusal: the caller's mistakes are handed back, ours and the upstream's are not shown."""

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from accounts.structured_logs import scrub
from gateway.errors import GatewayError, RateLimited, UpstreamFailed, UpstreamRefused
from gateway.upstreams.openai_answers import ReportedError

logger = logging.getLogger(__name__)
CALLERS_MISTAKES = frozenset({400, 404, 413, 422})
OUR_MISTAKES = frozenset({401, 402, 403})
LONGEST_WAIT = 3600
MESSAGE_LENGTH = 500
DOWN = "The model's provider is not available at the moment. You were not charged. Please try again."


def error_of_status(
    status: int, body: bytes, *, retry_after: str, upstream: str, secrets: Iterable[str]
) -> GatewayError:
    """The error for the caller of an answer that came with `status` and no stream."""
    if status == 429:
        return RateLimited(
            "The model's provider is at its limit. You were not charged. Please wait and try again.",
            headers={"retry-after": str(_seconds(retry_after))},
        )
    if status in CALLERS_MISTAKES:
        reported = error_in(body)
        if reported is not None:
            message, code, param = reported
            return UpstreamRefused(clean(message, secrets=secrets), status=status, code=code, param=param)
    if status in OUR_MISTAKES:
        logger.error("upstream refuses our account", extra={"upstream": upstream, "status": status})
    return UpstreamFailed(DOWN)


def error_of_answer(error: ReportedError, *, secrets: Iterable[str]) -> GatewayError:
    """The error for the caller of one that came under status 200, whole or in a stream."""
    if error.status == 429:
        return RateLimited("The model's provider is at its limit. Please wait and try again.")
    if error.status in CALLERS_MISTAKES:
        return UpstreamRefused(clean(error.message, secrets=secrets), status=error.status)
    return UpstreamFailed("The model's provider broke off the answer.", code="upstream_error")


def clean(message: str, *, secrets: Iterable[str]) -> str:
    """An upstream's words without what might be ours: keys, addresses."""
    for secret in secrets:
        if secret:
            message = message.replace(secret, "…")
    return scrub(message)[:MESSAGE_LENGTH] or "The model's provider refused the request."


def error_in(body: bytes) -> tuple[str, str, str | None] | None:
    """Message, code and param of an error body; None if it is none, as of a page that some proxy put there."""
    try:
        error: Any = msgspec.json.decode(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(error, str):
        return error, "", None
    if not isinstance(error, dict):
        return None
    message, code, param = error.get("message"), error.get("code"), error.get("param")
    return (
        message if isinstance(message, str) else "",
        code[:60] if isinstance(code, str) else "",
        param[:100] if isinstance(param, str) else None,
    )


def _seconds(retry_after: str) -> int:
    return min(int(retry_after), LONGEST_WAIT) if retry_after.isascii() and retry_after.isdecimal() else 1
