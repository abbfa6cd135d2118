"""The hosted pages: where a customer types a card, passes 3-D Secure, and is sent back to the shop."""

from html import escape
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import web

from sandbox.payments import cards, charging, checkout, setup_intents
from sandbox.payments.books import Object
from sandbox.payments.desk import Desk
from sandbox.payments.errors import ApiError, CardRefusedError
from sandbox.payments.money import show
from sandbox.payments.words import WORDS
from sandbox.web import CONTENT_SECURITY_POLICY, Texts, page

OFFERED = ("succeeds", "declines", "insufficient_funds", "authenticates", "authenticates_once", "declines_later")
DESK = web.AppKey("desk", Desk)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/checkout/{session}", show_checkout)
    app.router.add_post("/checkout/{session}", submit_card)
    app.router.add_get("/authenticate/{intent}", show_authentication)
    app.router.add_post("/authenticate/{intent}", finish_authentication)


async def show_checkout(request: web.Request) -> web.Response:
    return _checkout_page(request, _session(request))


async def submit_card(request: web.Request) -> web.Response:
    desk, session = request.app[DESK], _session(request)
    card = cards.BY_KEY.get(str((await request.post()).get("card", "")))
    if not checkout.is_open(desk, session) or card is None:
        return _checkout_page(request, session)
    try:
        with desk.books.transaction():
            intent = checkout.submit(desk, session, card)
    except CardRefusedError as refused:
        error = refused.body["error"]
        return _checkout_page(request, _session(request), problem=error.get("decline_code") or error["code"])
    if intent["status"] == "requires_action":
        raise web.HTTPSeeOther(f"/authenticate/{intent['id']}")
    raise web.HTTPSeeOther(_success_url(session))


async def show_authentication(request: web.Request) -> web.Response:
    texts = _texts(request)
    intent, session = _intent(request)
    if intent["status"] != "requires_action":
        return _message(texts, "finished", _target(intent, session))
    amount = f'<p class="amount">{show(intent["amount"], intent["currency"])}</p>' if "amount" in intent else ""
    body = f"""<h1>{texts("authenticate_title")}</h1>
<div class="card pad stack">{amount}<p>{texts("authenticate_text")}</p><form method="post" class="stack">
<button class="button main wide" name="outcome" value="passed">{texts("authenticate_pass")}</button>
<button class="button wide" name="outcome" value="failed">{texts("authenticate_fail")}</button></form></div>"""
    policy = _policy(_target(intent, session))
    return page(texts, title=texts("authenticate_title"), body=body, narrow=True, policy=policy)


