"""What tests and curious people look at and turn: the ledger, deliveries, keys, slow payments, and an overview page."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from html import escape

from aiohttp import web

from sandbox.payments import charging, checkout, disputes, ledger, webhooks
from sandbox.payments.books import Object, public
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError
from sandbox.payments.events import Endpoint
from sandbox.payments.hosted import DESK
from sandbox.payments.idempotency import Keys
from sandbox.payments.money import show
from sandbox.payments.words import WORDS
from sandbox.web import Texts, page

KEYS = web.AppKey("keys", Keys)
ENDPOINT = web.AppKey("endpoint", Endpoint)
SEOUL = timezone(timedelta(hours=9))
SETTLING_SECONDS = 0.2


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", show_overview)
    app.router.add_get("/sandbox/ledger", show_ledger)
    app.router.add_delete("/sandbox/state", wipe)
    app.router.add_delete("/sandbox/idempotency-keys", forget_keys)
    app.router.add_get("/sandbox/webhooks", show_webhooks)
    app.router.add_post("/sandbox/webhooks/resend", resend_webhooks)
    app.router.add_put("/sandbox/webhook-endpoint", set_endpoint)
    app.router.add_post("/sandbox/payment_intents/{id}/settle", settle)
    app.router.add_post("/sandbox/charges/{id}/dispute", dispute)
    app.router.add_post("/sandbox/disputes/{id}/end", end_dispute)


async def show_ledger(request: web.Request) -> web.Response:
    return web.json_response(ledger.report(request.app[DESK].books))


async def wipe(request: web.Request) -> web.Response:
    request.app[DESK].books.wipe()
    return web.json_response({"wiped": True})


async def forget_keys(request: web.Request) -> web.Response:
    return web.json_response({"forgotten": request.app[KEYS].forget()})


async def show_webhooks(request: web.Request) -> web.Response:
    endpoint = request.app[ENDPOINT]
    return web.json_response({"url": endpoint.url, "deliveries": webhooks.list_deliveries(request.app[DESK].books)})


async def resend_webhooks(request: web.Request) -> web.Response:
    """`{"event": "evt_…"}` delivers one again; an empty body, all that did not arrive."""
    fields = await _fields(request)
    count = webhooks.deliver_again(request.app[DESK].books, event=str(fields.get("event", "")))
    return web.json_response({"due": count})


async def set_endpoint(request: web.Request) -> web.Response:
    """`{"url": …, "secret": …}`: where webhooks go from now on; an empty URL stops them."""
    fields = await _fields(request)
    endpoint = request.app[ENDPOINT]
    endpoint.url = str(fields.get("url", ""))
    endpoint.secret = str(fields.get("secret", endpoint.secret))
    return web.json_response({"url": endpoint.url})


async def settle(request: web.Request) -> web.Response:
    """`{"outcome": "succeeded" | "failed"}`: end a payment that is processing now, instead of after its time."""
    desk = request.app[DESK]
    fields = await _fields(request)
    try:
        with desk.books.transaction():
            intent = desk.books.get("payment_intent", request.match_info["id"])
            _settle(desk, intent, succeeded=fields.get("outcome", "succeeded") == "succeeded")
    except ApiError as error:
        return web.json_response(error.body, status=error.status)
    return web.json_response(public(desk.books.get("payment_intent", intent["id"])))


async def dispute(request: web.Request) -> web.Response:
    """The bank of the card takes the money of a charge back."""
    return _told(request, lambda desk, name: disputes.begin(desk, name))


async def end_dispute(request: web.Request) -> web.Response:
    """`{"outcome": "won" | "lost"}`."""
    won = (await _fields(request)).get("outcome") == "won"
    return _told(request, lambda desk, name: disputes.end(desk, name, won=won))


def _told(request: web.Request, change: Callable[[Desk, str], Object]) -> web.Response:
    desk = request.app[DESK]
    try:
        with desk.books.transaction():
            return web.json_response(public(change(desk, request.match_info["id"])))
    except ApiError as error:
        return web.json_response(error.body, status=error.status)


def _settle(desk: Desk, intent: dict[str, object], *, succeeded: bool) -> None:
    checkout.settle(desk, charging.settle(desk, intent, succeeded=succeeded))


async def settle_in_time(desk: Desk) -> None:
    """Let payments that are processing succeed, and open pages expire, when their time has come."""
    while True:
        await asyncio.sleep(SETTLING_SECONDS)
        checkout.expire_in_time(desk)
        for intent in desk.books.newest("payment_intent", where={"status": "processing"}):
            if intent["_settles_at"] <= desk.books.now():
                with desk.books.transaction():
                    _settle(desk, intent, succeeded=True)


async def _fields(request: web.Request) -> dict[str, object]:
    try:
        fields = json.loads(await request.read() or b"{}")
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    return fields if isinstance(fields, dict) else {}


async def show_overview(request: web.Request) -> web.Response:
    """The newest payments and deliveries, for a look without a program."""
    texts = Texts(WORDS, request)
    books = request.app[DESK].books
    payments = [
        (
            _time(intent["created"]),
            escape(show(intent["amount"], intent["currency"])),
            escape(intent["status"]),
            escape(intent["customer"] or "–"),
            f"<code>{escape(intent['id'])}</code>",
        )
        for intent in books.newest("payment_intent", limit=50)
    ]
    deliveries = [
        tuple(escape(str(row[name] or "–")) for name in ("type", "state", "attempts", "last_answer", "event"))
        for row in webhooks.list_deliveries(books, limit=50)
    ]
    body = f"<h1>{texts('overview')}</h1>"
    if not payments:
        body += f'<div class="card empty">{texts("none")}</div>'
    else:
        body += _table([texts(name) for name in ("created", "amount", "status", "customer", "id")], payments, number=1)
    if deliveries:
        heads = [texts(name) for name in ("event", "status", "attempts", "answer", "id")]
        body += f"<h2>{texts('webhooks')}</h2>" + _table(heads, deliveries, number=2)
    return page(texts, title=texts("overview"), body=body)


def _table(heads: list[str], rows: Sequence[tuple[str, ...]], *, number: int) -> str:
    def cells(row: list[str] | tuple[str, ...], tag: str) -> str:
        kinds = ['class="num"' if index == number else "" for index in range(len(row))]
        return "".join(f"<{tag} {kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{cells(heads, 'th')}</tr></thead>"
    return f'<div class="card table-scroll"><table>{head}<tbody>{lines}</tbody></table></div>'


def _time(moment: int) -> str:
    local = datetime.fromtimestamp(moment, SEOUL)
    return f'<time datetime="{local.isoformat()}">{local:%Y.%m.%d %H:%M:%S} KST</time>'
