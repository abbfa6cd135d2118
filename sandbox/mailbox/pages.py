"""The mailbox for people: a list, and one mail. Nothing of a mail runs, loads from elsewhere, or leaves its frame."""

import re
from datetime import datetime, timedelta, timezone
from html import escape

from aiohttp import web

from sandbox.mailbox.api import MAX_LISTED, STORE, asked_address, find
from sandbox.mailbox.reading import Mail, read_headers, read_mail
from sandbox.web import Texts, page

SEOUL = timezone(timedelta(hours=9))
REFRESH_SECONDS = 15
# A link may open in a new window, which is then free of the sandbox; nothing else is allowed.
FRAME_RIGHTS = "allow-popups allow-popups-to-escape-sandbox"
FRAME_POLICY = (
    f"sandbox {FRAME_RIGHTS}; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src 'self' data:; "
    "base-uri 'self'; frame-ancestors 'self'; form-action 'none'"
)
FRAME_HEAD = (
    '<base target="_blank"><style>@font-face{font-family:"Pretendard Variable";font-weight:45 920;'
    'src:url("/font.woff2")}body{font-family:"Pretendard Variable",sans-serif}</style>'
)
WORDS = {
    "name": ("메일함", "Mailbox"),
    "badge": ("샌드박스", "Sandbox"),
    "skip": ("본문으로 건너뛰기", "Skip to content"),
    "inbox": ("받은 메일", "Inbox"),
    "count": ("{count}통", "{count} mails"),
    "none": ("아직 받은 메일이 없습니다.", "No mail has arrived yet."),
    "hint": (
        "SMTP {port} 포트로 보낸 메일이 모두 이곳에 표시됩니다.",
        "Everything sent to SMTP port {port} shows up here.",
    ),
    "delete": ("모두 삭제", "Delete all"),
    "back": ("목록", "All mails"),
    "no_subject": ("(제목 없음)", "(no subject)"),
    "from": ("보낸 사람", "From"),
    "to": ("받는 사람", "To"),
    "received": ("받은 시각", "Received"),
    "message": ("본문", "Message"),
    "text": ("텍스트 본문", "Plain text"),
    "links": ("링크", "Links"),
    "headers": ("헤더", "Headers"),
    "source": ("원문 보기", "View source"),
    "attachments": ("첨부 파일", "Attachments"),
    "missing": ("메일을 찾을 수 없습니다.", "This mail does not exist."),
}
SMTP_PORT = web.AppKey("smtp_port", int)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", show_inbox)
    app.router.add_post("/delete", delete_all)
    app.router.add_get(r"/messages/{id:\d+}", show_mail)
    app.router.add_get(r"/messages/{id:\d+}/html", show_html)


async def show_inbox(request: web.Request) -> web.Response:
    texts = Texts(WORDS, request)
    store = request.app[STORE]
    envelopes = store.newest_first(to=asked_address(request))
    rows = []
    for envelope in envelopes[:MAX_LISTED]:
        mail = read_headers(store.content(envelope))
        rows.append(
            f'<li><a href="/messages/{envelope.id}"><span class="subject">{_subject(mail, texts)}</span>'
            f"{_time(envelope.received_at)}"
            f'<span class="people">{escape(mail.sender)} → {escape(", ".join(envelope.recipients))}</span></a></li>'
        )
    hint = escape(texts("hint", port=request.app[SMTP_PORT]))
    if rows:
        listing = f'<ul class="card mails">{"".join(rows)}</ul>'
        actions = (
            f'<form method="post" action="/delete"><button class="button danger">{texts("delete")}</button></form>'
        )
    else:
        listing = f'<div class="card empty"><p><strong>{texts("none")}</strong></p><p class="quiet">{hint}</p></div>'
        actions = ""
    heading = f'<h1>{texts("inbox")} <span class="quiet">{texts("count", count=len(envelopes))}</span></h1>'
    return page(texts, title=texts("inbox"), body=heading + listing, actions=actions, refresh_seconds=REFRESH_SECONDS)


