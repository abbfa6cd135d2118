"""The mailbox for programs: JSON, newest mail first."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox.mailbox.reading import Mail, read_headers, read_mail
from sandbox.mailbox.store import Envelope, Store

STORE = web.AppKey("store", Store)
MAX_LISTED = 200


def add_routes(app: web.Application) -> None:
    app.router.add_get("/api/messages", list_messages)
    app.router.add_delete("/api/messages", delete_messages)
    app.router.add_get(r"/api/messages/{id:\d+}", show_message)
    app.router.add_get(r"/api/messages/{id:\d+}/source", show_source)
    app.router.add_get(r"/api/messages/{id:\d+}/attachments/{n:\d+}", show_attachment)


async def list_messages(request: web.Request) -> web.Response:
    """`?to=` an address, `?after=` an id or an ISO time."""
    after, since = _after(request.query.get("after", ""))
    store = request.app[STORE]
    found = store.newest_first(to=asked_address(request), after=after, since=since)
    listed = [summary(envelope, read_headers(store.content(envelope))) for envelope in found[:MAX_LISTED]]
    return web.json_response({"messages": listed, "count": len(found)})


def asked_address(request: web.Request) -> str:
    """`?to=`; a plus sign that was not escaped arrives as a space."""
    return request.query.get("to", "").strip().replace(" ", "+")


def _after(text: str) -> tuple[int, datetime | None]:
    if not text or text.isdecimal():
        return int(text or 0), None
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise web.HTTPBadRequest(text="after is neither an id nor an ISO time") from None
    return 0, moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def delete_messages(request: web.Request) -> web.Response:
    return web.json_response({"deleted": request.app[STORE].clear()})


async def show_message(request: web.Request) -> web.Response:
    envelope, content = find(request)
    mail = read_mail(content)
    shown = summary(envelope, mail) | {
        "sender": envelope.sender,
        "text": mail.text,
        "html": mail.html,
        "links": mail.links,
        "headers": [list(header) for header in mail.headers],
        "attachments": [
            {"n": n, "filename": a.filename, "content_type": a.content_type, "size": len(a.content)}
            for n, a in enumerate(mail.attachments)
        ],
    }
    return web.json_response(shown)


def summary(envelope: Envelope, mail: Mail) -> dict[str, Any]:
    return {
        "id": envelope.id,
        "from": mail.sender,
        "to": list(envelope.recipients),
        "subject": mail.subject,
        "date": mail.date,
        "message_id": mail.message_id,
        "received_at": envelope.received_at.isoformat(),
        "size": envelope.size,
    }


async def show_source(request: web.Request) -> web.Response:
    _, content = find(request)
    return web.Response(body=content, content_type="text/plain", charset="utf-8")


async def show_attachment(request: web.Request) -> web.Response:
    """Always as a download, never shown in the page: what a mail carries is not trusted."""
    _, content = find(request)
    attachments = read_mail(content).attachments
    number = int(request.match_info["n"])
    if number >= len(attachments):
        raise web.HTTPNotFound(text="no such attachment")
    attachment = attachments[number]
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(attachment.filename, safe='')}"}
    return web.Response(body=attachment.content, content_type=attachment.content_type, headers=headers)


def find(request: web.Request) -> tuple[Envelope, bytes]:
    store = request.app[STORE]
    envelope = store.find(int(request.match_info["id"]))
    if envelope is None:
        raise web.HTTPNotFound(text="no such message")
    return envelope, store.content(envelope)
