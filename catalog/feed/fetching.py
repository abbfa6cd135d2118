"""Fetch a list of models over HTTP: bounded in time, size and attempts, and only if it changed since the last import.

No redirect is followed, and further pages are taken from the same server only: the settings decide whom we ask.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from catalog.feed.json_text import decode_json
from catalog.feed.outcomes import Validators
from catalog.feed.snapshot import SnapshotRefused

logger = logging.getLogger(__name__)
MOST_BYTES = 64 * 1024 * 1024
MOST_PAGES = 50
CHUNK_BYTES = 256 * 1024
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 30.0
NO_FAULT_OF_THE_LIST = (aiohttp.ClientError, TimeoutError, OSError)


class Unreachable(Exception):
    """No whole list arrived, however often we asked. The message says what happened last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a list is, how long one answer may take (seconds), how often to ask, and the first pause in between (doubled)."""

    url: str
    api_key: str = field(default="", repr=False)
    timeout: float = 30.0
    attempts: int = 3
    pause: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The decoded pages; None if the list is the one that the validators are of."""

    pages: list[Any] | None
    validators: Validators


class _TryAgain(Exception):
    def __init__(self, reason: str, *, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


def fetch(source: Source, *, known: Validators, pause: Callable[[float], Any] = asyncio.sleep) -> Fetched:
    """Fetch the list, unless it is still the `known` one. Raises SnapshotRefused, Unreachable."""
    return asyncio.run(_fetch(source, known, pause))


async def _fetch(source: Source, known: Validators, pause: Callable[[float], Any]) -> Fetched:
    timeout = aiohttp.ClientTimeout(total=source.timeout, connect=min(source.timeout, 10.0))
    for attempt in range(1, source.attempts + 1):
        try:
            async with aiohttp.ClientSession(
                timeout=timeout, headers=_headers(source), auto_decompress=False
            ) as session:
                return await _pages(session, source.url, known)
        except (_TryAgain, *NO_FAULT_OF_THE_LIST) as fault:
            reason = str(fault) or type(fault).__name__
            if attempt == source.attempts:
                raise Unreachable(f"{_host(source.url)}: {reason} ({attempt} attempts).") from fault
            logger.warning("price list could not be fetched (attempt %d): %s", attempt, reason)
            wanted = source.pause * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
            await pause(min(max(wanted, getattr(fault, "after", 0.0)), LONGEST_PAUSE))
    raise AssertionError("at least one attempt is made")


def _headers(source: Source) -> dict[str, str]:
    """Not compressed, so that what is counted is what is kept."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "InvoiceDream price feed"}
    return headers | ({"Authorization": f"Bearer {source.api_key}"} if source.api_key else {})


async def _pages(session: aiohttp.ClientSession, first: str, known: Validators) -> Fetched:
    pages: list[Any] = []
    url, seen, left = first, {first}, MOST_BYTES
    validators = Validators(url=first)
    while True:
        conditions = _conditions(known) if not pages and known.url == first else {}
        async with session.get(url, headers=conditions, allow_redirects=False) as answer:
            if answer.status == 304 and conditions:
                return Fetched(pages=None, validators=known)
            _check(answer)
            body = await _body(answer, left)
        left -= len(body)
        pages.append(decode_json(body))
        following = _next(pages[-1], url)
        if following is None:
            # Of a list in several pages, the first one's validators say nothing of the others.
            return Fetched(pages=pages, validators=_validators(answer, first) if len(pages) == 1 else validators)
        if following in seen or len(pages) >= MOST_PAGES:
            raise SnapshotRefused(f"Its pages do not end after {len(pages)}.")
        seen.add(following)
        url = following


def _conditions(known: Validators) -> dict[str, str]:
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {name: value for name, value in conditions.items() if value}


def _check(answer: aiohttp.ClientResponse) -> None:
    status = answer.status
    if status in TEMPORARY:
        after = answer.headers.get("Retry-After", "")
        raise _TryAgain(f"answered {status}", after=float(after) if after.isdecimal() else 0.0)
    if status != 200:
        raise SnapshotRefused(f"{_host(str(answer.url))} answered {status} instead of a list.")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise SnapshotRefused(f"{_host(str(answer.url))} answered with {kind or 'no content type'}, not JSON.")


async def _body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, given up as soon as it is too long: no more than `most` bytes are ever kept."""
    if (answer.content_length or 0) > most:
        raise SnapshotRefused(_too_long())
    body = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        if len(body) + len(chunk) > most:
            raise SnapshotRefused(_too_long())
        body += chunk
    return bytes(body)


def _too_long() -> str:
    return f"It is longer than {MOST_BYTES // (1024 * 1024)} MB."


def _next(page: Any, url: str) -> str | None:
    """The address of the next page. Raises SnapshotRefused if it lies on another server."""
    links = page.get("links") if isinstance(page, dict) else None
    link = links.get("next") if isinstance(links, dict) else None
    if not link:
        return None
    if not isinstance(link, str):
        raise SnapshotRefused("Its link to the next page is no text.")
    following = urljoin(url, link)
    if urlsplit(following)[:2] != urlsplit(url)[:2]:
        raise SnapshotRefused(f"Its next page is on another server, {_host(following)}.")
    return following


def _validators(answer: aiohttp.ClientResponse, url: str) -> Validators:
    etag, modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    return Validators(url=url, etag=etag if len(etag) <= 200 else "", last_modified=modified[:100])


def _host(url: str) -> str:
    """Names the server without what an address may hold besides: a login, a query."""
    return urlsplit(url).hostname or "?"
