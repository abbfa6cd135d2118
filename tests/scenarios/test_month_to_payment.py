"""The month ends: from usage to a paid invoice and its receipt, through the doors that customers and operators have."""

import io
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pypdf
import requests

from tests.scenarios.browsing import Browser
from tests.scenarios.conftest import System
from tests.scenarios.paper import WORDS

SEOUL = ZoneInfo("Asia/Seoul")
SECONDS = 90.0
"""How long something is waited for that takes a moment."""


def last_moment_of_last_month() -> datetime:
    month = datetime.now(UTC).astimezone(SEOUL).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return month - timedelta(hours=1)


def test_a_month_becomes_an_invoice_in_the_mailbox_and_is_paid(system: System) -> None:
    story = Story(system)
    late = story.report_a_call_of_last_month()
    expected = story.estimate_of_last_month()

    before = story.invoices("open")
    dry = story.close("--dry-run")
    assert f"{int(expected['total']):,} KRW" in " ".join(dry.split())
    assert story.invoices("open") == before, "nothing was written"
    closed = story.close()
    invoice = story.invoices("open")[0]
    assert invoice["period"]["start"] == expected["start"]
    assert f"acme {invoice['number']} {int(invoice['total']):,} KRW open" in " ".join(closed.split())
    assert [invoice[name] for name in ("supply_value", "tax", "total")] == [
        expected[name] for name in ("supply_value", "tax", "total")
    ], "the estimate and the invoice are the same won"
    assert "Nothing to close" in story.close()

    story.the_call_stands_behind_its_line(invoice, late)
    story.the_mail_carries_the_pdf(invoice)
    story.the_customer_pays(invoice)
    receipt = story.mail("receipt_mail", invoice)
    assert invoice["number"] in receipt["text"] and f"{int(invoice['amount_due']):,}" in receipt["text"]

    audit = system.manage("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


class Story:
    """Acme's owner and program, and the operator at a shell."""

    def __init__(self, system: System) -> None:
        self.system, self.site = system, system.demo["site"]
        self.program = requests.Session()
        self.program.headers["Authorization"] = f"Bearer {system.demo['api_key']}"

    def get(self, path: str) -> Any:
        answer = self.program.get(f"{self.site}/api/v1/{path}", timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def report_a_call_of_last_month(self) -> dict[str, Any]:
        """A foreign gateway is a little late with it; the month is still open."""
        event: dict[str, Any] = {
            "id": "last-call-of-the-month",
            "model": "mistralai/devstral-small",
            "occurred_at": last_moment_of_last_month().isoformat(),
            "input_tokens": 500_000,
            "output_tokens": 500_000,
        }
        answer = self.program.post(f"{self.site}/api/v1/usage/events", json=[event], timeout=20)
        assert answer.json()["accepted"] == 1, answer.text
        found: dict[str, Any] = self.get(f"usage/events/{answer.json()['results'][0]['event_id']}")
        return found

    def estimate_of_last_month(self) -> dict[str, Any]:
        [earlier] = self.get("estimates/current")["earlier"]
        found: dict[str, Any] = earlier
        return found

    def invoices(self, status: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"invoices?status={status}")["data"]
        return found

    def close(self, *words: str) -> str:
        month = f"{last_moment_of_last_month():%Y-%m}"
        done = self.system.manage("close_period", "--period", month, "--timeout", "60", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def the_call_stands_behind_its_line(self, invoice: dict[str, Any], call: dict[str, Any]) -> None:
        detail = self.get(f"invoices/{invoice['id']}")
        [line] = [
            line
            for line in detail["lines"]
            if line["model"] == call["model"] and line["token_class"] == "input" and not line["service_month"]
        ]
        path = f"invoices/{invoice['id']}/lines/{line['position']}/events?limit=200"
        answer = self.get(path)
        events = answer["data"]
        while answer["next_cursor"]:
            answer = self.get(f"{path}&cursor={answer['next_cursor']}")
            events += answer["data"]
        assert call["id"] in {event["id"] for event in events}
        assert sum(Decimal(event["line_amount"]) for event in events) == Decimal(line["exact_amount"])

    def mail(self, kind: str, invoice: dict[str, Any]) -> dict[str, Any]:
        """The mail of this kind to acme's owner about `invoice`, waited for."""
        subject = WORDS[invoice["language"]][kind].format(number=invoice["number"])
        return self.system.mail_to("owner@acme.example", subject_has=subject)

    def the_mail_carries_the_pdf(self, invoice: dict[str, Any]) -> None:
        mail = self.mail("invoice_mail", invoice)
        [attached] = mail["attachments"]
        assert (attached["filename"], attached["content_type"]) == (f"{invoice['number']}.pdf", "application/pdf")
        found = requests.get(f"{self.system.demo['mailbox']}/api/messages/{mail['id']}/attachments/0", timeout=10)
        pdf = self.program.get(f"{self.site}/api/v1/invoices/{invoice['id']}/pdf", timeout=20)
        assert pdf.content == found.content, "what was mailed is what can be downloaded"
        text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.content)).pages)
        assert invoice["number"] in text and f"{int(invoice['total']):,}" in text

    def the_customer_pays(self, invoice: dict[str, Any]) -> None:
        browser = Browser(language="en").open(f"{self.site}/accounts/login/")
        browser.submit(holding="login", login=self.system.demo["email"], password=self.system.demo["password"])
        browser.open(f"{self.site}/o/acme/invoices")
        assert invoice["number"] in browser.text
        page = f"{self.site}/o/acme/invoices/{invoice['id']}"
        browser.open(page).submit(holding="/pay")
        hosted = browser.url
        assert not hosted.startswith(self.site), "the processor's page"
        assert browser.submit(holding="card", card="declines").status == 402
        browser.open(hosted).submit(holding="card", card="succeeds")
        assert browser.url == f"{page}?payment=done"
        deadline = time.monotonic() + SECONDS
        while self.get(f"invoices/{invoice['id']}")["status"] != "paid":
            assert time.monotonic() < deadline, "the webhook did not settle it"
            time.sleep(0.2)
        [payment] = self.get(f"payments?invoice={invoice['id']}")["data"]
        assert (payment["status"], payment["amount"]) == ("succeeded", invoice["amount_due"])
        assert "badge-good" in browser.open(page).text and '/pay"' not in browser.text
        assert 'id="payment-progress"' not in browser.open(f"{page}?payment=done").text, "it waits no more"
