"""An admitted call is forwarded and its answer handed back (the walk of ARCHITECTURE.md). Its hold is committed by now; its usage
is committed before the last byte goes out.

`forward` runs to its end even if the caller leaves: what the upstream has begun, it bills.
"""

import logging

from starlette.types import Receive

from gateway.attempts import NoAnswer, open_answer
from gateway.calls import Call
from gateway.client import Client
from gateway.errors import GatewayError, Unavailable, UpstreamFailed
from gateway.process import Gateway
from gateway.receipts import receipt_headers, shown_cost
from gateway.request_log import log_call
from gateway.settlement import Fate, note_call, settle
from gateway.streaming import forward_stream
from gateway.upstreams.base import Answer, AnswerCut
from gateway.upstreams.openai_answers import Observed, Unreadable
from gateway.upstreams.openai_errors import error_of_answer

logger = logging.getLogger(__name__)
BROKEN_OFF = "The model's provider broke off the answer. Please try again."
UNRECORDED = (
    "The answer is complete, but its usage could not be recorded, so it is withheld. Do not repeat the call at once."
)


async def forward(call: Call, client: Client, receive: Receive, gateway: Gateway) -> None:
    """Call the upstream, answer the caller, settle the hold, log one line."""
    with gateway.running(call):
        await _forward(call, client, receive, gateway)


async def _forward(call: Call, client: Client, receive: Receive, gateway: Gateway) -> None:
    observed = Observed()
    try:
        answer = await open_answer(call, gateway)
    except NoAnswer as failed:
        await client.fail(failed.error)
        log_call(call, observed, failed.settled, client, error=failed.error)
        return
    observed.generation_id = answer.generation_id
    if call.ask.streamed and answer.is_stream:
        await forward_stream(call, answer, observed, client, receive, gateway)
    else:
        await _forward_whole(call, answer, observed, client, gateway)


async def _forward_whole(call: Call, answer: Answer, observed: Observed, client: Client, gateway: Gateway) -> None:
    if not answer.is_complete():
        note_call(call, answer.generation_id, gateway)
    error: GatewayError | None = None
    body, delivered = b"", True
    try:
        body = await answer.read()
        delivered = call.dialect.take(observed, body).delivers
        if observed.error is not None and not delivered:
            error = error_of_answer(observed.error, secrets=call.candidate.upstream.secrets)
    except (AnswerCut, Unreadable) as broken:
        logger.warning("answer unusable", extra={"request_id": call.request_id, "reason": str(broken) or "not JSON"})
        error = UpstreamFailed(BROKEN_OFF, code="upstream_error")
    finally:
        await answer.close()
    settled = await settle(call, observed, gateway, delivered=delivered)
    if error is None and settled.fate is Fate.UNRECORDED:
        error = Unavailable(UNRECORDED, retry=False)
    if error is None:
        shown = call.dialect.whole(body, call.ask, cost=shown_cost(call, settled))
        await client.answer(200, shown, headers=receipt_headers(call))
    else:
        await client.fail(error)
    log_call(call, observed, settled, client, error=error)
