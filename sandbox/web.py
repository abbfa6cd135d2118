"""What the stand-ins with pages share: health, ordered faults, security headers, the frame of a page, the serving."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from sandbox.faults import FaultQueue, UnknownFaultError
from sandbox.process import fail, log, until_told_to_stop

HERE = Path(__file__).resolve().parent
# The site's web font, when the browser packages are installed; without it the reader's own fonts serve.
FONT = HERE.parent / "node_modules/pretendard/dist/web/variable/woff2/PretendardVariable.woff2"
MARK = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8.5" fill="#0b7361"/>'
    '<g fill="#fff"><rect x="17" y="8" width="8" height="2.6" rx="1.3" opacity=".72"/>'
    '<rect x="12" y="13" width="13" height="2.6" rx="1.3" opacity=".86"/>'
    '<rect x="7" y="19.4" width="18" height="4.6" rx="2.3"/></g></svg>'
)
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; "
    "frame-ancestors 'self'; form-action 'self'"
)
CLOSING_SECONDS = 2.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Words = Mapping[str, tuple[str, str]]


class Texts:
    """A stand-in's few words in the reader's language: `texts("key")`. Korean unless English is preferred."""

    def __init__(self, words: Words, request: web.Request) -> None:
        self._words = words
        self.language = preferred_language(request.headers.get("Accept-Language", ""))

    def __call__(self, key: str, **values: object) -> str:
        korean, english = self._words[key]
        text = korean if self.language == "ko" else english
        return text.format(**values) if values else text


def preferred_language(accept_language: str) -> str:
    """ "ko" or "en", whichever the header puts first; "ko" when it names neither."""
    wishes = []
    for position, entry in enumerate(accept_language.split(",")):
        tag, _, parameter = entry.strip().partition(";")
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            quality = 0.0
        language = tag.lower().split("-")[0]
        if language in ("ko", "en") and quality > 0:
            wishes.append((-quality, position, language))
    return min(wishes)[2] if wishes else "ko"


def page(
    texts: Texts,
    *,
    title: str,
    body: str,
    actions: str = "",
    home: str = "/",
    narrow: bool = False,
    refresh_seconds: int = 0,
    status: int = 200,
    policy: str = CONTENT_SECURITY_POLICY,
) -> web.Response:
    """A whole page. `body` and `actions` are HTML that has been escaped where it had to be; `title` is text."""
    refresh = f'<meta http-equiv="refresh" content="{refresh_seconds}">' if refresh_seconds else ""
    html = f"""<!doctype html>
<html lang="{texts.language}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<title>{escape(title)} · {escape(texts("name"))}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css"></head>
<body><a class="skip" href="#content">{escape(texts("skip"))}</a>
<div class="wrap{" narrow" if narrow else ""}">
<header class="bar"><a class="home" href="{escape(home)}">{MARK}<span>{escape(texts("name"))}</span></a>
<span class="badge">{escape(texts("badge"))}</span><div class="spread">{actions}</div></header>
<main id="content" class="stack">{body}</main></div></body></html>"""
    response = web.Response(text=html, content_type="text/html", status=status)
    response.headers["Content-Security-Policy"] = policy
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Security headers on everything; a form sent from another site is refused; a defect is logged without its text."""
    if request.method not in ("GET", "HEAD") and not _comes_from_here(request):
        return web.json_response({"error": "cross-site requests are refused"}, status=403)
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        return web.json_response({"error": answer.text or answer.reason}, status=answer.status)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        log("sandbox_error", path=request.match_info.handler.__name__, error=type(error).__name__)
        return web.json_response({"error": "the stand-in failed"}, status=500)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; sandbox")
    return response


def _comes_from_here(request: web.Request) -> bool:
    """Whether a browser sent this from our own page; programs tell neither header and are believed."""
    fetched_from = request.headers.get("Sec-Fetch-Site")
    if fetched_from:
        return fetched_from in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return not origin or urlsplit(origin).netloc == request.host


def add_shared_routes(app: web.Application, *, queue: FaultQueue, ready: Callable[[], bool]) -> None:
    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        well = ready()
        return web.json_response({"status": "ok" if well else "unavailable"}, status=200 if well else 503)

    async def list_faults(request: web.Request) -> web.Response:
        return web.json_response({"waiting": queue.waiting(), "known": queue.known})

    async def order_faults(request: web.Request) -> web.Response:
        try:
            return web.json_response({"waiting": queue.order(json.loads(await request.read()))})
        except (ValueError, UnknownFaultError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def clear_faults(request: web.Request) -> web.Response:
        queue.clear()
        return web.json_response({"waiting": 0})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/sandbox/faults", list_faults)
    app.router.add_post("/sandbox/faults", order_faults)
    app.router.add_delete("/sandbox/faults", clear_faults)
    app.router.add_get("/style.css", _style)
    app.router.add_get("/font.woff2", _font)


async def _style(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(HERE / "style.css", headers={"Cache-Control": "max-age=300"})


async def _font(request: web.Request) -> web.StreamResponse:
    if not FONT.is_file():
        raise web.HTTPNotFound(text="no web font is installed")
    # A mail is shown in a frame without an origin, which may use the font only when the font says so.
    headers = {"Cache-Control": "max-age=86400", "Access-Control-Allow-Origin": "*", "Content-Type": "font/woff2"}
    return web.FileResponse(FONT, headers=headers)


async def serve(app: web.Application, *, name: str, host: str, port: int, **started: object) -> None:
    """Serve until SIGTERM. `started` goes into the start's log line."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_SECONDS, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=256)
        try:
            await site.start()
        except OSError as error:
            fail(f"sandbox.{name} cannot listen on {host}:{port}: {error.strerror}")
        log("sandbox_started", name=name, host=host, port=runner.addresses[0][1], **started)
        await until_told_to_stop()
    finally:
        await runner.cleanup()
    log("sandbox_stopped", name=name)
