"""The adapter for every server that speaks OpenAI's HTTP: OpenRouter, vLLM, Ollama, LM Studio, the sandbox's stand-in."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import urlsplit

import msgspec

from gateway.errors import InvalidRequest, UpstreamFailed
from gateway.upstreams.base import Again, AnswerCut, CallFailed, Limits, Unreachable, UpstreamRequest
from gateway.upstreams.breaker import Breaker
from gateway.upstreams.exchange import Connection, ConnectionLost
from gateway.upstreams.failures import failure_of_status, fell_silent, lost_connection
from gateway.upstreams.openai_answers import printable
from gateway.upstreams.openai_errors import DOWN
from gateway.upstreams.pool import NotConnected, Pool

USER_AGENT = "InvoiceDream-gateway"
CONNECTIONS = 4096
SECONDS_IDLE = 15.0
"""Idle connections are closed before an upstream would close them under a request."""
ERROR_BYTES = 64 * 1024
SECONDS_FOR_ERROR = 5.0


class OpenAIAnswer:
    """An answer under way, read within its limits (see `base.Answer`)."""

    def __init__(self, connection: Connection, pool: Pool, *, limits: Limits, deadline: float) -> None:
        self._connection = connection
        self._pool: Pool | None = pool
        self._limits = limits
        self._deadline = deadline
        self.generation_id = printable(header(connection, b"x-generation-id"))[:200]
        self.is_stream = header(connection, b"content-type").partition(";")[0].strip().lower() == "text/event-stream"

    def is_complete(self) -> bool:
        return self._connection.is_complete

    async def read(self) -> bytes:
        if self._connection.is_complete:
            body = self._connection.take()  # all of it has arrived with the head
            if len(body) > self._limits.answer_bytes:
                raise AnswerCut("longer than allowed")
            return body
        return b"".join([chunk async for chunk in self._within(silence=self._limits.total)])

    def chunks(self) -> AsyncGenerator[bytes, None]:
        return self._within(silence=self._limits.between_chunks)

    def hurry(self, seconds: float) -> None:
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)

    def cut(self) -> None:
        self._deadline = 0.0
        self._connection.abort()

    async def close(self, *, linger: float = 0.0) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        by = asyncio.get_running_loop().time() + linger
        try:
            while linger and await self._connection.more(by=by):
                pass
        except (ConnectionLost, TimeoutError):
            pass
        finally:
            pool.give_back(self._connection)

    async def _within(self, *, silence: float) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        left = self._limits.answer_bytes
        while True:
            try:
                chunk = await self._connection.more(by=min(loop.time() + silence, self._deadline))
            except TimeoutError:
                raise AnswerCut("silent for too long") from None
            except ConnectionLost as lost:
                raise AnswerCut(f"connection lost ({lost})") from None
            if not chunk:
                return
            left -= len(chunk)
            if left < 0:
                raise AnswerCut("longer than allowed")
            yield chunk


def header(connection: Connection, name: bytes) -> str:
    """A header of the answer, empty if there is none."""
    return connection.headers.get(name, b"").decode("latin-1")


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
        self._base_url = base_url.rstrip("/")
        self.secrets: tuple[str, ...] = (api_key, self._base_url)
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            **(headers or {}),
        }
        self._heads: dict[tuple[str, bool], bytes] = {}
        self._pool = Pool(self._base_url, most=connections, connect_seconds=limits.connect, idle_seconds=SECONDS_IDLE)

    async def open(self, request: UpstreamRequest) -> OpenAIAnswer:
        """See `base.Upstream`. Headers are ours alone: nothing of the caller's reaches the upstream but the body."""
        limits = self.limits
        now = asyncio.get_running_loop().time()
        connection = await self._send(request, by=now + (limits.first_byte if request.streamed else limits.total))
        if connection.status != 200:
            raise await self._failure(connection)
        if header(connection, b"content-encoding") not in ("", "identity"):
            self._pool.give_back(connection)
            raise CallFailed(UpstreamFailed(DOWN, code="upstream_error"), again=Again.ELSEWHERE, may_cost=True)
        return OpenAIAnswer(connection, self._pool, limits=limits, deadline=now + limits.total)

    async def close(self) -> None:
        self._pool.close()

    async def _send(self, request: UpstreamRequest, *, by: float) -> Connection:
        """The connection whose answer has begun, redirections included: none is followed."""
        try:
            body = msgspec.json.encode(request.body)
        except RecursionError:  # what could just be read may be too deep to be written
            raise CallFailed(InvalidRequest("The request body is nested too deeply."), again=Again.NOWHERE) from None
        try:
            head = self._head(request)
            connection = await self._pool.take(by=by)
        except (NotConnected, ValueError):
            raise Unreachable(UpstreamFailed(DOWN), again=Again.HERE) from None
        try:
            connection.ask(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            return await connection.head(by=by)
        except BaseException as error:
            self._pool.give_back(connection)
            if isinstance(error, TimeoutError):
                raise fell_silent() from None
            if isinstance(error, ConnectionLost):
                raise lost_connection() from None
            raise

    def _head(self, request: UpstreamRequest) -> bytes:
        """The request's head up to the number of its bytes. Raises ValueError where the address or a header is none."""
        kind = (request.endpoint, request.streamed)
        head = self._heads.get(kind)
        if head is None:
            url = urlsplit(f"{self._base_url}/{request.endpoint}")
            fields = {
                "Host": url.netloc.rpartition("@")[2],
                **self._headers,
                "Accept": "text/event-stream" if request.streamed else "application/json",
            }
            lines = [f"POST {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
            if not all(line.isprintable() for line in lines) or " " in url.path:
                raise ValueError("a header or the address holds what ends a line")
            head = self._heads[kind] = "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")
        return head

    async def _failure(self, connection: Connection) -> CallFailed:
        body = b""
        by = asyncio.get_running_loop().time() + SECONDS_FOR_ERROR
        try:
            while len(body) < ERROR_BYTES and (part := await connection.more(by=by)):
                body += part
        except (ConnectionLost, TimeoutError):
            pass
        finally:
            self._pool.give_back(connection)
        return failure_of_status(
            connection.status,
            body[:ERROR_BYTES],
            retry_after=header(connection, b"retry-after"),
            upstream=self.name,
            secrets=self.secrets,
        )
