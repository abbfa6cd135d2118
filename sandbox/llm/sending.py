"""Sends an answer at the wanted pace or plays its fault, and closes the entry in the bill however it ended."""

import asyncio
from dataclasses import dataclass, replace

from sandbox.faults import Fault
from sandbox.llm import faults, rendering, responses
from sandbox.llm.bill import Generation
from sandbox.llm.connection import LAST_CHUNK, Connection, Reply, chunk, response, stream_head
from sandbox.llm.planning import Plan, Usage
from sandbox.llm.rendering import Form

HANG_SECONDS = 600.0
ENDLESS_BYTES = 64 * 1024 * 1024
_PIECE = b"x" * 16 * 1024


@dataclass(slots=True, frozen=True)
class Pace:
    """How fast and in how many pieces to answer, and how to bill a caller who leaves; times in seconds."""

    delay: float = 0.0
    chunk_delay: float = 0.0
    chunks: int = 0
    coalesce: int = 1
    bill_delivered_only: bool = False


class Sender:
    """The last step of a generation."""

    def __init__(self, *, pace: Pace) -> None:
        self.pace = pace

    def send_whole(
        self, connection: Connection, generation: Generation, answer: bytes, reason: str | None, fault: Fault | None
    ) -> Reply:
        headers = (("X-Generation-Id", generation.id),)
        if not fault and not self.pace.delay:
            generation.close("completed", finish_reason=reason)
            return response(answer, headers=headers)
        return self._send_whole_slowly(connection, generation, answer, reason, fault)

    async def _send_whole_slowly(
        self, connection: Connection, generation: Generation, answer: bytes, reason: str | None, fault: Fault | None
    ) -> None:
        headers = (("X-Generation-Id", generation.id),)
        try:
            await self._wait_before_headers(generation, fault)
            body, ending = faults.answer_script(answer, fault)
            if ending == faults.FINISH:
                await connection.send(response(body, headers=headers))
                _close(generation, reason, fault)
            else:
                await connection.send(stream_head(content_type="application/json", headers=headers) + chunk(body))
                await self._play_ending(connection, generation, ending)
        finally:
            generation.close("cancelled", finish_reason=None)

    async def send_stream(
        self, connection: Connection, generation: Generation, plan: Plan, form: Form, fault: Fault | None
    ) -> None:
        render = responses.stream if form.response else rendering.stream
        events = render(
            plan,
            generation_id=generation.id,
            created=int(generation.created),
            form=form,
            pieces=self.pace.chunks,
        )
        script, ending = faults.stream_script(events, fault)
        try:
            await self._wait_before_headers(generation, fault)
            await connection.send(stream_head(headers=(("X-Generation-Id", generation.id),)))
            await self._send_events(connection, generation, script, fault)
            if ending == faults.FINISH:
                await connection.send(LAST_CHUNK)
                _close(generation, plan.choices[0].finish_reason, fault)
            else:
                await self._play_ending(connection, generation, ending)
        finally:
            generation.close("cancelled", finish_reason=None)
            cut_short = generation.state == "cancelled" and self.pace.bill_delivered_only
            if cut_short or _fails(fault):
                generation.usage = _delivered(generation, of=len(events.content))

    async def _send_events(
        self, connection: Connection, generation: Generation, script: list[bytes], fault: Fault | None
    ) -> None:
        delay = fault.seconds(0.3) if fault and fault.name == "slow" else self.pace.chunk_delay
        step = self.pace.coalesce
        for start in range(0, len(script), step):
            await connection.send(b"".join([chunk(event) for event in script[start : start + step]]))
            generation.events_sent = min(len(script), start + step)
            if delay:
                await asyncio.sleep(delay)

    async def _wait_before_headers(self, generation: Generation, fault: Fault | None) -> None:
        if fault and fault.name == "hang-before-headers":
            generation.usage = replace(generation.usage, completion_tokens=0, reasoning_tokens=0, free=True)
            await asyncio.sleep(HANG_SECONDS)
        if fault and fault.name == "slow" and not generation.streamed:
            await asyncio.sleep(fault.seconds(2.0))
        if self.pace.delay:
            await asyncio.sleep(self.pace.delay)

    async def _play_ending(self, connection: Connection, generation: Generation, ending: str) -> None:
        """The upstream has generated the whole answer and bills it, whatever it does to the connection."""
        if ending == faults.HANG:
            await asyncio.sleep(HANG_SECONDS)
        if ending == faults.ENDLESS:
            await connection.send(chunk(b'data: {"choices": "'))
            for _ in range(ENDLESS_BYTES // len(_PIECE)):
                await connection.send(chunk(_PIECE))
                await asyncio.sleep(0.001)
        generation.close("failed", finish_reason="error")
        connection.drop()


def _fails(fault: Fault | None) -> bool:
    return fault is not None and fault.name in faults.FAILING


def _close(generation: Generation, reason: str | None, fault: Fault | None) -> None:
    if _fails(fault):
        generation.close("failed", finish_reason="error")
    else:
        generation.close("completed", finish_reason=reason)


def _delivered(generation: Generation, *, of: int) -> Usage:
    """The usage for the content events that went out; the first event is a comment."""
    usage = generation.usage
    share = min(max(0, generation.events_sent - 1), of) * usage.completion_tokens // of
    return replace(usage, completion_tokens=share, reasoning_tokens=min(usage.reasoning_tokens, share))
