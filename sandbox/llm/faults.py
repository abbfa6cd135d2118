"""The faults of this upstream: which there are, where a call asks for one, what each makes of a stream or an answer."""

from dataclasses import replace
from typing import Any

import msgspec

from sandbox.faults import Fault, FaultQueue
from sandbox.llm import rendering
from sandbox.llm.connection import Request
from sandbox.llm.planning import Choice, Plan
from sandbox.llm.rendering import DONE, PROCESSING, Events

STATUSES = (400, 401, 402, 403, 404, 408, 429, 500, 502, 503)
NAMES = (
    *(f"status-{status}" for status in STATUSES),
    "garbage",
    "hang-before-headers",
    "hang-mid-stream",
    "drop-mid-stream",
    "error-mid-stream",
    "usage-on-content-chunk",
    "no-usage",
    "zero-completion",
    "endless-line",
    "slow",
)
# What is left to do when a script has been sent.
FINISH, HANG, DROP, ENDLESS = "finish", "hang", "drop", "endless"
# After these the upstream calls the generation failed and bills what it delivered.
FAILING = ("garbage", "error-mid-stream")
_ENDINGS = {"hang-mid-stream": HANG, "drop-mid-stream": DROP, "endless-line": ENDLESS}
_NOT_EVENTS = b'data: {"choices": [{"delta": \n\n\xff\xfe no field at all\n\ndata: 42\n\n'
_NOT_JSON = b'<html><body>upstream connect error</body></html>{"id": '


def new_queue() -> FaultQueue:
    return FaultQueue(known=NAMES)


def fault_of(request: Request, body: dict[str, Any], queue: FaultQueue) -> Fault | None:
    """The fault asked for by header, by `metadata.sandbox_fault`, or waiting in the queue for this path."""
    asked = request.headers.get("x-sandbox-fault")
    metadata = body.get("metadata")
    if not asked and isinstance(metadata, dict):
        asked = metadata.get("sandbox_fault")
    return queue.parse(asked) if asked else queue.take(where=request.path)


def change_plan(plan: Plan, fault: Fault) -> Plan:
    if fault.name != "zero-completion":
        return plan
    usage = replace(plan.usage, completion_tokens=0, reasoning_tokens=0, free=True)
    return replace(plan, usage=usage, choices=[Choice("", "error")])


def stream_script(events: Events, fault: Fault | None) -> tuple[list[bytes], str]:
    """The events to send, and what to do after them."""
    name = fault.name if fault else ""
    half = [PROCESSING, *events.content[: max(1, len(events.content) // 2)]]
    if name in _ENDINGS:
        return half, _ENDINGS[name]
    if name == "garbage":
        return [*half, _NOT_EVENTS], FINISH
    if name == "error-mid-stream":
        return [*half, events.failed or _error_event(events)], FINISH
    if name == "no-usage":
        ending = [events.without_usage] if events.without_usage else []
        return [PROCESSING, *events.content, *events.finish, *ending, DONE], FINISH
    if name == "usage-on-content-chunk" and events.usage and events.finish:
        last = _decoded(events.content[-1]) | {"usage": _decoded(events.usage)["usage"]}
        return [PROCESSING, *events.content[:-1], rendering.event(last), *events.finish, DONE], FINISH
    return events.all(), FINISH


def answer_script(body: bytes, fault: Fault | None) -> tuple[bytes, str]:
    """The same for an answer that is not streamed: the bytes to send under 200, and what to do after them."""
    name = fault.name if fault else ""
    if name in _ENDINGS:
        return body[: len(body) // 2], _ENDINGS[name]
    if name == "garbage":
        return _NOT_JSON, FINISH
    if name == "error-mid-stream":
        return rendering.error(502, "Provider disconnected unexpectedly"), FINISH
    return body, FINISH


def _decoded(event: bytes) -> Any:
    return msgspec.json.decode(event[len(b"data: ") :])


def _error_event(events: Events) -> bytes:
    frame = {key: value for key, value in _decoded(events.finish[0]).items() if key != "choices"}
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
    error = {"code": "server_error", "message": "Provider disconnected unexpectedly", "metadata": {}}
    return rendering.event({**frame, "error": error, "choices": [choice]})
