"""국세청 사업자등록정보 상태조회: the tax office's own answer, through the government's data portal (a service key each)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from accounts import json_calls
from accounts.registry.interface import BusinessFacts, BusinessState, RegistryFailed

PATH = "/api/nts-businessman/v1/status"
MOST = 100
LONGEST = 100
STATES: Mapping[str, BusinessState] = {
    "01": BusinessState.ACTIVE,
    "02": BusinessState.SUSPENDED,
    "03": BusinessState.CLOSED,
    "": BusinessState.UNREGISTERED,
}
"""b_stt_cd: 계속사업자, 휴업자, 폐업자, and empty for a number that is not registered."""


class TaxOffice:
    """Asks the tax office, or whatever answers like it at `base_url`."""

    most = MOST

    def __init__(self, *, service_key: str, base_url: str) -> None:
        self._service_key, self._url = service_key, base_url.rstrip("/") + PATH

    def look_up(self, numbers: Sequence[str]) -> Mapping[str, BusinessFacts]:
        asked = {re.sub(r"[^0-9]", "", number): number for number in numbers}
        body = json.dumps({"b_no": list(asked)}).encode()
        try:
            reply = json_calls.call(
                "POST",
                self._url,
                headers={"Content-Type": "application/json"},
                parameters={"serviceKey": self._service_key, "returnType": "JSON"},
                body=body,
            )
        except json_calls.NoAnswer as error:
            raise RegistryFailed(str(error)) from None
        if reply.status != 200 or not isinstance(reply.body, dict) or reply.body.get("status_code") != "OK":
            raise RegistryFailed(f"it answered with HTTP {reply.status} and no list")
        return dict(_facts(asked, reply.body.get("data")))


def _facts(asked: Mapping[str, str], data: Any) -> list[tuple[str, BusinessFacts]]:
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    return [
        (
            asked[row["b_no"]],
            BusinessFacts(state=STATES[row["b_stt_cd"]], tax_type=str(row.get("tax_type", ""))[:LONGEST]),
        )
        for row in rows
        if row.get("b_no") in asked and row.get("b_stt_cd") in STATES
    ]
