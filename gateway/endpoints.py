"""The routes' own code: take a request, admit it, have it forwarded, answer errors in OpenAI's shape."""

import asyncio

import msgspec
from django.utils import timezone
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.admission import admit, identify
from gateway.calls import Call
from gateway.client import Client
from gateway.dialects.base import Dialect
from gateway.errors import GatewayError, MethodNotAllowed, Unavailable, UnknownRoute, error_body
from gateway.forwarding import forward
from gateway.process import Gateway
from gateway.request_bodies import CallerLeft
from gateway.request_log import log_refused
from gateway.sold import describe, find_sold, may_use, models_on_sale
from ledger.event_ids import new_id

DEFECT = GatewayError("The gateway failed. Please try again.")


class Generation:
    """An ASGI endpoint that has the upstream generate something, in the endpoint's own language."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway: Gateway = scope["app"].state.gateway
        request_id = new_request_id()
        client = Client(send, request_id=request_id)
        try:
            _check_ready(gateway)
            call = await admit(
                receive, _headers_of(scope), dialect=self._dialect, request_id=request_id, gateway=gateway
            )
        except CallerLeft:
            return
        except GatewayError as error:
            await client.fail(error)
            log_refused(error, request_id=request_id, endpoint=self._dialect.path)
            return
        except Exception:
            await client.fail(DEFECT)
            raise
        client.headers |= call.allowance.headers
        try:
            await asyncio.shield(gateway.spawn(_make(call, client, receive, gateway)))
        except asyncio.CancelledError:
            client.gone = True
            raise
        except Exception:
            if not client.started:
                await client.fail(DEFECT)
            raise


def _headers_of(scope: Scope) -> dict[str, str]:
    """By names in lower case, as ASGI has them; of a repeated one the first counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


async def _make(call: Call, client: Client, receive: Receive, gateway: Gateway) -> None:
    try:
        await forward(call, client, receive, gateway)
    finally:
        gateway.rates.correct(call.allowance, tokens=call.tokens_used)


async def list_models(request: Request) -> Response:
    """What the key may call now."""
    gateway, now = _gateway(request), timezone.now()
    caller = await identify(request.headers, gateway.keys, now=now)
    data = [describe(model) for model in models_on_sale(now=now) if may_use(model, caller=caller)]
    return _json({"object": "list", "data": data})


async def show_model(request: Request) -> Response:
    """One model that the key may call now."""
    gateway, now = _gateway(request), timezone.now()
    caller = await identify(request.headers, gateway.keys, now=now)
    return _json(describe(find_sold(request.path_params["slug"], caller=caller, now=now)))


async def answer_error(request: Request, error: Exception) -> Response:
    """A refusal as a response."""
    assert isinstance(error, GatewayError)
    request_id = new_request_id()
    log_refused(error, request_id=request_id, endpoint=request.url.path[:100])
    headers = {**error.headers, "x-request-id": request_id, "cache-control": "no-store"}
    return Response(error_body(error), error.http_status, headers=headers, media_type="application/json")


async def answer_http_error(request: Request, error: Exception) -> Response:
    """An unknown path or a wrong method."""
    if getattr(error, "status_code", 404) == 405:
        allowed = getattr(error, "headers", None) or {}
        wrong = MethodNotAllowed(f"{request.method} is not allowed on this URL.", headers=allowed)
        return await answer_error(request, wrong)
    return await answer_error(
        request,
        UnknownRoute(
            "There is no such endpoint. The base URL ends with /v1; it offers /chat/completions, /completions, /responses, "
            "/embeddings and /models."
        ),
    )


async def answer_defect(request: Request, error: Exception) -> Response:
    """A defect of ours: logged by the server, shown as nothing but what it is."""
    return await answer_error(request, DEFECT)


def new_request_id() -> str:
    """Names one request in headers, logs, holds and events."""
    return f"req_{new_id(timezone.now()).hex}"


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    _check_ready(gateway)
    return gateway


def _check_ready(gateway: Gateway) -> None:
    if not gateway.is_ready:
        raise Unavailable("The gateway is starting or stopping. Please try again in a moment.")


def _json(value: object) -> Response:
    headers = {"x-request-id": new_request_id(), "cache-control": "no-store"}
    return Response(msgspec.json.encode(value), headers=headers, media_type="application/json")