async def finish_authentication(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    passed = (await request.post()).get("outcome") == "passed"
    intent, session = _intent(request)
    kind = charging if intent["object"] == "payment_intent" else setup_intents
    if intent["status"] == "requires_action":
        with desk.books.transaction():
            intent = kind.finish_authentication(desk, intent, passed=passed)
            if session and intent["status"] == "succeeded":
                checkout.complete(desk, session, intent)
    if session:
        succeeded = session["status"] == "complete"
        raise web.HTTPSeeOther(
            _success_url(session) if succeeded else f"/checkout/{session['id']}?problem=authentication"
        )
    target = _target(intent, session)
    if target is None:
        return _message(_texts(request), "finished", None)
    raise web.HTTPSeeOther(target)


def _checkout_page(request: web.Request, session: Object, *, problem: str = "") -> web.Response:
    texts = _texts(request, session)
    if not checkout.is_open(request.app[DESK], session):
        if session["status"] == "complete":
            return _message(texts, "complete", _success_url(session))
        return _message(texts, "expired", session["cancel_url"])
    problem = problem or request.query.get("problem", "")
    notice = (
        f'<p class="notice" role="alert">{texts("problem_" + problem)}</p>' if f"problem_{problem}" in WORDS else ""
    )
    setup = session["mode"] == "setup"
    title = texts("setup_title" if setup else "payment_title")
    lines = "".join(
        f'<tr><td class="text">{escape(line["description"])} × {line["quantity"]:,}</td>'
        f'<td class="num">{show(line["amount_total"], line["currency"])}</td></tr>'
        for line in session["_lines"]
    )
    total = "" if setup else f'<p class="amount">{show(session["amount_total"], session["currency"])}</p>'
    table = f'<div class="table-scroll"><table>{lines}</table></div>' if lines else ""
    choices = "".join(_choice(texts, key, first=key == OFFERED[0]) for key in OFFERED)
    cancel = ""
    if session["cancel_url"]:
        cancel = (
            f'<a class="button wide" href="{escape(_filled(session["cancel_url"], session))}">{texts("cancel")}</a>'
        )
    body = f"""<h1>{title}</h1>{notice}
<div class="card"><div class="pad">{total}<p class="quiet">{texts("notice")}</p></div>{table}</div>
<form method="post" class="stack"><fieldset><legend>{texts("card")}</legend>{choices}</fieldset>
<button class="button main wide">{texts("save" if setup else "pay")}</button>{cancel}</form>"""
    policy = _policy(session["success_url"])
    return page(texts, title=title, body=body, narrow=True, status=402 if problem else 200, policy=policy)


def _choice(texts: Texts, key: str, *, first: bool) -> str:
    number = cards.BY_KEY[key].number
    grouped = " ".join(number[i : i + 4] for i in range(0, 16, 4))
    checked = " checked" if first else ""
    return (
        f'<label class="choice"><input type="radio" name="card" value="{key}"{checked} required>'
        f'<span>{texts("card_" + key)}<span class="quiet">{grouped}</span></span></label>'
    )


def _message(texts: Texts, key: str, target: str | None) -> web.Response:
    back = f'<a class="button main" href="{escape(target)}">{texts("back")}</a>' if target else ""
    body = f'<div class="card empty"><p><strong>{texts(key)}</strong></p>{back}</div>'
    return page(texts, title=texts(key), body=body, narrow=True)


def _session(request: web.Request) -> Object:
    try:
        return request.app[DESK].books.get("checkout.session", request.match_info["session"])
    except ApiError:
        raise web.HTTPNotFound(text="no such checkout session") from None


def _intent(request: web.Request) -> tuple[Object, Object | None]:
    """The intent that is to be authenticated, and the checkout session that it belongs to."""
    books = request.app[DESK].books
    intent = books.find(request.match_info["intent"])
    if intent is None or intent["object"] not in ("payment_intent", "setup_intent"):
        raise web.HTTPNotFound(text="no such intent")
    sessions = books.newest("checkout.session", where={intent["object"]: intent["id"]}, limit=1)
    return intent, sessions[0] if sessions else None


def _texts(request: web.Request, session: Object | None = None) -> Texts:
    texts = Texts(WORDS, request)
    if session and session["locale"] in ("ko", "en"):
        texts.language = session["locale"]
    return texts


def _filled(url: str, session: Object) -> str:
    return url.replace("{CHECKOUT_SESSION_ID}", quote(session["id"]))


def _success_url(session: Object) -> str:
    return _filled(session["success_url"], session)


def _target(intent: Object, session: Object | None) -> str | None:
    """Where the customer goes from 3-D Secure: to the session's shop, or to the intent's return URL with the outcome."""
    if session:
        return _success_url(session)
    url = intent["_return_url"]
    if not url:
        return None
    fields = {
        intent["object"]: intent["id"],
        f"{intent['object']}_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if intent["status"] == "succeeded" else "failed",
    }
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(fields)}"


def _policy(target: str | None) -> str:
    """Browsers hold a form's redirect to `form-action`, so the shop's origin has to stand there."""
    if not target:
        return CONTENT_SECURITY_POLICY
    parts = urlsplit(target)
    return CONTENT_SECURITY_POLICY.replace("form-action 'self'", f"form-action 'self' {parts.scheme}://{parts.netloc}")
