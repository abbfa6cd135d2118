"""One call of somebody's JSON API over HTTP, within bounds: a deadline for all of it, a size, no redirects, no repetition.

Whether and when to ask again is for the caller to decide, who knows what the call does.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

CONNECT_SECONDS, SECONDS = 5.0, 20.0
MOST_BYTES = 1_000_000
_CHUNK = 65_536


class NoAnswer(Exception):
    """Nobody knows what became of the call: not reached, no answer in time, or one that is not of this API. Holds no secret."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, and the decoded body."""

    status: int
    body: Any


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Reply:
    """The reply, whatever its status below 500. Raises NoAnswer, also for 408, 429 and 5xx: they do not tell what happened."""
    return asyncio.run(_call(method, url, headers, body, parameters or {}))


async def _call(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, parameters: Mapping[str, str]
) -> Reply:
    timeout = aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS)
    plain = {"Accept": "application/json", "Accept-Encoding": "identity"} | dict(headers)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=True) as session,
            session.request(
                method, url, params=parameters, headers=plain, data=body, allow_redirects=False
            ) as response,
        ):
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise NoAnswer(f"the answer is longer than {MOST_BYTES} bytes")
    except TimeoutError:
        raise NoAnswer(f"no answer within {SECONDS:g} seconds") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswer(f"it could not be reached: {type(error).__name__}") from None
    if response.status in (408, 429) or response.status >= 500:
        raise NoAnswer(f"it answered with HTTP {response.status}")
    try:
        return Reply(response.status, json.loads(bytes(content)))
    except (ValueError, RecursionError):
        raise NoAnswer(f"it answered with HTTP {response.status} and no JSON") from None
