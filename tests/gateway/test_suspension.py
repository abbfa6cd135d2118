"""A customer who does not pay: its keys are refused with the invoice's number, all else goes on, a payment opens them again."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import openai
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import record_transfer
from billing.invoicing import close_period
from billing.models import Invoice
from billing.overdue import dunning, suspension
from billing.overdue.dunning_policy import Policies, Policy, set_policy
from billing.sellers import set_seller
from ledger.models import BillingPeriod
from pricing.tokens import TokenUsage
from tests import stories
from tests.gateway.running import House, wait_until
from tests.stories import Company

HELLO: Any = [{"role": "user", "content": "안녕하세요"}]
SECONDS = 5


@pytest.fixture
def debtor(house: House) -> tuple[Company, Invoice]:
    """A customer with an invoice that was due 26 days ago, and credit enough to call."""
    now = timezone.now()
    set_seller(now=now - timedelta(days=100), **stories.SELLER)
    company = stories.make_company("debtor", now=now - timedelta(days=90), credit_line=Decimal(1_000_000))
    used = now - timedelta(days=75)
    stories.use(company.organization, at=used, usage=TokenUsage(input_tokens=100_000_000, output_tokens=0))
    period = BillingPeriod.objects.using("system").get(organization=company.organization)
    issued = now - timedelta(days=40)
    invoice = close_period(organization_id=company.organization.pk, period_id=period.pk, now=issued)
    assert invoice is not None
    policy = Policy(overdue_days=(1,), suspend_after=5)
    set_policy(organization=company.organization, policy=policy, reason="", now=issued, actor=None)
    return company, invoice


def days_go_by(invoice: Invoice, last: int) -> None:
    noon = datetime(invoice.due_on.year, invoice.due_on.month, invoice.due_on.day, 3, tzinfo=UTC)
    for number in range(1, last + 1):
        now = noon + timedelta(days=number)
        dunning.dun(organization_id=invoice.organization_id, policies=Policies(now=now), now=now)


def call(house: House, company: Company) -> Any:
    client = house.gateway.client(company.secret).with_options(max_retries=0)
    return client.chat.completions.create(model=stories.DEVSTRAL, messages=HELLO, max_tokens=5)


def refusal_of(house: House, company: Company) -> openai.APIStatusError | None:
    try:
        call(house, company)
    except openai.APIStatusError as error:
        return error
    return None


def test_dunning_to_suspension_and_back(house: House, debtor: tuple[Company, Invoice]) -> None:
    company, invoice = debtor
    days_go_by(invoice, 4)
    assert call(house, company).usage is not None
    days_go_by(invoice, 5)
    wait_until(lambda: refusal_of(house, company) is not None, seconds=SECONDS)
    error = refusal_of(house, company)
    assert error is not None
    assert (error.status_code, error.code, error.type) == (402, "account_suspended", "billing_error")
    assert invoice.number in error.message and "2,260 KRW" in error.message
    assert isinstance(error.body, dict)
    assert error.body["invoice"]["url"].endswith(f"/o/debtor/invoices/{invoice.pk}")
    assert error.response.headers["x-should-retry"] == "false"

    site = Client(headers=company.headers)
    said = site.get("/api/v1/balance").json()
    assert said["suspended"] is True
    assert (said["suspension"]["cause"], said["suspension"]["invoice_number"]) == ("overdue", invoice.number)
    assert site.get("/api/v1/organization").json()["status"] == "suspended"
    assert site.get("/api/v1/usage").status_code == 200
    pushed = {"id": "pushed-while-suspended", "model": stories.DEVSTRAL, "input_tokens": 10, "output_tokens": 1}
    pushed["occurred_at"] = timezone.now().isoformat()
    answer = site.post("/api/v1/usage/events", [pushed], content_type="application/json")
    assert answer.status_code == 200, answer.content
    assert [item["status"] for item in answer.json()["results"]] == ["accepted"], answer.json()
    assert call(house, house.cast.acme).usage is not None, "neighbours are not concerned"

    record_transfer(
        organization_id=company.organization.pk,
        invoice_id=invoice.pk,
        amount=Decimal(2260),
        payer_name="Debtor",
        key="late",
        received_at=timezone.now(),
        actor=None,
        now=timezone.now(),
    )
    assert suspension.restore_paid(now=timezone.now()) == [company.organization.pk]
    wait_until(lambda: refusal_of(house, company) is None, seconds=SECONDS)
    assert site.get("/api/v1/balance").json()["suspension"] is None
    with tenant_scope([company.organization.pk]):
        assert Invoice.objects.get(pk=invoice.pk).status == "paid"
    call_command("audit")


def test_whom_we_suspend_is_told_to_ask_us(house: House) -> None:
    company = stories.make_company("sleepy", now=timezone.now())
    suspension.suspend(organization_id=company.organization.pk, reason="Abuse", now=timezone.now(), actor=None)
    error = refusal_of(house, company)
    assert error is not None
    assert (error.status_code, error.code) == (403, "account_suspended")
    assert "contact us" in error.message and "Abuse" not in error.message
