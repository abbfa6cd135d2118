"""The doors: Linkhub's token, Popbill's tax invoices, the tax office's status of businesses."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web

from sandbox.faults import Fault, FaultQueue
from sandbox.tax.book import CANCELED, ISSUED, SENT, Book
from sandbox.tax.checks import DUPLICATE, INVALID, NOT_FOUND, TOO_LATE, Refused, check_sheet, fits

DONE_FAULTS = ("accept-then-drop", "accept-then-duplicate", "accept-then-hang", "accept-then-500")
CALL_FAULTS = (*DONE_FAULTS, "drop", "slow", "status-429", "status-500", "status-503")
HANG_SECONDS = 600.0
TOKEN_LIFE = timedelta(minutes=30)
REPEATED = "이미 등록된 문서번호입니다."
UNREGISTERED = "국세청에 등록되지 않은 사업자등록번호입니다."
STATES = {"01": "계속사업자", "02": "휴업자", "03": "폐업자"}
MOST_NUMBERS = 100
SHOWN = ("writeDate", "taxType", "purposeType", "supplyCostTotal", "taxTotal")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Desk:
    """The book, the faults, the secret that signs requests for tokens ("" believes anybody), and the tokens given out."""

    book: Book
    queue: FaultQueue
    secret_key: str
    tokens: dict[str, str] = field(default_factory=dict)


DESK = web.AppKey("desk", Desk)


def add_routes(app: web.Application) -> None:
    app.router.add_post("/{service:POPBILL|POPBILL_TEST}/Token", give_token)
    app.router.add_post("/Taxinvoice", with_faults(issue))
    app.router.add_get("/Taxinvoice/SELL/{key}", with_faults(show))
    app.router.add_post("/Taxinvoice/SELL/{key}", with_faults(cancel))
    app.router.add_post("/api/nts-businessman/v1/status", with_faults(tell_status))


def with_faults(handler: Handler) -> Handler:
    """Answers, or does what was ordered: `drop` before anything, `accept-then-…` once it is done.

    `accept-then-duplicate` answers as to a repeated call: somebody between us sent it twice, and the second answer came back.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        where = f"{request.method} {request.path}"
        fault = request.app[DESK].queue.take(*CALL_FAULTS, where=where, named_only=request.method == "GET")
        if fault and fault.name == "drop":
            return _drop(request)
        if fault and fault.name.startswith("status-"):
            return web.json_response({"code": -1, "message": "an ordered fault"}, status=int(fault.name[7:]))
        if fault and fault.name == "slow":
            await asyncio.sleep(fault.seconds(2.0))
        try:
            answer = await handler(request)
        except Refused as refused:
            answer = _refusal(refused)
        return await _after(request, answer, fault)

    return handle


async def _after(request: web.Request, answer: web.StreamResponse, fault: Fault | None) -> web.StreamResponse:
    if fault and fault.name == "accept-then-hang":
        await asyncio.sleep(fault.seconds(HANG_SECONDS))
    if fault and fault.name in ("accept-then-drop", "accept-then-hang"):
        return _drop(request)
    if fault and fault.name == "accept-then-500":
        return web.json_response({"code": -1, "message": "an ordered fault"}, status=500)
    if fault and fault.name == "accept-then-duplicate":
        return _refusal(Refused(DUPLICATE, REPEATED))
    return answer


def _refusal(refused: Refused) -> web.Response:
    return web.json_response({"code": refused.code, "message": refused.message}, status=400)


def _drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer; what was done stays done."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def give_token(request: web.Request) -> web.Response:
    desk, body = request.app[DESK], await request.read()
    try:
        number = str(json.loads(body)["access_id"])
    except (ValueError, KeyError, TypeError):
        return web.json_response({"code": -1, "message": "bad request"}, status=400)
    given = request.headers.get("Authorization", "").rpartition(" ")[2]
    if desk.secret_key and not hmac.compare_digest(_expected(desk.secret_key, request, body), given):
        return web.json_response({"code": -99000031, "message": "bad signature"}, status=401)
    token = secrets.token_urlsafe(24)
    desk.tokens[token] = number
    end = (datetime.now(UTC) + TOKEN_LIFE).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return web.json_response({"session_token": token, "serviceID": request.match_info["service"], "expiration": end})


