"""The adapter for every server that speaks OpenAI's HTTP: OpenRouter, vLLM, Ollama, LM Studio, the sandbox's stand-in."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

import aiohttp
import msgspec

from gateway.errors import UpstreamFailed
from gateway.upstreams.base import Again, AnswerCut, CallFailed, Limits, Unreachable, UpstreamRequest
from gateway.upstreams.breaker import Breaker
from gateway.upstreams.failures import failure_of_status, fell_silent, lost_connection
from gateway.upstreams.openai_answers import printable
from gateway.upstreams.openai_errors import DOWN

USER_AGENT = "InvoiceDream-gateway"
CONNECTIONS = 4096
SECONDS_IDLE = 15.0
"""Idle connections are closed before an upstream would close them under a request."""
NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
"""Raised before a byte of the request is sent."""
ERROR_BYTES = 64 * 1024
SECONDS_FOR_ERROR = 5.0


class OpenAIAnswer:
    """An answer under way, read within its limits (see `base.Answer`)."""

    def __init__(self, response: aiohttp.ClientResponse, *, limits: Limits, deadline: float) -> None:
        self._response = response
        self._limits = limits
        self._deadline = deadline
        self.generation_id = printable(response.headers.get("X-Generation-Id", ""))[:200]
        self.is_stream = response.content_type == "text/event-stream"

    def is_complete(self) -> bool:
        return self._response.content.is_eof()

    async def read(self) -> bytes:
        content = self._response.content
        if content.is_eof() and content.exception() is None:
            body = content.read_nowait()  # all of it has arrived with the head
            if len(body) > self._limits.answer_bytes:
                raise AnswerCut("longer than allowed")
            return body
        parts = [chunk async for chunk in self._within(silence=self._limits.total)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._within(silence=self._limits.between_chunks):
            yield chunk

    def hurry(self, seconds: float) -> None:
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)

    def cut(self) -> None:
        self._deadline = 0.0
        self._response.close()

    async def close(self, *, linger: float = 0.0) -> None:
        content = self._response.content
        try:
            async with asyncio.timeout(linger):
                while linger and not content.is_eof():
                    await content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        self._response.release() if content.is_eof() else self._response.close()

    async def _within(self, *, silence: float) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        content, left = self._response.content, self._limits.answer_bytes
        while True:
            try:
                async with asyncio.timeout_at(min(loop.time() + silence, self._deadline)):
                    chunk = await content.readany()
            except TimeoutError:
                raise AnswerCut("silent for too long") from None
            except (aiohttp.ClientError, OSError) as error:
                raise AnswerCut(f"connection lost ({type(error).__name__})") from None
            if not chunk:
                return
            left -= len(chunk)
            if left < 0:
                raise AnswerCut("longer than allowed")
            yield chunk


class OpenAICompatible:
    """One upstream. `name` is what holds and events call it; `headers` go with every call."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str,
        limits: Limits,
        trusts_model_ids: bool,
        falls_back: bool = False,
        connections: int = CONNECTIONS,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.trusts_model_ids = trusts_model_ids
        self.falls_back = falls_back
        self.breaker = Breaker()
        self.limits = limits
        self._connections = connections
        self._base_url = base_url.rstrip("/")
        self.secrets: tuple[str, ...] = (api_key, self._base_url)
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            **(headers or {}),
        }
        self._session: aiohttp.ClientSession | None = None

    async def open(self, request: UpstreamRequest) -> OpenAIAnswer:
        """See `base.Upstream`. Headers are ours alone: nothing of the caller's reaches the upstream but the body."""
        limits = self.limits
        deadline = asyncio.get_running_loop().time() + limits.total
        response = await self._send(request, seconds=limits.first_byte if request.streamed else limits.total)
        if response.status != 200:
            raise await self._failure(response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise CallFailed(UpstreamFailed(DOWN, code="upstream_error"), again=Again.ELSEWHERE, may_cost=True)
        return OpenAIAnswer(response, limits=limits, deadline=deadline)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, request: UpstreamRequest, *, seconds: float) -> aiohttp.ClientResponse:
        accept = "text/event-stream" if request.streamed else "application/json"
        try:
            async with asyncio.timeout(seconds):
                return await self._connect().post(
                    f"{self._base_url}/{request.endpoint}",
                    data=msgspec.json.encode(request.body),
                    headers={**self._headers, "Accept": accept},
                    allow_redirects=False,
                )
        except NOT_CONNECTED:
            raise Unreachable(UpstreamFailed(DOWN), again=Again.HERE) from None
        except TimeoutError:
            raise fell_silent() from None
        except (aiohttp.ClientError, OSError):
            raise lost_connection() from None

    async def _failure(self, response: aiohttp.ClientResponse) -> CallFailed:
        body = b""
        try:
            async with asyncio.timeout(SECONDS_FOR_ERROR):
                body = await response.content.read(ERROR_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        finally:
            response.close()
        return failure_of_status(
            response.status,
            body,
            retry_after=response.headers.get("Retry-After", ""),
            upstream=self.name,
            secrets=self.secrets,
        )

    def _connect(self) -> aiohttp.ClientSession:
        """The session, made on the event loop that uses it. It keeps no cookies and obeys no proxy of the environment."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=SECONDS_IDLE),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