async def delete_all(request: web.Request) -> web.Response:
    request.app[STORE].clear()
    raise web.HTTPSeeOther("/")


async def show_mail(request: web.Request) -> web.Response:
    texts = Texts(WORDS, request)
    back = f'<a class="button" href="/">{texts("back")}</a>'
    envelope = request.app[STORE].find(int(request.match_info["id"]))
    if envelope is None:
        body = f'<div class="card empty">{texts("missing")}</div>'
        return page(texts, title=texts("missing"), body=body, actions=back, status=404)
    mail = read_mail(request.app[STORE].content(envelope))
    facts = "".join(
        f"<dt>{texts(key)}</dt><dd>{value}</dd>"
        for key, value in (
            ("from", escape(mail.sender or envelope.sender)),
            ("to", escape(", ".join(envelope.recipients))),
            ("received", _time(envelope.received_at)),
        )
    )
    parts = [f"<h1>{_subject(mail, texts)}</h1>", f'<div class="card pad"><dl class="facts">{facts}</dl></div>']
    if mail.attachments:
        parts.append(_attachments(mail, envelope.id, texts))
    if mail.html:
        parts.append(
            f'<div class="card"><iframe class="mail" title="{texts("message")}" sandbox="{FRAME_RIGHTS}" '
            f'referrerpolicy="no-referrer" src="/messages/{envelope.id}/html"></iframe></div>'
        )
    if mail.text:
        parts.append(_fold(texts("text"), f"<pre>{escape(mail.text)}</pre>", unfolded=not mail.html))
    if mail.links:
        parts.append(_fold(texts("links"), _links(mail), unfolded=True))
    headers = "\n".join(f"{name}: {value}" for name, value in mail.headers)
    source = f'<p><a href="/api/messages/{envelope.id}/source">{texts("source")}</a></p>'
    parts.append(_fold(texts("headers"), f"{source}<pre>{escape(headers)}</pre>"))
    return page(texts, title=mail.subject or texts("no_subject"), body="".join(parts), actions=back)


async def show_html(request: web.Request) -> web.Response:
    """The mail's own HTML for the frame, under a policy that leaves it nothing but to be looked at."""
    _, content = find(request)
    html = read_mail(content).html_with_pictures()
    head = re.search(r"<head[^>]*>|<html[^>]*>|<!doctype[^>]*>", html, re.IGNORECASE)
    start = head.end() if head else 0
    response = web.Response(text=html[:start] + FRAME_HEAD + html[start:], content_type="text/html")
    response.headers["Content-Security-Policy"] = FRAME_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _subject(mail: Mail, texts: Texts) -> str:
    return escape(mail.subject) if mail.subject else texts("no_subject")


def _time(moment: datetime) -> str:
    local = moment.astimezone(SEOUL)
    return f'<time class="quiet" datetime="{local.isoformat()}">{local:%Y.%m.%d %H:%M} KST</time>'


def _attachments(mail: Mail, mail_id: int, texts: Texts) -> str:
    items = "".join(
        f'<li><a class="button" href="/api/messages/{mail_id}/attachments/{n}" download>{escape(attachment.filename)}'
        f' <span class="quiet">{_size(len(attachment.content))}</span></a></li>'
        for n, attachment in enumerate(mail.attachments)
    )
    return f'<section class="card pad"><h2>{texts("attachments")}</h2><ul class="files">{items}</ul></section>'


def _links(mail: Mail) -> str:
    items = "".join(
        f'<li><a href="{escape(link)}" target="_blank" rel="noreferrer noopener">{escape(link)}</a></li>'
        for link in mail.links
    )
    return f'<ul class="links">{items}</ul>'


def _fold(title: str, body: str, *, unfolded: bool = False) -> str:
    opened = " open" if unfolded else ""
    return f'<details class="card"{opened}><summary>{title}</summary><div class="pad">{body}</div></details>'


def _size(count: int) -> str:
    return f"{count / 1024:,.1f} KB" if count >= 1024 else f"{count} B"
