"""A sheet as a provider reads it: what it must say, and that it adds up. Anything else is refused with a code and a sentence."""

import re
from datetime import datetime, timedelta
from typing import Any

from sandbox.tax.book import CANCELED, SEOUL, Book

KEY = re.compile(r"[0-9A-Za-z_-]{1,24}")
AMENDMENTS = frozenset(range(1, 7))
REQUIRED = ("writeDate", "issueType", "chargeDirection", "purposeType", "taxType", "invoicerMgtKey", "invoicerCorpNum",
            "invoicerCorpName", "invoicerCEOName", "invoiceeType", "invoiceeCorpNum", "invoiceeCorpName", "invoiceeCEOName",
            "supplyCostTotal", "taxTotal", "totalAmount")  # fmt: skip
CHOICES = {
    "issueType": {"정발행"},
    "chargeDirection": {"정과금"},
    "purposeType": {"영수", "청구", "없음"},
    "taxType": {"과세", "영세", "면세"},
    "invoiceeType": {"사업자", "개인", "외국인"},
}
NOT_FOUND, WRONG_CODE, NOT_BELOW_ZERO = -11000005, -11001009, -11001010
"""Popbill's own codes."""
DUPLICATE, INVALID, TOO_LATE, OVERDUE = -11000901, -11000902, -11000903, -11000904
"""Codes of ours, for Popbill's are not known."""
BELOW_ZERO_ONLY = (3, 4)


class Refused(Exception):
    """What a call is answered with: HTTP 400, a code below zero, a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def check_sheet(book: Book, body: Any, *, corp_number: str) -> str:
    """The document number of a sheet that can be issued. Raises Refused."""
    if not isinstance(body, dict):
        raise Refused(INVALID, "세금계산서 정보가 없습니다.")
    for name in REQUIRED:
        if not isinstance(body.get(name), str) or not body[name]:
            raise Refused(INVALID, f"필수 항목이 없습니다: {name}")
    for name, known in CHOICES.items():
        if body[name] not in known:
            raise Refused(INVALID, f"값이 올바르지 않습니다: {name}")
    if not KEY.fullmatch(body["invoicerMgtKey"]):
        raise Refused(INVALID, "문서번호는 24자 이내의 영문, 숫자, '-', '_'입니다.")
    if body["invoicerCorpNum"] != corp_number:
        raise Refused(INVALID, "공급자 사업자번호가 회원의 사업자번호와 다릅니다.")
    for name in ("invoicerCorpNum", "invoiceeCorpNum"):
        if not fits(body[name]):
            raise Refused(INVALID, f"사업자번호가 올바르지 않습니다: {name}")
    _check_amounts(body)
    _check_day(body["writeDate"], may_be_late=body.get("forceIssue") is True)
    _check_amendment(book, body)
    return str(body["invoicerMgtKey"])


def fits(number: str) -> bool:
    """Ten digits with their check digit."""
    if not re.fullmatch(r"[0-9]{10}", number) or number == "0" * 10:
        return False
    digits = [int(sign) for sign in number]
    total = sum(a * b for a, b in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=False)) + digits[8] * 5 // 10
    return (10 - total % 10) % 10 == digits[9]


def _check_amounts(body: dict[str, Any]) -> None:
    try:
        supply, tax, total = (int(body[name]) for name in ("supplyCostTotal", "taxTotal", "totalAmount"))
        lines = [(int(line["supplyCost"]), int(line["tax"])) for line in body.get("detailList") or []]
    except (ValueError, KeyError, TypeError):
        raise Refused(INVALID, "금액은 정수로 입력합니다.") from None
    if supply + tax != total or (lines and (sum(a for a, _ in lines), sum(b for _, b in lines)) != (supply, tax)):
        raise Refused(INVALID, "금액의 합계가 맞지 않습니다.")
    if body["taxType"] != "과세" and tax:
        raise Refused(INVALID, "영세율과 면세에는 세액이 없습니다.")


def _check_day(text: str, *, may_be_late: bool) -> None:
    """Late is after the 10th of the following month; holidays are not known here."""
    try:
        day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=SEOUL)
    except ValueError:
        raise Refused(INVALID, "작성일자는 yyyyMMdd입니다.") from None
    following = (day.replace(day=1) + timedelta(days=31)).replace(day=11)
    if datetime.now(SEOUL) >= following and not may_be_late:
        raise Refused(OVERDUE, "발행기한이 지났습니다.")


def _check_amendment(book: Book, body: dict[str, Any]) -> None:
    code = body.get("modifyCode")
    if code is None:
        if int(body["totalAmount"]) <= 0:
            raise Refused(INVALID, "수정세금계산서가 아니면 합계금액은 0보다 커야 합니다.")
        return
    if code not in AMENDMENTS:
        raise Refused(WRONG_CODE, "수정사유코드가 올바르지 않습니다.")
    if code in BELOW_ZERO_ONLY and int(body["totalAmount"]) >= 0:
        raise Refused(NOT_BELOW_ZERO, "환입과 계약의 해제는 음수 금액만 입력합니다.")
    original = book.find_approval(str(body.get("orgNTSConfirmNum", "")))
    if original is None or original["state"] == CANCELED:
        raise Refused(INVALID, "당초 승인번호의 세금계산서가 없습니다.")
