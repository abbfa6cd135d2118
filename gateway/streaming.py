"""A streamed answer: passed on event by event as it arrives, read to its end whether or not the caller stays.

Nothing is held back but the end: the usage event is committed first, then the caller gets what its endpoint ends a stream with
(`dialects/`: a usage chunk and `[DONE]`, or the event that completes a response). An error after the first byte becomes an event
that OpenAI's clients raise.
"""

import asyncio
import logging
from contextlib import aclosing

from django.conf import settings
from starlette.types import Receive

from gateway.calls import Call
from gateway.client import EVENT_STREAM, Client
from gateway.errors import GatewayError, Unavailable, UpstreamFailed
from gateway.process import Gateway
from gateway.receipts import receipt_headers, shown_cost
from gateway.request_log import log_call
from gateway.settlement import Fate, Settled, note_call, settle
from gateway.sse import Event, EventReader, EventTooLong
from gateway.upstreams.base import Answer, AnswerCut
from gateway.upstreams.openai_answers import Observed, Unreadable
from gateway.upstreams.openai_errors import error_of_answer
from gateway.upstreams.selection import EVENT_BYTES

logger = logging.getLogger(__name__)
SECONDS_AFTER_FAILURE = 10.0
"""How long an answer that has failed is read on, in case its usage still comes."""
SECONDS_TO_LINGER = 2.0
"""After the last event the upstream still ends its response; a connection closed before that looks to it like a caller who left."""
HEADERS = {"x-accel-buffering": "no"}
BROKEN_OFF = "The model's provider broke off the answer."
UNRECORDED = "The answer is complete, but its usage could not be recorded. Do not repeat the call at once."


async def forward_stream(
    call: Call, answer: Answer, observed: Observed, client: Client, receive: Receive, gateway: Gateway
) -> None:
    """Pass a stream on, settle, end it, log one line."""
    note_call(call, answer.generation_id, gateway)
    watcher = asyncio.create_task(client.watch(receive))
    relay = Relay(call, observed, client, gateway)
    try:
        await relay.run(answer)
        if not answer.generation_id:
            note_call(call, observed.generation_id, gateway)
        settled = await settle(call, observed, gateway, delivered=relay.delivered)
        await relay.end(settled)
    finally:
        watcher.cancel()
        gateway.spawn(answer.close(linger=SECONDS_TO_LINGER if relay.done else 0))
    log_call(call, observed, settled, client, error=relay.failure)


class Relay:
    """The state of one stream between upstream and caller."""

    def __init__(self, call: Call, observed: Observed, client: Client, gateway: Gateway) -> None:
        self._call = call
        self._observed = observed
        self._client = client
        self._secrets = call.candidate.upstream.secrets
        self._reader = EventReader(limit=EVENT_BYTES)
        self.done = False
        self._held: Event | None = None
        self._failed: Event | None = None
        self._told = False
        self.failure: GatewayError | None = None
        self.delivered = False

    async def run(self, answer: Answer) -> None:
        """Read the stream to its end. Afterwards `failure` says whether it is an end that the caller can use."""
        try:
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    await self._pass_on(self._reader.feed(chunk))
                    if self.done:
                        return
                    if self.failure is not None:
                        answer.hurry(SECONDS_AFTER_FAILURE)
                    elif self._client.gone:
                        answer.hurry(settings.GATEWAY_DETACHED_SECONDS)
            rest = self._reader.rest()
            if rest is not None:
                await self._pass_on([rest])
            reason = "ended early"
        except AnswerCut as cut:
            reason = str(cut)
        except EventTooLong:
            reason = "event too long"
        if not self.done and not self._observed.finish_reason and self.failure is None:
            logger.warning("stream broken", extra={"request_id": self._call.request_id, "reason": reason})
            self.failure = UpstreamFailed(BROKEN_OFF, code="upstream_error")

    async def end(self, settled: Settled) -> None:
        """After the commit: what ends the stream, or the error."""
        if self.failure is None and settled.fate is Fate.UNRECORDED:
            self.failure = Unavailable(UNRECORDED, retry=False)
        if self.failure is None:
            await self._start()
            cost = shown_cost(self._call, settled)
            await self._client.end(self._call.dialect.ending(self._held, self._call.ask, cost=cost))
        elif self._told:
            await self._client.end()
        elif self._client.started:
            await self._client.end(self._call.dialect.broken(self.failure, self._failed))
        else:
            await self._client.fail(self.failure)

    async def _pass_on(self, events: list[Event]) -> None:
        out = b"".join([piece for event in events if (piece := self._piece(event))])
        if self._told:
            return
        if out:
            await self._start()
            await self._client.write(out)
        if self.failure is not None and self._client.started:
            self._told = True
            await self._client.write(self._call.dialect.broken(self.failure, self._failed))

    async def _start(self) -> None:
        if not self._client.started:
            await self._client.start(200, content_type=EVENT_STREAM, headers={**HEADERS, **receipt_headers(self._call)})

    def _piece(self, event: Event) -> bytes:
        """What of an event the caller gets now."""
        if self.done or (self.failure is not None and event.data is None):
            return b""
        if event.data is None:
            return event.raw
        dialect = self._call.dialect
        try:
            seen = dialect.take(self._observed, event.data)
        except Unreadable:
            self.failure = self.failure or UpstreamFailed(BROKEN_OFF, code="upstream_error")
            return b""
        self.done = seen.ends
        if self._observed.error is not None and self.failure is None:
            self.failure, self._failed = error_of_answer(self._observed.error, secrets=self._secrets), event
        if self.failure is not None:
            return b""
        if seen.delivers:
            self._call.note_first_token()
            self.delivered = True
        if seen.held:
            self._held = event
        return dialect.piece(event, seen, self._call.ask)
