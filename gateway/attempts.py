"""A call is tried until an answer begins: over its routes and fallback models in order, within bounds of attempts and time.

What cost nothing is tried again under the same hold. What may have cost something keeps its hold as a question, and is tried again
only if the settings allow it, under a hold of its own: two attempts that may cost are two rows under one request.
"""

import asyncio
import logging
import random
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings

from gateway.admission import reserve
from gateway.calls import Call
from gateway.errors import GatewayError, UpstreamFailed
from gateway.settlement import Fate, Settled, note_call, release
from gateway.upstreams.base import Again, Answer, CallFailed, Unreachable, UpstreamRequest
from gateway.upstreams.openai_errors import DOWN
from gateway.upstreams.selection import Candidate
from ledger.event_ids import new_id

if TYPE_CHECKING:
    from gateway.process import Gateway

logger = logging.getLogger(__name__)


class NoAnswer(Exception):
    """No attempt got an answer. `error` is for the caller; `settled` is what became of the last hold."""

    def __init__(self, error: GatewayError, settled: Settled) -> None:
        super().__init__(error.message)
        self.error = error
        self.settled = settled


async def open_answer(call: Call, gateway: "Gateway") -> Answer:
    """The first answer that begins; `call.candidate` then says whose it is. Raises NoAnswer, when the hold is settled."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.GATEWAY_RETRY_SECONDS
    waiting = deque((candidate, 0.0) for candidate in call.candidates)
    failure = CallFailed(UpstreamFailed(DOWN), again=Again.NOWHERE)
    tried = 0
    while waiting and tried < settings.GATEWAY_ATTEMPTS:
        candidate, not_before = waiting.popleft()
        if max(not_before, loop.time()) >= deadline:
            break
        if not candidate.upstream.breaker.lets_through():
            continue
        await asyncio.sleep(max(0.0, not_before - loop.time()))
        tried += 1
        if call.candidate is not candidate:
            call.candidate = candidate
            note_call(call, "", gateway)
        try:
            return await _open(candidate, call)
        except CallFailed as failed:
            failure = failed
        _log(call, failure, tried)
        if failure.may_cost:
            await _leave_question(call, failure, gateway)
        if failure.again is Again.NOWHERE:
            break
        if failure.again is Again.HERE:
            waiting.append((candidate, loop.time() + max(failure.wait, _pause(tried))))
    settled = Settled(Fate.QUESTION) if failure.may_cost else await release(call, gateway)
    raise NoAnswer(failure.error, settled)


async def _open(candidate: Candidate, call: Call) -> Answer:
    breaker = candidate.upstream.breaker
    try:
        answer = await candidate.upstream.open(request_to(candidate, call.request))
    except Unreachable:
        breaker.failed()
        raise
    except CallFailed:
        breaker.reached()
        raise
    breaker.reached()
    return answer


async def _leave_question(call: Call, failure: CallFailed, gateway: "Gateway") -> None:
    """The hold becomes a question. Raises NoAnswer unless another attempt is allowed and its worst case is reserved."""
    note_call(call, "", gateway, questioned=True)
    no_more = NoAnswer(failure.error, Settled(Fate.QUESTION))
    if not settings.GATEWAY_RETRY_UNKNOWN or failure.again is Again.NOWHERE:
        raise no_more
    hold = replace(call.hold, id=new_id(call.hold.created_at), attempt=call.hold.attempt + 1)
    try:
        refusal = await reserve(hold, writers=gateway.writers)
    except GatewayError:
        raise no_more from None
    if refusal is not None:
        raise no_more
    call.hold = hold


def request_to(candidate: Candidate, request: UpstreamRequest) -> UpstreamRequest:
    """The request as this upstream gets it: the model under its name there, fallbacks only where it goes through them itself."""
    body = request.body
    if body.get("model") == candidate.name and "models" not in body:
        return request
    body = {name: value for name, value in body.items() if name != "models"} | {"model": candidate.name}
    if candidate.fallbacks:
        body["models"] = list(candidate.fallbacks)
    return replace(request, body=body)


def _pause(tried: int) -> float:
    return float(settings.GATEWAY_RETRY_PAUSE * 2 ** (tried - 1) * random.uniform(0.5, 1.5))


def _log(call: Call, failure: CallFailed, tried: int) -> None:
    logger.warning(
        "attempt failed",
        extra={
            "request_id": call.request_id,
            "upstream": call.candidate.upstream.name,
            "model": call.candidate.model.slug,
            "tried": tried,
            "code": failure.error.code_text,
            "may_cost": failure.may_cost,
        },
    )
