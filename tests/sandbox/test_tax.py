"""The stand-in of the provider of tax invoices: what it refuses, what it keeps once, and what the tax office says of businesses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.processes import StandIn, stand_in

SELLER, BUYER = "2208162517", "1208147521"
SHEET = {
    "forceIssue": True,
    "writeDate": "20261031",
    "issueType": "정발행",
    "chargeDirection": "정과금",
    "purposeType": "청구",
    "taxType": "과세",
    "invoicerMgtKey": "A1",
    "invoicerCorpNum": SELLER,
    "invoicerCorpName": "인보이스랩",
    "invoicerCEOName": "김대표",
    "invoiceeType": "사업자",
    "invoiceeCorpNum": BUYER,
    "invoiceeCorpName": "에이크미",
    "invoiceeCEOName": "김가상",
    "supplyCostTotal": "1000",
    "taxTotal": "100",
    "totalAmount": "1100",
    "detailList": [{"serialNum": 1, "supplyCost": "1000", "tax": "100"}],
}


@pytest.fixture
def tax(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in("tax", "--directory", str(tmp_path), "--transmit-seconds", "9999") as running:
        yield running


def bearer(tax: StandIn) -> dict[str, str]:
    token = tax.call("POST", "/POPBILL_TEST/Token", {"access_id": SELLER, "scope": ["member", "110"]})[2]
    return {"Authorization": f"Bearer {token['session_token']}", "X-HTTP-Method-Override": "ISSUE"}


def issue(tax: StandIn, **changes: Any) -> tuple[int, dict[str, Any]]:
    status, _head, answer = tax.call("POST", "/Taxinvoice", SHEET | changes, headers=bearer(tax))
    return status, answer


def test_a_document_number_is_taken_once(tax: StandIn) -> None:
    status, answer = issue(tax)
    assert (status, len(answer["ntsConfirmNum"])) == (200, 24)
    assert issue(tax)[0] == 400
    [kept] = tax.get("/sandbox/book")["sheets"]
    assert (kept["approval_number"], kept["attempts"]) == (answer["ntsConfirmNum"], 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"totalAmount": "1101"},
        {"taxType": "영세"},
        {"invoiceeCorpNum": "1208147522"},
        {"invoicerCorpNum": BUYER},
        {"invoicerMgtKey": "x" * 25},
        {"writeDate": "2026-10-31"},
        {"modifyCode": 4, "orgNTSConfirmNum": "0" * 24},
        {"supplyCostTotal": "-1000", "taxTotal": "-100", "totalAmount": "-1100", "detailList": []},
        {"invoiceeCEOName": ""},
        {"writeDate": "20200131", "forceIssue": False},
    ],
    ids=[
        "sum",
        "zero-rated with tax",
        "buyer",
        "member",
        "key",
        "day",
        "original",
        "below zero",
        "representative",
        "late",
    ],
)
def test_what_a_provider_would_refuse_is_refused(tax: StandIn, changes: dict[str, Any]) -> None:
    status, answer = issue(tax, **changes)
    assert status == 400 and answer["code"] < 0 and answer["message"]
    assert tax.get("/sandbox/book")["sheets"] == []


def test_a_cancellation_is_below_zero(tax: StandIn) -> None:
    _status, original = issue(tax)
    amendment = {"invoicerMgtKey": "A2", "modifyCode": 4, "orgNTSConfirmNum": original["ntsConfirmNum"]}
    assert issue(tax, **amendment)[1]["code"] == -11001010
    minus = {"supplyCostTotal": "-1000", "taxTotal": "-100", "totalAmount": "-1100", "detailList": []}
    assert issue(tax, **amendment, **minus)[0] == 200


def test_a_token_wants_the_right_signature(tmp_path: Path) -> None:
    with stand_in("tax", "--directory", str(tmp_path), "--secret-key", "c2VjcmV0") as tax:
        assert tax.call("POST", "/POPBILL_TEST/Token", {"access_id": SELLER})[0] == 401
        assert tax.call("POST", "/Taxinvoice", SHEET, headers={"Authorization": "Bearer x"})[0] == 401


def test_the_tax_office_says_what_it_was_told(tax: StandIn) -> None:
    tax.call("PUT", f"/sandbox/businesses/{BUYER}", {"b_stt_cd": "03", "end_dt": "20260101"})
    path = "/api/nts-businessman/v1/status?serviceKey=x"
    answer = tax.call("POST", path, {"b_no": [SELLER, BUYER, "1208147522"]})[2]
    assert [one["b_stt_cd"] for one in answer["data"]] == ["01", "03", ""]
    assert tax.call("POST", path.partition("?")[0], {"b_no": [SELLER]})[0] == 401


@pytest.mark.parametrize(
    ("language", "heading"), [("ko", "발행된 세금계산서"), ("en", "Tax invoices issued")], ids=["ko", "en"]
)
def test_the_overview_shows_what_was_issued(tax: StandIn, language: str, heading: str) -> None:
    issue(tax)
    page = tax.call("GET", "/", headers={"Accept-Language": language})[2].decode()
    assert heading in page and "₩1,100" in page and "에이크미" in page
