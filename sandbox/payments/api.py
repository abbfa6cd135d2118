"""The API's door: authenticates, plays faults, honours idempotency keys, and runs the call in one transaction."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from sandbox.faults import Fault, FaultQueue
from sandbox.payments import routes
from sandbox.payments.books import Object, expand, new_id, public
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError
from sandbox.payments.events import API_VERSION
from sandbox.payments.forms import Params, decode
from sandbox.payments.idempotency import Answer, Keys, fingerprint_of
from sandbox.process import log

STATUS_FAULTS = ("status-429", "status-500", "status-503")
CALL_FAULTS = (
    *STATUS_FAULTS,
    "sticky-500",
    "sticky-500-committed",
    "accept-then-drop",
    "accept-then-hang",
    "drop",
    "slow",
)
WEBHOOK_FAULTS = ("delay-webhook", "repeat-webhook", "reorder-webhook", "drop-webhook")
HANG_SECONDS = 600.0


@dataclass(slots=True)
class Call:
    """One request, read."""

    method: str
    path: str
    text: str
    key: str | None
    request_id: str


class Api:
    """Answers everything under `/v1/`."""

    def __init__(self, *, desk: Desk, keys: Keys, queue: FaultQueue, secret_key: str) -> None:
        self._desk = desk
        self._keys = keys
        self._queue = queue
        self._secret_key = secret_key
        self._own_address = not desk.base_url

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = (
            request.query_string
            if request.method in ("GET", "DELETE")
            else (await request.read()).decode(errors="replace")
        )
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if self._own_address:
            self._desk.base_url = f"http://{request.host}"
        call = Call(request.method, request.path, text, key, new_id("req"))
        fault = self._fault_for(call)
        if fault and fault.name == "drop":
            return _drop(request)
        if fault and fault.name in STATUS_FAULTS:
            return self._respond(call, _broken(call, int(fault.name.removeprefix("status-"))))
        try:
            self._authenticate(request)
            answer, replayed = await self._answer(call, fault)
        except ApiError as error:
            answer, replayed = Answer(error.status, json.dumps(error.body), call.request_id), False
        if fault and fault.name == "accept-then-hang":
            await asyncio.sleep(fault.seconds(HANG_SECONDS))
        if fault and fault.name in ("accept-then-drop", "accept-then-hang"):
            return _drop(request)
        return self._respond(call, answer, replayed=replayed)

    def _fault_for(self, call: Call) -> Fault | None:
        """Look-ups fail only when a waiting fault names them, for example `GET /v1/payment_intents`."""
        where = f"{call.method} {call.path}"
        return self._queue.take(*CALL_FAULTS, where=where, named_only=call.method == "GET")

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value).decode().partition(":")[0]
            except ValueError:
                value = ""
        well = value == self._secret_key if self._secret_key else value.startswith(("sk_test_", "rk_test_"))
        if not well:
            message = "Invalid API key provided." if value else "You did not provide an API key."
            raise ApiError(message, status=401)

    async def _answer(self, call: Call, fault: Fault | None) -> tuple[Answer, bool]:
        """The answer, and whether it is a kept one. Between look-up and execution nothing else can use the key."""
        values = decode(call.text)
        fingerprint = fingerprint_of(call.method, call.path, values)
        if call.key:
            earlier = self._keys.earlier(call.key, fingerprint)
            if earlier:
                return earlier, True
        if not fault or fault.name != "slow":
            return self._execute(call, values, fingerprint, fault), False
        if call.key:
            self._keys.begin(call.key)
        try:
            await asyncio.sleep(fault.seconds(2.0))
            return self._execute(call, values, fingerprint, fault), False
        finally:
            if call.key:
                self._keys.end(call.key)

    def _execute(self, call: Call, values: dict[str, object], fingerprint: str, fault: Fault | None) -> Answer:
        found = routes.find(call.method, call.path.removeprefix("/v1/"))
        if found is None:
            raise ApiError(f"Unrecognized request URL ({call.method}: {call.path}).", status=404)
        function, ids = found
        desk, params = self._desk, Params(values)
        desk.journal.cause = {"id": call.request_id, "idempotency_key": call.key}
        try:
            with desk.books.transaction():
                answer = self._perform(call, partial(function, desk, params, *ids), params.texts("expand"), fault)
                if call.key:
                    self._keys.keep(call.key, fingerprint, answer)
                return answer
        except (ValueError, KeyError, TypeError, LookupError) as error:
            log("sandbox_error", path=call.path, error=type(error).__name__)
            return _broken(call, 500)
        finally:
            desk.journal.cause = {"id": None, "idempotency_key": None}

    def _perform(self, call: Call, function: Callable[[], Object], paths: list[str], fault: Fault | None) -> Answer:
        """The answer to keep. An error before the work began is raised, which undoes everything and keeps nothing."""
        if fault and fault.name == "sticky-500":
            return _broken(call, 500)
        try:
            shown = expand(self._desk.books, public(function()), paths)
        except ApiError as error:
            if not error.began:
                raise
            return Answer(error.status, json.dumps(error.body, ensure_ascii=False), call.request_id)
        if fault and fault.name == "sticky-500-committed":
            return _broken(call, 500)
        return Answer(200, json.dumps(shown, ensure_ascii=False), call.request_id)

    def _respond(self, call: Call, answer: Answer, *, replayed: bool = False) -> web.Response:
        headers = {"Request-Id": call.request_id, "Stripe-Version": API_VERSION}
        if call.key:
            headers["Idempotency-Key"] = call.key
        if replayed:
            headers |= {"Idempotent-Replayed": "true", "Original-Request": answer.request_id}
        return web.Response(text=answer.body, status=answer.status, content_type="application/json", headers=headers)


def _broken(call: Call, status: int) -> Answer:
    code = "rate_limit" if status == 429 else None
    error = ApiError(f"An ordered fault: {status}.", status=status, kind="api_error", code=code or "")
    return Answer(status, json.dumps(error.body), call.request_id)


def _drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer; whatever was committed stays committed."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
