"""Tax invoices through Popbill: JSON over HTTPS, a bearer token by `popbill_login`, our `mgt_key` as its document number.

What has the same code and no approval number yet counts as unanswered: the sweep looks it up again. Codes and fields are those of
Popbill's reference (developers.popbill.com/reference/taxinvoice: RegistIssue, GetInfo, response codes).
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from accounts import json_calls
from billing.tax.providers.interface import Answer, Party, ProviderRefused, ProviderUnreachable, Sheet, State
from billing.tax.providers.popbill_login import Login, digits

NAME = "popbill"
UNKNOWN_KEY = "-11000005"
"""Popbill's code for a document number that it does not have."""
ISSUED, SENT, SEND_FAILED, CANCELED = range(300, 304), 304, 305, 600
"""Its stateCode: issued and on its way (301–303: before, in and after the transmission, unheard), taken over by the tax office, not
taken over, issue canceled."""


class Popbill:
    """Speaks to Popbill, or to whatever answers like it at `base_url`."""

    name = NAME

    def __init__(self, *, login: Login, base_url: str, user_id: str = "") -> None:
        self._login, self._base_url, self._user_id = login, base_url.rstrip("/"), user_id

    def issue(self, sheet: Sheet) -> Answer:
        answer = self._call("POST", "/Taxinvoice", override="ISSUE", content=document(sheet))
        number = str(answer.get("ntsConfirmNum") or answer.get("ntsconfirmNum") or "")
        if not number:
            raise ProviderUnreachable("it was accepted without an approval number")
        return Answer(state=State.ISSUED, approval_number=number)

    def look_up(self, *, mgt_key: str) -> Answer | None:
        try:
            return _standing(self._call("GET", f"/Taxinvoice/SELL/{mgt_key}"))
        except ProviderRefused as refused:
            if refused.code == UNKNOWN_KEY:
                return None
            raise

    def cancel(self, *, mgt_key: str, why: str) -> Answer:
        self._call("POST", f"/Taxinvoice/SELL/{mgt_key}", override="CANCELISSUE", content={"memo": why[:200]})
        found = self.look_up(mgt_key=mgt_key)
        if found is None:
            raise ProviderUnreachable("it is gone")
        return found

    def _call(
        self, method: str, path: str, *, override: str = "", content: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {self._login.token()}", "Content-Type": "application/json; charset=utf8"}
        if override:
            headers["X-HTTP-Method-Override"] = override
        if self._user_id:
            headers["x-pb-userid"] = self._user_id
        body = None if content is None else json.dumps(content, ensure_ascii=False).encode()
        try:
            reply = json_calls.call(method, self._base_url + path, headers=headers, body=body)
        except json_calls.NoAnswer as error:
            raise ProviderUnreachable(str(error)) from None
        if reply.status == 401:
            self._login.forget()
            raise ProviderUnreachable("the login was not accepted")
        if not isinstance(reply.body, dict):
            raise ProviderUnreachable(f"it answered with HTTP {reply.status} and no object")
        if reply.status != 200 or (isinstance(reply.body.get("code"), int) and reply.body["code"] < 0):
            raise ProviderRefused(str(reply.body.get("code", reply.status)), str(reply.body.get("message", ""))[:200])
        return reply.body


def _standing(info: Mapping[str, Any]) -> Answer:
    """A document that only lies there, saved or waiting for somebody, is not ours to explain: nobody knows."""
    code, number = info.get("stateCode"), str(info.get("ntsconfirmNum") or "")
    states = {**dict.fromkeys(ISSUED, State.ISSUED), SENT: State.SENT, SEND_FAILED: State.SEND_FAILED}
    state = ({**states, CANCELED: State.CANCELED}).get(code if isinstance(code, int) else -1)
    if state is None or not number:
        raise ProviderUnreachable(f"it is there in state {code}, without an approval number or not issued")
    failure = str(info.get("ntssendErrCode") or info.get("ntsresult") or "") if state == State.SEND_FAILED else ""
    return Answer(state=state, approval_number=number, failure=failure)


def document(sheet: Sheet) -> dict[str, Any]:
    """The sheet in Popbill's names; amounts are text of whole won."""
    content: dict[str, Any] = {
        "forceIssue": True,  # also after the deadline, or Popbill refuses: a late one costs less than none, and we alarm before
        "writeDate": f"{sheet.write_date:%Y%m%d}",
        "issueType": "정발행",
        "chargeDirection": "정과금",
        "purposeType": "영수" if sheet.is_received else "청구",
        "taxType": "영세" if sheet.is_zero_rated else "과세",
        "invoicerMgtKey": sheet.mgt_key,
        **_party("invoicer", sheet.supplier, contact=""),
        "invoiceeType": "사업자",
        **_party("invoicee", sheet.buyer, contact="1"),
        "supplyCostTotal": _won(sheet.supply),
        "taxTotal": _won(sheet.tax),
        "totalAmount": _won(sheet.total),
        "remark1": sheet.remark,
        "detailList": [
            {
                "serialNum": number,
                "purchaseDT": f"{item.supplied_on:%Y%m%d}",
                "itemName": item.name,
                "qty": "1",
                "supplyCost": _won(item.supply),
                "tax": _won(item.tax),
            }
            for number, item in enumerate(sheet.items, start=1)
        ],
    }
    if sheet.reason:
        content |= {"modifyCode": int(sheet.reason), "orgNTSConfirmNum": sheet.original_approval_number}
    return content


def _party(role: str, party: Party, *, contact: str) -> dict[str, str]:
    """Popbill numbers the contacts of a buyer, not those of a supplier."""
    return {
        f"{role}CorpNum": digits(party.registration_number),
        f"{role}CorpName": party.name,
        f"{role}CEOName": party.representative,
        f"{role}Addr": party.address,
        f"{role}BizType": party.business_type,
        f"{role}BizClass": party.business_item,
        f"{role}ContactName{contact}": party.contact_name,
        f"{role}Email{contact}": party.email,
    }


def _won(amount: Decimal) -> str:
    return format(amount.quantize(Decimal(1)), "f")
