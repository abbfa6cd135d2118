"""The caller's side of one request: what is sent to it, and whether it is still there.

Sending to a caller who left is not an error: the call goes on behind it until its usage is known.
"""

import asyncio
import time
from collections.abc import Mapping

from starlette.types import Message, Receive, Send

from gateway.errors import GatewayError, error_body
from gateway.time_limits import time_limit

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"
SECONDS_OF_PATIENCE = 60.0
"""Time that one caller may keep us waiting, in all. One that takes its answer more slowly than that is taken for gone."""


class Client:
    """Writes the response. `headers` go with whatever is answered, `status` is what its head said; `gone` turns true when the
    caller disconnects or stops reading."""

    def __init__(self, send: Send, *, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._patience = SECONDS_OF_PATIENCE
        self._began = time.monotonic()
        self.headers: dict[str, str] = {}
        self.status = 0
        self.gone = False

    @property
    def started(self) -> bool:
        """Whether the head of the response was sent."""
        return self.status != 0

    async def start(self, status: int, *, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        """Send the head of the response."""
        await self._deliver(self._head(status, content_type=content_type, headers=headers))

    def _head(self, status: int, *, content_type: str, headers: Mapping[str, str] | None) -> Message:
        self.status = status
        fields = {
            "content-type": content_type,
            "x-request-id": self._request_id,
            "openai-processing-ms": str(round((time.monotonic() - self._began) * 1000)),
            "cache-control": "no-store",
            **self.headers,
            **(headers or {}),
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        return {"type": "http.response.start", "status": status, "headers": raw}

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        await self._deliver({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of the body."""
        await self._deliver({"type": "http.response.body", "body": data, "more_body": False})

    async def answer(
        self, status: int, body: bytes, *, content_type: str = JSON, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole response."""
        length = {"content-length": str(len(body))}
        head = self._head(status, content_type=content_type, headers={**length, **(headers or {})})
        await self._deliver(head, {"type": "http.response.body", "body": body, "more_body": False})

    async def fail(self, error: GatewayError) -> None:
        """Send an error as a whole response."""
        await self.answer(error.http_status, error_body(error), headers=error.headers)

    async def watch(self, receive: Receive) -> None:
        """Notice that the caller disconnects. Runs beside a stream until it is cancelled."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True

    async def _deliver(self, *messages: Message) -> None:
        if self.gone:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            with time_limit(self._patience):
                for message in messages:
                    await self._send(message)
        except (OSError, TimeoutError):
            self.gone = True
        self._patience -= loop.time() - began