def _expected(secret_key: str, request: web.Request, body: bytes) -> str:
    hashed = base64.b64encode(hashlib.sha256(body).digest()).decode()
    moment, version = (request.headers.get(name, "") for name in ("x-lh-date", "x-lh-version"))
    signed = "\n".join(("POST", hashed, moment, version, request.path))
    return base64.b64encode(hmac.new(base64.b64decode(secret_key), signed.encode(), hashlib.sha256).digest()).decode()


def _member(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    number = request.app[DESK].tokens.get(token) if scheme == "Bearer" else None
    if number is None:
        raise web.HTTPUnauthorized(text="the token is not known")
    return number


async def issue(request: web.Request) -> web.Response:
    number, book = _member(request), request.app[DESK].book
    if request.headers.get("X-HTTP-Method-Override") != "ISSUE":
        raise Refused(INVALID, "지원하지 않는 요청입니다.")
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise Refused(INVALID, "JSON이 아닙니다.") from None
    mgt_key = check_sheet(book, body, corp_number=number)
    if book.find(mgt_key) is not None:
        book.count_attempt(mgt_key)
        raise Refused(DUPLICATE, REPEATED)
    return web.json_response({"code": 1, "message": "발행 완료", "ntsConfirmNum": book.keep(mgt_key, body)})


async def show(request: web.Request) -> web.Response:
    _member(request)
    row = request.app[DESK].book.find(request.match_info["key"])
    if row is None:
        raise Refused(NOT_FOUND, "해당 문서가 존재하지 않습니다.")
    body = json.loads(row["body"])
    return web.json_response(
        {
            "itemKey": f"{row['seq']:018d}",
            "invoicerMgtKey": row["mgt_key"],
            "stateCode": row["state"],
            "ntsconfirmNum": row["approval"],
            **{name: body[name] for name in SHOWN},
            "modifyCode": body.get("modifyCode"),
            "ntsresult": "" if row["state"] <= SENT else "SYN003",
        }
    )


async def cancel(request: web.Request) -> web.Response:
    _member(request)
    book, key = request.app[DESK].book, request.match_info["key"]
    if request.headers.get("X-HTTP-Method-Override") != "CANCELISSUE":
        raise Refused(INVALID, "지원하지 않는 요청입니다.")
    row = book.find(key)
    if row is None:
        raise Refused(NOT_FOUND, "해당 문서가 존재하지 않습니다.")
    if row["state"] != ISSUED:
        raise Refused(TOO_LATE, "국세청에 전송된 문서는 발행을 취소할 수 없습니다.")
    book.set_state(key, CANCELED)
    return web.json_response({"code": 1, "message": "발행 취소 완료"})


async def tell_status(request: web.Request) -> web.Response:
    """국세청 사업자등록 상태조회: every number that fits is active, unless told otherwise under /sandbox/businesses."""
    if not request.query.get("serviceKey"):
        return web.json_response({"code": -4, "msg": "등록되지 않은 인증키 입니다."}, status=401)
    try:
        numbers = json.loads(await request.read())["b_no"]
    except (ValueError, KeyError, TypeError):
        return web.json_response({"status_code": "BAD_JSON_REQUEST"}, status=400)
    if not isinstance(numbers, list) or not 1 <= len(numbers) <= MOST_NUMBERS:
        return web.json_response({"status_code": "TOO_LARGE_REQUEST"}, status=413)
    data = [_status(request.app[DESK].book, str(number)) for number in numbers]
    known = sum(bool(one["b_stt_cd"]) for one in data)
    return web.json_response({"status_code": "OK", "match_cnt": known, "request_cnt": len(numbers), "data": data})


def _status(book: Book, number: str) -> dict[str, str]:
    told = book.business(number) or ({"b_stt_cd": "01"} if fits(number) else {})
    code = told.get("b_stt_cd", "")
    return {
        "b_no": number,
        "b_stt": STATES.get(code, ""),
        "b_stt_cd": code,
        "tax_type": told.get("tax_type", "부가가치세 일반과세자" if code else UNREGISTERED),
        "tax_type_cd": told.get("tax_type_cd", "01" if code else ""),
        "end_dt": told.get("end_dt", ""),
        "utcc_yn": "N",
        "tax_type_change_dt": "",
        "invoice_apply_dt": "",
    }
