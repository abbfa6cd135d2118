"""Get an answer over HTTP within bounds: a deadline for all of it, a size, a few attempts, no redirects."""

import asyncio
import time
from collections.abc import Mapping

import aiohttp

from catalog.rate_sources.interface import SourceAway, SourceFailed

SECONDS = 15.0
MOST_BYTES = 1_000_000
"""Ten years of daily rates are a tenth of it."""
PAUSES = (1.0, 4.0)
"""Before the second and the third attempt, the last one."""
_CHUNK = 65_536


def get(url: str, parameters: Mapping[str, str]) -> bytes:
    """The body of a 200. What may pass is tried again. Raises SourceFailed; its message never shows the parameters."""
    for pause in PAUSES:
        try:
            return asyncio.run(_get(url, parameters, seconds=SECONDS))
        except SourceAway:
            time.sleep(pause)
    return asyncio.run(_get(url, parameters, seconds=SECONDS))


async def _get(url: str, parameters: Mapping[str, str], *, seconds: float) -> bytes:
    timeout = aiohttp.ClientTimeout(total=seconds)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=True) as session,
            session.get(url, params=parameters, headers=headers, allow_redirects=False) as response,
        ):
            _check_head(response)
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise SourceFailed(f"the answer is longer than {MOST_BYTES} bytes")
            return bytes(body)
    except TimeoutError:
        raise SourceAway(f"no answer within {seconds:g} seconds") from None
    except (aiohttp.ClientError, OSError) as error:
        raise SourceAway(f"it could not be reached: {type(error).__name__}") from None


def _check_head(response: aiohttp.ClientResponse) -> None:
    if response.status == 429 or response.status >= 500:
        raise SourceAway(f"it answered with HTTP {response.status}")
    if response.status != 200:
        raise SourceFailed(f"it answered with HTTP {response.status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceFailed("the answer is compressed, which was not asked for")
