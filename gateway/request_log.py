"""One structured line a request: ids, model, counts, times, and how it ended. Never what was said, and no key."""

import logging

from gateway.calls import Call
from gateway.client import Client
from gateway.errors import GatewayError
from gateway.settlement import Settled
from gateway.upstreams.openai_answers import Observed

logger = logging.getLogger("gateway.requests")


def log_refused(error: GatewayError, *, request_id: str, endpoint: str) -> None:
    """A request that was refused before it became a call."""
    logger.info(
        "refused",
        extra={"request_id": request_id, "endpoint": endpoint, "status": error.http_status, "code": error.code_text},
    )


def log_call(call: Call, observed: Observed, settled: Settled, client: Client, *, error: GatewayError | None) -> None:
    """A call that was admitted, whatever became of it."""
    counts = observed.usage.counts if observed.usage else None
    hold, event = str(call.hold_id), settled.event_id
    logger.info(
        "call",
        extra={
            "request_id": call.request_id,
            "organization": call.caller.identity.organization_slug,
            "api_key_id": call.caller.identity.api_key_id,
            "endpoint": call.request.endpoint,
            "model": call.model.slug,
            "streamed": call.ask.streamed,
            "status": client.status,
            "ending": error.code_text if error else "complete",
            "client_left": client.gone,
            "hold_id": hold,
            "fate": settled.fate,
            "event_id": hold if event == call.hold_id else str(event) if event else None,
            "generation_id": observed.generation_id or None,
            "prompt_tokens": counts.prompt_tokens if counts else None,
            "completion_tokens": counts.completion_tokens if counts else None,
            "first_token_ms": call.first_token_ms,
            "ms": call.latency_ms,
        },
    )
