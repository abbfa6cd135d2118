"""OpenAI's Responses over the same plans: the body read as a chat, the plan written as a response or as its typed events."""

from typing import Any

import msgspec

from sandbox.llm import answers, planning, rendering
from sandbox.llm.planning import BadRequestError, Choice, Plan
from sandbox.llm.rendering import Events, Form

_encode = msgspec.json.Encoder(decimal_format="number").encode
_ROLES = {"function_call_output": "tool", "custom_tool_call_output": "tool"}


def plan_response(body: dict[str, Any], *, words: int = 0) -> Plan:
    """The plan of a response: its input read as the messages of a chat."""
    return planning.plan_chat(_as_chat(body), words=words)


def _as_chat(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("input")
    if not isinstance(given, str | list) or not given:
        raise BadRequestError('Input required: specify "input"')
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else [_message(item) for item in given]
    if body.get("instructions"):
        messages.insert(0, {"role": "system", "content": body["instructions"]})
    chat: dict[str, Any] = {
        name: body[name] for name in ("model", "stream", "metadata", "reasoning", "models") if name in body
    }
    chat |= {"messages": messages, "tools": [_tool(tool) for tool in body.get("tools") or []]}
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    choice = body.get("tool_choice")
    if choice is not None:
        chat["tool_choice"] = {"function": choice} if isinstance(choice, dict) else choice
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": {"schema": form.get("schema")}}
    elif form.get("type") == "json_object":
        chat["response_format"] = form
    return chat


def _message(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind in _ROLES:
        return {"role": "tool", "content": item.get("output")}
    if kind == "function_call":
        return {"role": "assistant", "content": None, "tool_calls": [item]}
    return {"role": item.get("role", "assistant"), "content": item.get("content")}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": tool} if tool.get("type") == "function" else tool


def usage_fields(plan: Plan, *, form: Form) -> dict[str, Any]:
    usage = plan.usage
    fields: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if not form.openai_usage:
        fields["cost"] = sum(usage.costs(plan.model))
        fields["is_byok"] = False
        fields["cost_details"] = {"upstream_inference_cost": fields["cost"]}
    return fields


def whole(plan: Plan, *, generation_id: str, created: int, form: Form, with_usage: bool = True) -> bytes:
    """The body of a response that is not streamed."""
    return _encode(_finished(plan, generation_id=generation_id, created=created, form=form, with_usage=with_usage))


def _finished(plan: Plan, *, generation_id: str, created: int, form: Form, with_usage: bool) -> dict[str, Any]:
    """Completed, cut short by the limit, or failed."""
    choice = plan.choices[0]
    status = {"length": "incomplete", "error": "failed"}.get(choice.finish_reason, "completed")
    response = _frame(plan, generation_id=generation_id, created=created, status=status)
    if status != "failed":
        response["output"] = _items(choice, generation_id, status=status)
    if status == "incomplete":
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    if status == "failed":
        response["error"] = {"code": "server_error", "message": "The provider failed"}
    response["usage"] = usage_fields(plan, form=form) if with_usage else None
    return response


def _frame(plan: Plan, *, generation_id: str, created: int, status: str) -> dict[str, Any]:
    return {
        "id": generation_id,
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": plan.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "store": False,
        "usage": None,
    }


def _items(choice: Choice, generation_id: str, *, status: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if choice.reasoning:
        summary = [{"type": "summary_text", "text": choice.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{generation_id}", "summary": summary})
    if choice.function:
        called = {"call_id": answers.call_id(generation_id, 0), "name": choice.function, "arguments": choice.arguments}
        return [*items, {"type": "function_call", "id": f"fc_{generation_id}", "status": status, **called}]
    part = {"type": "output_text", "text": choice.text, "annotations": [], "logprobs": []}
    written = {"role": "assistant", "status": status, "content": [part]}
    return [*items, {"type": "message", "id": f"msg_{generation_id}", **written}]


def stream(plan: Plan, *, generation_id: str, created: int, form: Form, pieces: int) -> Events:
    """The typed events of a streamed response. The last of them carries the usage."""
    events = Events()
    frame = _frame(plan, generation_id=generation_id, created=created, status="in_progress")
    told: list[dict[str, Any]] = [
        {"type": f"response.{name}", "response": frame} for name in ("created", "in_progress")
    ]
    choice = plan.choices[0]
    for position, item in enumerate(_items(choice, generation_id, status="completed")):
        told += _told(item, position, pieces=pieces)
    events.content = [_event(event, number) for number, event in enumerate(told)]
    number = len(told)
    end = _finished(plan, generation_id=generation_id, created=created, form=form, with_usage=True)
    events.usage = _event({"type": f"response.{end['status']}", "response": end}, number)
    events.without_usage = _event({"type": f"response.{end['status']}", "response": end | {"usage": None}}, number)
    broken = {"status": "failed", "error": {"code": "server_error", "message": "Provider disconnected unexpectedly"}}
    events.failed = _event({"type": "response.failed", "response": frame | broken}, number)
    return events


def _told(item: dict[str, Any], position: int, *, pieces: int) -> list[dict[str, Any]]:
    """How a stream tells of one item: begun, piece by piece, done."""
    at = {"item_id": item["id"], "output_index": position}
    if item["type"] == "function_call":
        begun = item | {"arguments": "", "status": "in_progress"}
        name = "response.function_call_arguments"
        told = [
            {"type": f"{name}.delta", **at, "delta": piece} for piece in rendering.split(item["arguments"], pieces or 4)
        ]
        told.append({"type": f"{name}.done", **at, "name": item["name"], "arguments": item["arguments"]})
    elif item["type"] == "message":
        [part] = item["content"]
        begun = item | {"content": [], "status": "in_progress"}
        at_part = {**at, "content_index": 0}
        told = [{"type": "response.content_part.added", **at_part, "part": part | {"text": ""}}]
        for piece in rendering.split(part["text"], pieces):
            told.append({"type": "response.output_text.delta", **at_part, "delta": piece, "logprobs": []})
        told.append({"type": "response.output_text.done", **at_part, "text": part["text"], "logprobs": []})
        told.append({"type": "response.content_part.done", **at_part, "part": part})
    else:
        begun, told = item | {"summary": []}, []
    added = {"type": "response.output_item.added", "output_index": position, "item": begun}
    return [added, *told, {"type": "response.output_item.done", "output_index": position, "item": item}]


def _event(event: dict[str, Any], number: int) -> bytes:
    return f"event: {event['type']}\ndata: ".encode() + _encode(event | {"sequence_number": number}) + b"\n\n"
