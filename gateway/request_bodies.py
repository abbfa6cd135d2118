"""Read a request's body within its bounds and decode it, before anything is believed of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.conf import settings
from starlette.types import Receive

from gateway.errors import BodyTooLarge, InvalidRequest
from gateway.time_limits import time_limit

DISCARDED_AT_MOST = 4
"""A body that is too large is read on to this multiple of the limit, so that an honest client gets to see the 413."""


class CallerLeft(Exception):
    """The caller disconnected before its request was complete; nobody waits for an answer."""


async def read_body(receive: Receive, headers: Mapping[str, str], *, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises BodyTooLarge, InvalidRequest, CallerLeft."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest("Compressed request bodies are not accepted; send the JSON as it is.")
    try:
        with time_limit(settings.GATEWAY_BODY_SECONDS):
            return await _read(receive, limit)
    except TimeoutError:
        raise InvalidRequest(
            f"The request body did not arrive within {settings.GATEWAY_BODY_SECONDS:.0f} seconds."
        ) from None


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more and size <= limit * DISCARDED_AT_MOST:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        more = message.get("more_body", False)
    if size > limit:
        raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decode_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises InvalidRequest for anything else: broken or too deep JSON, NaN, 1e999, a list."""
    try:
        body = msgspec.json.decode(raw)
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    except ValueError:
        raise InvalidRequest("The request body is not valid JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return body
