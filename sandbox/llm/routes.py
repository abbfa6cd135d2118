"""Which path is answered by what; `/api/v1/…` (OpenRouter's prefix) and `/v1/…` are the same."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from sandbox.faults import Fault, FaultQueue, UnknownFaultError
from sandbox.llm import rendering
from sandbox.llm.bill import Bill
from sandbox.llm.connection import Connection, Handler, Reply, Request, response
from sandbox.llm.price_list import PriceList
from sandbox.llm.serving import Generations, error_response
from sandbox.process import log

_encode = msgspec.json.Encoder(decimal_format="number").encode
CREDITS_USD = 1000
OPEN_PATHS = ("/healthz", "/readyz", "/sandbox/faults", "/sandbox/bill", "/sandbox/models")


class Routes:
    """The upstream's front door."""

    def __init__(self, *, generations: Generations, bill: Bill, queue: FaultQueue, api_key: str) -> None:
        self._bill = bill
        self._queue = queue
        self._api_key = api_key
        self._price_list = PriceList()
        self._table: dict[str, dict[str, Handler]] = {
            "/v1/chat/completions": {"POST": generations.chat},
            "/v1/completions": {"POST": generations.completion},
            "/v1/responses": {"POST": generations.respond},
            "/v1/embeddings": {"POST": generations.embed},
            "/v1/models": {"GET": self._models},
            "/v1/generation": {"GET": _plain(self._generation)},
            "/v1/credits": {"GET": _plain(self._credits)},
            "/v1/activity": {"GET": _plain(self._activity)},
            "/sandbox/faults": {
                "GET": _plain(self._list_faults),
                "POST": _plain(self._order_faults),
                "DELETE": _plain(self._clear_faults),
            },
            "/sandbox/models": {"PUT": _plain(self._change_models), "DELETE": _plain(self._restore_models)},
            "/sandbox/bill": {"GET": _plain(self._show_bill), "DELETE": _plain(self._clear_bill)},
            "/healthz": {"GET": _plain(_well), "HEAD": _plain(_well)},
            "/readyz": {"GET": _plain(_well), "HEAD": _plain(_well)},
        }

    def handle(self, request: Request, connection: Connection) -> Reply:
        path = request.path.removeprefix("/api")
        methods = self._table.get(path)
        if methods is None:
            return response(rendering.error(404, "Not Found"), status=404)
        handler = methods.get(request.method)
        if handler is None:
            return response(rendering.error(405, "Method Not Allowed"), status=405)
        if not self._may_enter(request, path):
            return response(rendering.error(401, "No valid credentials found"), status=401)
        try:
            return handler(request, connection)
        except Exception as error:  # a defect of the stand-in must look like one, without the caller's text in the log
            log("sandbox_error", path=path, error=type(error).__name__)
            return response(rendering.error(500, "The stand-in failed"), status=500)

    def _may_enter(self, request: Request, path: str) -> bool:
        if not self._api_key or path in OPEN_PATHS:
            return True
        return request.headers.get("authorization") == f"Bearer {self._api_key}"

    def _models(self, request: Request, connection: Connection) -> Reply:
        async def send() -> None:
            body, etag = await asyncio.to_thread(self._price_list.answer)
            headers = (("ETag", etag), ("Cache-Control", "no-cache"))
            if request.headers.get("if-none-match") == etag:
                await connection.send(response(b"", status=304, headers=headers))
            else:
                await connection.send(response(body, headers=headers))

        fault = self._queue.take(where=request.path, named_only=True)
        return send() if fault is None else _failed(fault)

    def _change_models(self, request: Request) -> bytes:
        try:
            changes = msgspec.json.decode(request.body, type=dict[str, dict[str, Any] | None])
        except msgspec.DecodeError as error:
            return response(rendering.error(400, str(error)), status=400)
        self._price_list.change(changes)
        return response(b"{}")

    def _restore_models(self, request: Request) -> bytes:
        self._price_list.restore()
        return response(b"{}")

    def _generation(self, request: Request) -> bytes:
        def look_up() -> bytes:
            generation = self._bill.find(request.query.get("id", ""))
            if generation is None or generation.state == "running":
                return response(rendering.error(404, "Generation not found"), status=404)
            return response(_encode({"data": generation.as_lookup()}))

        return self._or_fault(request, look_up)

    def _credits(self, request: Request) -> bytes:
        data = {"total_credits": CREDITS_USD, "total_usage": self._bill.total_cost()}
        return self._or_fault(request, lambda: response(_encode({"data": data})))

    def _activity(self, request: Request) -> bytes:
        rows = self._bill.activity(day=request.query.get("date", ""))
        return self._or_fault(request, lambda: response(_encode({"data": rows})))

    def _or_fault(self, request: Request, answer: Callable[[], bytes]) -> bytes:
        """A look-up fails only when a waiting fault names its path: the others are meant for generations."""
        fault = self._queue.take(where=request.path, named_only=True)
        return answer() if fault is None else _failed(fault)

    def _list_faults(self, request: Request) -> bytes:
        return response(_encode({"waiting": self._queue.waiting(), "known": self._queue.known}))

    def _order_faults(self, request: Request) -> bytes:
        try:
            waiting = self._queue.order(msgspec.json.decode(request.body))
        except (msgspec.DecodeError, UnknownFaultError) as error:
            return response(rendering.error(400, str(error)), status=400)
        return response(_encode({"waiting": waiting}))

    def _clear_faults(self, request: Request) -> bytes:
        self._queue.clear()
        return response(_encode({"waiting": 0}))

    def _show_bill(self, request: Request) -> bytes:
        return response(_encode(self._bill.report()))

    def _clear_bill(self, request: Request) -> bytes:
        self._bill.clear()
        return response(_encode(self._bill.report()))


def _failed(fault: Fault) -> bytes:
    return error_response(fault) if fault.name.startswith("status-") else response(b'<html>{"data": ')


def _plain(answer: Callable[[Request], bytes]) -> Handler:
    return lambda request, connection: answer(request)


def _well(request: Request) -> bytes:
    return response(b'{"status":"ok"}')
