"""A call is tried until an answer begins: over its routes and fallback models in order, within bounds of attempts and time.

What cost nothing is tried again under the same hold. What may have cost something keeps its hold as a question, and is tried again
only if the settings allow it, under a hold of its own: two attempts that may cost are two rows under one request.
"""

import asyncio
import logging
import random
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings

from gateway.admission import reserve
from gateway.calls import Call
from gateway.errors import GatewayError, Unavailable, UpstreamFailed
from gateway.settlement import Fate, Settled, note_call, release
from gateway.upstreams.base import Again, Answer, CallFailed, Unreachable, UpstreamRequest
from gateway.upstreams.failures import UNCLEAR
from gateway.upstreams.openai_errors import DOWN
from gateway.upstreams.selection import Candidate
from ledger.event_ids import new_id

if TYPE_CHECKING:
    from gateway.process import Gateway

logger = logging.getLogger(__name__)
CUT = f"The gateway is shutting down. {UNCLEAR}"


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
    failure: CallFailed | None = None
    tried = 0
    while waiting and tried < settings.GATEWAY_ATTEMPTS:
        candidate, not_before = waiting.popleft()
        if max(not_before, loop.time()) >= deadline:
            break
        if not candidate.upstream.breaker.lets_through():
            continue
        try:
            if not_before > loop.time():
                await asyncio.sleep(not_before - loop.time())
            if failure is not None and failure.may_cost and not await _reserve_again(call, candidate, gateway):
                break
            tried += 1
            if call.candidate is not candidate:
                call.candidate = candidate
                note_call(call, "", gateway)
            return await _open(candidate, call)
        except CallFailed as failed:
            failure = failed
        except asyncio.CancelledError:
            _go_on_to_settle()
            failure = failure or CallFailed(Unavailable(CUT), again=Again.NOWHERE)
        _log(call, failure, tried)
        if failure.may_cost:
            note_call(call, "", gateway, questioned=True)
            if not settings.GATEWAY_RETRY_UNKNOWN:
                break
        if failure.again is Again.NOWHERE:
            break
        if failure.again is Again.HERE:
            waiting.append((candidate, loop.time() + max(failure.wait, _pause(tried))))
    failure = failure or CallFailed(UpstreamFailed(DOWN), again=Again.NOWHERE)
    settled = Settled(Fate.QUESTION) if failure.may_cost else await release(call, gateway)
    raise NoAnswer(failure.error, settled)


def _go_on_to_settle() -> None:
    """A shutdown ended this attempt (`Gateway.cut`); what follows is to be done all the same."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


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
    except asyncio.CancelledError:
        _go_on_to_settle()
        raise CallFailed(Unavailable(CUT), again=Again.NOWHERE, may_cost=True) from None
    breaker.reached()
    call.answer = answer
    return answer


async def _reserve_again(call: Call, candidate: Candidate, gateway: "Gateway") -> bool:
    """Reserve for one more attempt beside the one that may have cost something; False if that does not fit."""
    hold = msgspec.structs.replace(
        call.hold,
        id=new_id(call.hold.created_at),
        attempt=call.hold.attempt + 1,
        upstream=candidate.upstream.name,
        model_id=candidate.model.id,
    )
    try:
        refusal = await reserve(hold, writers=gateway.writers)
    except GatewayError:
        return False
    if refusal is None:
        call.hold = hold
    return refusal is None


def request_to(candidate: Candidate, request: UpstreamRequest) -> UpstreamRequest:
    """The request as this upstream gets it: the model under its name there, fallbacks only where it goes through them itself."""
    body = request.body
    if body.get("model") == candidate.name and "models" not in body:
        return request
    body = {name: value for name, value in body.items() if name != "models"} | {"model": candidate.name}
    if candidate.fallbacks:
        body["models"] = list(candidate.fallbacks)
    return msgspec.structs.replace(request, body=body)


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
