"""What an upstream tells besides answers: what a call of ours cost it, how much credit we have left, what it billed us on a day.

OpenRouter's ways of asking, which others may offer too. Who does not know the question answers 404: that is "not known", no fault.
"""

import logging
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from catalog.model_routes import UpstreamEntry
from gateway.upstreams.base import ReportedUsage
from gateway.upstreams.openai_answers import printable
from gateway.upstreams.openai_compatible import USER_AGENT
from gateway.upstreams.openai_usage import read_usage
from gateway.upstreams.selection import is_allowed, key_of
from pricing.exact import decimal_or_none, exact_sum

logger = logging.getLogger(__name__)
SECONDS = 10.0
MOST_BYTES = 4 * 1024 * 1024
NOTHING_LEARNED = (aiohttp.ClientError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What `GET /generation` says of one call. Its `tokens_*` are another tokenizer's estimates; these are the native ones."""

    model: str
    usage: ReportedUsage
    streamed: bool | None
    finish_reason: str


class Inquiry:
    """A session in which upstreams are asked; nothing of it is kept."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def __aenter__(self) -> "Inquiry":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def generation(self, upstream: UpstreamEntry, generation_id: str) -> Generation | None:
        """What became of a call; None if the upstream does not say, or not yet."""
        data = await self._ask(upstream, "generation", {"id": generation_id})
        if not isinstance(data, dict):
            return None
        cost = data.get("total_cost")
        usage = read_usage(
            {
                "prompt_tokens": data.get("native_tokens_prompt"),
                "completion_tokens": data.get("native_tokens_completion"),
                "prompt_tokens_details": {"cached_tokens": data.get("native_tokens_cached")},
                "completion_tokens_details": {
                    "reasoning_tokens": data.get("native_tokens_reasoning"),
                    "image_tokens": data.get("native_tokens_completion_images"),
                },
                "cost": cost,
            }
        )
        if usage is None:
            return None
        streamed, model, reason = data.get("streamed"), data.get("model"), data.get("finish_reason")
        return Generation(
            model=printable(model)[:200] if isinstance(model, str) else "",
            usage=usage,
            streamed=streamed if isinstance(streamed, bool) else None,
            finish_reason=printable(reason)[:40] if isinstance(reason, str) else "",
        )

    async def credit(self, upstream: UpstreamEntry) -> Decimal | None:
        """USD that are left of what was paid in advance; None if the upstream does not say."""
        data = await self._ask(upstream, "credits", {})
        if not isinstance(data, dict):
            return None
        total, used = _amount(data.get("total_credits")), _amount(data.get("total_usage"))
        return None if total is None or used is None else total - used

    async def billed(self, upstream: UpstreamEntry, day: date) -> Decimal | None:
        """USD that the upstream charged for a UTC day; None if it does not say."""
        data = await self._ask(upstream, "activity", {"date": day.isoformat()})
        if not isinstance(data, list):
            return None
        amounts = [_amount(row.get("usage")) if isinstance(row, dict) else None for row in data]
        return None if None in amounts else exact_sum(amount for amount in amounts if amount is not None)

    async def _ask(self, upstream: UpstreamEntry, path: str, query: dict[str, str]) -> Any:
        """What stands under `data` in a JSON answer; None for anything else."""
        if not is_allowed(upstream):
            return None
        key = key_of(upstream)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with self._session.get(
                f"{upstream.base_url}/{path}", params=query, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    return None
                body = await answer.content.read(MOST_BYTES)
                while not answer.content.at_eof() and len(body) < MOST_BYTES:
                    body += await answer.content.read(MOST_BYTES)
        except NOTHING_LEARNED as fault:
            logger.warning("upstream not asked", extra={"upstream": upstream.slug, "error_type": type(fault).__name__})
            return None
        try:
            decoded = msgspec.json.Decoder(float_hook=decimal_or_none).decode(body)
        except (ValueError, RecursionError):
            return None
        return decoded.get("data") if isinstance(decoded, dict) else None


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    return amount if amount.is_finite() and abs(amount) < 10**12 else None
