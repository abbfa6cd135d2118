"""What the tests of collection share: acme's open invoice of ₩2,260, the processor stand-in, its hosted page, its webhooks."""

import http.client
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.db import connections
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from accounts.tenancy import tenant_scope
from billing import collection, cycle, invoicing
from billing.models import Invoice, OutboxMail, Payment
from billing.sellers import set_seller
from ledger.models import Balance
from pricing.tokens import TokenUsage
from sandbox.payments.webhooks import sign
from tests import stories
from tests.sandbox.processes import StandIn
from tests.stories import SELLER, Cast, Company, use

OCTOBER = datetime(2026, 10, 20, 3, tzinfo=UTC)
AFTER = datetime(2026, 11, 2, tzinfo=UTC)
SECRET = "whsec_collecting"
LOTS = TokenUsage(input_tokens=100_000_000, output_tokens=0)
"""₩7,260 with VAT, of which the trial credit pays ₩5,000."""
DUE = 2260


def meet_the_debtors() -> Cast:
    """The cast in October, with a seller whose invoices these are."""
    cast = stories.meet_the_cast(now=OCTOBER - timedelta(days=5))
    set_seller(now=OCTOBER - timedelta(days=30), **SELLER)
    return cast


def open_invoice(company: Company, *, usage: TokenUsage = LOTS) -> Invoice:
    """The company's invoice for October."""
    use(company.organization, at=OCTOBER, usage=usage)
    periods = cycle.periods_of_month("2026-10", now=AFTER)
    [period] = [period for period in periods if period.organization_id == company.organization.pk]
    invoice = invoicing.close_period(organization_id=company.organization.pk, period_id=period.period_id, now=AFTER)
    assert invoice is not None
    return invoice


@dataclass
class House:
    """An open invoice, and everybody who wants something of it."""

    cast: Cast
    invoice: Invoice
    processor: StandIn

    @property
    def organization_id(self) -> int:
        return self.invoice.organization_id

    @property
    def owner(self) -> User:
        companies = (self.cast.acme, self.cast.globex)
        return next(company.owner for company in companies if company.organization.pk == self.organization_id)

    def pay(self, *, now: datetime | None = None) -> Payment:
        return collection.start_payment(
            organization_id=self.organization_id,
            invoice_id=self.invoice.pk,
            now=now or moment(),
            user=self.owner,
        )

    def payments(self) -> list[Payment]:
        with tenant_scope([self.organization_id]):
            return list(Payment.objects.order_by("created_at", "pk"))

    def payment(self) -> Payment:
        [payment] = self.payments()
        return payment

    def status(self) -> str:
        with tenant_scope([self.organization_id]):
            return Invoice.objects.get(pk=self.invoice.pk).status

    def balance(self) -> Balance:
        with tenant_scope([self.organization_id]):
            return Balance.objects.get()

    def mails(self) -> list[str]:
        with tenant_scope([self.organization_id]):
            return [mail.kind for mail in OutboxMail.objects.order_by("created_at") if mail.kind != "invoice"]

    def taken(self) -> int:
        """The won that the processor took, by its own books."""
        totals = self.processor.get("/sandbox/ledger")["totals"]
        return int(totals.get("krw", {}).get("net", 0))

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The processor's events, oldest first."""
        answer = self.processor.call("GET", "/v1/events?limit=100", headers={"Authorization": "Bearer sk_test_x"})[2]
        return [event for event in reversed(answer["data"]) if kind in event["type"]]


def moment() -> datetime:
    """Now, for the stand-in lives in real time."""
    return datetime.now(UTC)


def type_card(url: str, card: str = "succeeds") -> tuple[int, str]:
    """Choose a test card on a hosted page; status and where the browser is sent."""
    return submit(url, {"card": card})


def submit(url: str, fields: dict[str, str]) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", parts.path, urlencode(fields), headers)
    answer = connection.getresponse()
    answer.read()
    location = answer.getheader("Location", "")
    connection.close()
    return answer.status, location


def deliver(event: dict[str, Any], *, at: datetime | None = None, secret: str = SECRET, **changes: Any) -> HttpResponse:
    """Post an event to our inbox as the processor would, signed at `at` with `secret`."""
    payload = json.dumps(event | changes).encode()
    signature = sign(payload, secret=secret, timestamp=int((at or moment()).timestamp()))
    return post(payload, signature)


def post(payload: bytes, signature: str) -> HttpResponse:
    headers = {"Stripe-Signature": signature} if signature else {}
    return Client(raise_request_exception=False).post(
        "/webhooks/stripe", payload, content_type="application/json", headers=headers
    )


def at_once(work: Callable[[], Any], *, times: int) -> Sequence[Any]:
    """Run `work` in several threads; their results, or what they raised."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
