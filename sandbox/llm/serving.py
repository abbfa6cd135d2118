"""Takes a generation's request: looks for a fault, plans the answer, opens its entry in the bill, has it sent."""

import time
from typing import Any

import msgspec

from sandbox.faults import Fault, FaultQueue, UnknownFaultError
from sandbox.llm import faults, planning, rendering, responses, tokens
from sandbox.llm.bill import Bill, Generation
from sandbox.llm.connection import Connection, Reply, Request, response
from sandbox.llm.planning import BadRequestError, Plan, Usage
from sandbox.llm.rendering import Form
from sandbox.llm.sending import Sender

_KEPT_PLANS = 256
_KEPT_BODY_BYTES = 4096


class Generations:
    """The endpoints that generate something: chat, completions, responses, embeddings."""

    def __init__(self, *, bill: Bill, queue: FaultQueue, sender: Sender, openai_usage: bool) -> None:
        self._bill = bill
        self._queue = queue
        self._sender = sender
        self._openai_usage = openai_usage
        self._plans: dict[tuple[Form, bytes], Plan] = {}

    def chat(self, request: Request, connection: Connection) -> Reply:
        return self._answer(request, connection, Form(chat=True, openai_usage=self._openai_usage))

    def completion(self, request: Request, connection: Connection) -> Reply:
        return self._answer(request, connection, Form(chat=False, openai_usage=self._openai_usage))

    def respond(self, request: Request, connection: Connection) -> Reply:
        return self._answer(request, connection, Form(chat=True, openai_usage=self._openai_usage, response=True))

    def _answer(self, request: Request, connection: Connection, form: Form) -> Reply:
        try:
            body = decode(request.body)
            fault = faults.fault_of(request, body, self._queue)
            if fault and fault.name.startswith("status-"):
                return error_response(fault)
            plan = self._plan(request.body, body, form)
        except (BadRequestError, UnknownFaultError) as error:
            return response(rendering.error(400, str(error)), status=400)
        if fault:
            plan = faults.change_plan(plan, fault)
        generation = self._open(request, plan.model, plan.usage, streamed=plan.stream, fault=fault)
        created = int(generation.created)
        if plan.stream:
            return self._sender.send_stream(connection, generation, plan, form, fault)
        with_usage = not (fault and fault.name == "no-usage")
        render = responses.whole if form.response else rendering.whole
        answer = render(plan, generation_id=generation.id, created=created, form=form, with_usage=with_usage)
        return self._sender.send_whole(connection, generation, answer, plan.choices[0].finish_reason, fault)

    def embed(self, request: Request, connection: Connection) -> Reply:
        try:
            body = decode(request.body)
            fault = faults.fault_of(request, body, self._queue)
            if fault and fault.name.startswith("status-"):
                return error_response(fault)
            model = planning.model_of(body)
        except (BadRequestError, UnknownFaultError) as error:
            return response(rendering.error(400, str(error)), status=400)
        inputs = body.get("input")
        items = inputs if isinstance(inputs, list) and inputs and not isinstance(inputs[0], int) else [inputs]
        dimensions = body.get("dimensions") or rendering.DEFAULT_DIMENSIONS
        if not inputs or not isinstance(dimensions, int) or not 1 <= dimensions <= rendering.MAX_DIMENSIONS:
            return response(rendering.error(400, "input or dimensions cannot be used"), status=400)
        usage = Usage(tokens.count_prompt(inputs))
        generation = self._open(request, model, usage, streamed=False, fault=fault)
        answer = rendering.embeddings(
            items,
            model=model,
            prompt_tokens=usage.prompt_tokens,
            dimensions=dimensions,
            as_base64=body.get("encoding_format") == "base64",
            with_usage=not (fault and fault.name == "no-usage"),
        )
        return self._sender.send_whole(connection, generation, answer, None, fault)

    def _plan(self, raw: bytes, body: dict[str, Any], form: Form) -> Plan:
        """Equal bodies have equal plans, so a benchmark's repeated request is planned once."""
        plan = self._plans.get((form, raw))
        if plan is None:
            make = planning.plan_chat if form.chat else planning.plan_completion
            if form.response:
                make = responses.plan_response
            try:
                plan = make(body, words=self._sender.pace.chunks)
            except BadRequestError:
                raise
            except (TypeError, ValueError, AttributeError, LookupError) as error:
                # Real upstreams check every field; here, what the planner stumbles over is a field of a wrong form.
                raise BadRequestError("A field of the body has a form that cannot be read") from error
            if len(raw) <= _KEPT_BODY_BYTES:
                if len(self._plans) >= _KEPT_PLANS:
                    self._plans.clear()
                self._plans[form, raw] = plan
        return plan

    def _open(self, request: Request, model: str, usage: Usage, *, streamed: bool, fault: Fault | None) -> Generation:
        generation = Generation(
            id=planning.new_id(),
            model=model,
            endpoint=request.path.removeprefix("/api"),
            streamed=streamed,
            created=time.time(),
            usage=usage,
            fault=fault.name if fault else "",
        )
        self._bill.add(generation)
        return generation


def decode(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRequestError("The body is not valid JSON") from None
    if not isinstance(body, dict):
        raise BadRequestError("The body is not a JSON object")
    return body


def error_response(fault: Fault) -> bytes:
    status = int(fault.name.removeprefix("status-"))
    headers: tuple[tuple[str, str], ...] = ()
    if status in (429, 503):
        headers = (("Retry-After", fault.argument or "1"),)
    body = rendering.error(status, f"Ordered fault {status}", fault=fault.name)
    return response(body, status=status, headers=headers)
