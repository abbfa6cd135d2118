"""What tests and curious people look at and turn: the book, businesses, the transmission to the tax office, an overview page."""

import asyncio
import json
from datetime import datetime
from html import escape
from typing import Any

from aiohttp import web

from sandbox.tax.api import DESK, STATES
from sandbox.tax.book import CANCELED, ISSUED, SEND_FAILED, SENT, SEOUL, Book
from sandbox.web import Texts, page

PAUSE = 0.2
WORDS = {
    "name": ("세금계산서 샌드박스", "Tax invoice sandbox"),
    "badge": ("테스트 모드", "Test mode"),
    "skip": ("본문으로 건너뛰기", "Skip to content"),
    "title": ("발행된 세금계산서", "Tax invoices issued"),
    "none": ("아직 발행된 세금계산서가 없습니다.", "No tax invoice has been issued yet."),
    "issued": ("발행 시각", "Issued at"),
    "approval": ("승인번호", "Approval number"),
    "buyer": ("공급받는 자", "Buyer"),
    "amount": ("합계금액", "Total"),
    "reason": ("수정사유", "Amendment"),
    "state": ("상태", "State"),
    f"state-{ISSUED}": ("발행", "Issued"),
    f"state-{SENT}": ("국세청 전송", "Sent"),
    f"state-{SEND_FAILED}": ("전송 실패", "Not taken over"),
    f"state-{CANCELED}": ("발행 취소", "Canceled"),
}
COLUMNS = ("issued", "approval", "buyer", "amount", "reason", "state")


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", show_overview)
    app.router.add_get("/sandbox/book", show_book)
    app.router.add_post("/sandbox/transmit", transmit)
    app.router.add_put("/sandbox/businesses/{number}", set_business)
    app.router.add_delete("/sandbox/state", wipe)


async def transmit_in_time(book: Book, seconds: float) -> None:
    """Send what was issued to the tax office when its time has come, as a provider does the day after."""
    while True:
        await asyncio.sleep(PAUSE)
        book.transmit(older_than=seconds)


async def show_book(request: web.Request) -> web.Response:
    """`sheets`, oldest first: document number, approval number, state, attempts under the number, and what it says."""
    rows = request.app[DESK].book.sheets()[::-1]
    return web.json_response({"sheets": [_entry(row) for row in rows]})


def _entry(row: Any) -> dict[str, Any]:
    return {
        "mgt_key": row["mgt_key"],
        "approval_number": row["approval"],
        "state": row["state"],
        "attempts": row["attempts"],
        "sheet": json.loads(row["body"]),
    }


async def transmit(request: web.Request) -> web.Response:
    """Send everything now; `{"fail": true}`: the tax office does not take it over."""
    wishes = json.loads(await request.read() or b"{}")
    state = SEND_FAILED if wishes.get("fail") else SENT
    return web.json_response({"sent": request.app[DESK].book.transmit(older_than=0, state=state)})


async def set_business(request: web.Request) -> web.Response:
    """`{"b_stt_cd": "01" | "02" | "03" | "", "tax_type": …}`: what the tax office says of a number from now on."""
    told = json.loads(await request.read())
    if told.get("b_stt_cd", "") not in ("", *STATES):
        raise web.HTTPBadRequest(text="b_stt_cd is 01, 02, 03 or empty")
    request.app[DESK].book.set_business(request.match_info["number"], told)
    return web.json_response(told)


async def wipe(request: web.Request) -> web.Response:
    request.app[DESK].book.wipe()
    return web.json_response({"wiped": True})


async def show_overview(request: web.Request) -> web.Response:
    texts = Texts(WORDS, request)
    rows = request.app[DESK].book.sheets(limit=50)
    body = f"<h1>{texts('title')}</h1>"
    if not rows:
        return page(texts, title=texts("title"), body=f'{body}<div class="card empty">{texts("none")}</div>')
    heads = "".join(_cell(name, texts(name), tag="th") for name in COLUMNS)
    lines = "".join(_line(texts, _entry(row), issued=row["issued"]) for row in rows)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
    return page(texts, title=texts("title"), body=f'{body}<div class="card table-scroll">{table}</div>')


def _line(texts: Texts, entry: dict[str, Any], *, issued: float) -> str:
    sheet = entry["sheet"]
    values = {
        "issued": f"{datetime.fromtimestamp(issued, SEOUL):%Y.%m.%d %H:%M:%S}",
        "approval": f"<code>{escape(entry['approval_number'])}</code>",
        "buyer": escape(sheet["invoiceeCorpName"]),
        "amount": f"₩{int(sheet['totalAmount']):,}",
        "reason": f"{sheet['modifyCode']:02d}" if sheet.get("modifyCode") else "–",
        "state": texts(f"state-{entry['state']}"),
    }
    return f"<tr>{''.join(_cell(name, values[name]) for name in COLUMNS)}</tr>"


def _cell(name: str, html: str, *, tag: str = "td") -> str:
    number = ' class="num"' if name == "amount" else ""
    return f"<{tag}{number}>{html}</{tag}>"
