"""The month ends for businesses while workers are killed, Redis is emptied, and the provider of tax invoices loses its answers.

As in `test_month_end_under_fire`: two beats, four workers, a SIGKILL every 200 ms. The provider drops calls before and after it
took them, answers 500 before and after, says "twice" to what came once, and is slow. Some customers pay by transfer, some by card:
on a page that they open while their tax invoice is on its way, or by a card on file that is the proof from the start.

Then its own book says whether each invoice that needs a tax invoice has exactly one, and none that a card has paid.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Alarm
from accounts.profiles import update_profile
from billing import collection
from billing.bank.bank_transfers import record_transfer
from billing.models import CollectionSetting, Invoice, OutboxMail, Payment, SupplyProof, TaxInvoice
from billing.tax.korean_calendar import day_in_seoul, day_of_following_month
from billing.tax.proofs import CardRefused
from tests.billing.collecting import type_card
from tests.billing.tax_papers import DETAILS, TAX_SECRET
from tests.sandbox.processes import StandIn, stand_in
from tests.scenarios.customers import PATIENCE, Customer, with_stored_card
from tests.scenarios.fire import Works, running_works
from tests.scenarios.test_month_end_under_fire import MonthEnd
from tests.scenarios.test_month_to_payment import last_moment_of_last_month
from tests.stories import Company

COMPANIES, KILLS, HITS = 24, 60, 2
ON_THE_PAGE_SECONDS = 2.5
"""Long enough for a sweep that would not wait for an open page."""
ISSUE, ISSUING = "POST /Taxinvoice", "billing.tasks.run_tax_invoices"
FAULTS: list[dict[str, Any]] = [
    {"fault": fault, "where": ISSUE, "times": 2}
    for fault in ("accept-then-drop", "status-500", "accept-then-duplicate", "drop", "accept-then-500", "slow:0.5")
]
SLOW = [{"fault": "slow:0.8", "where": "/Taxinvoice", "times": 60}]
"""Between the moment at which the provider has a sheet and the moment at which we know, a kill is likely then."""
SENT, ISSUED = 304, 300
Kind = SupplyProof.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ByTransfer(Customer):
    """Pays by transfer as soon as there is an invoice."""

    def pay(self, works: Works, invoice_id: UUID) -> None:
        invoice = Invoice.objects.using("system").get(pk=invoice_id)
        record_transfer(
            organization_id=invoice.organization_id,
            invoice_id=invoice_id,
            amount=invoice.amount_due,
            payer_name=self.company.organization.name,
            key=str(invoice_id),
            received_at=datetime.now(UTC),
            actor=None,
            now=datetime.now(UTC),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCardIfPossible(ByTransfer):
    """Wants to pay by card on the page; hears that the tax invoice was asked for; pays by transfer then."""

    hesitates: float
    """Seconds."""

    def pay(self, works: Works, invoice_id: UUID) -> None:
        time.sleep(self.hesitates)
        deadline = time.monotonic() + PATIENCE
        page = ""
        while not page:
            assert time.monotonic() < deadline, "no page to pay on"
            try:
                page = collection.start_payment(
                    organization_id=self.company.organization.pk,
                    invoice_id=invoice_id,
                    now=datetime.now(UTC),
                    user=self.company.owner,
                ).action_url
            except CardRefused:
                ByTransfer.pay(self, works, invoice_id)
                return
        time.sleep(ON_THE_PAGE_SECONDS)
        assert type_card(page)[0] == 303


class TaxMonthEnd(MonthEnd):
    """Most pay by transfer, some on a page if they can, some have a card on file. Every fourth is in dollars and gets no tax
    invoice, every eighth has told no registration number."""

    def customer(self, number: int, company: Company) -> Customer:
        if number % 8 != 4:
            details = DETAILS | {"contact_email": company.owner.email}
            update_profile(organization=company.organization, changes=details, actor=None, now=self.now)
        if number % 4 == 1:
            return ByCardIfPossible(company=company, hesitates=number % 3 * 2.0)
        if number % 8 not in (2, 3):
            return ByTransfer(company=company)
        customer = with_stored_card(company, works=self.works, now=self.now)
        CollectionSetting.objects.using("system").create(
            organization=company.organization, default_method_id=customer.method, is_automatic=True
        )
        return customer

    def unrest(self) -> dict[str, int]:
        unissued = TaxInvoice.objects.using("system").filter(status__in=TaxInvoice.UNISSUED).count()
        return super().unrest() | ({"tax invoices not issued": unissued} if unissued else {})

    def each_has_the_one_proof_that_it_needs(self, sheets: list[dict[str, Any]]) -> None:
        """By the provider's own book, to the won, and by ours."""
        assert {sheet["state"] for sheet in sheets} <= {ISSUED, SENT}
        theirs = Counter((sheet["sheet"]["remark1"], sheet["sheet"]["totalAmount"]) for sheet in sheets)
        invoices = Invoice.objects.using("system").select_related("proof", "organization__billing_profile")
        expected = Counter(
            (invoice.number, f"{invoice.total:.0f}") for invoice in invoices if self._needs_tax_invoice(invoice)
        )
        assert theirs == expected
        rows = TaxInvoice.objects.using("system").exclude(status=TaxInvoice.Status.DROPPED)
        ours = {row.mgt_key: row.approval_number for row in rows}
        assert ours == {sheet["mgt_key"]: sheet["approval_number"] for sheet in sheets}
        assert all(row.issued_at and day_in_seoul(row.issued_at) <= row.due_on for row in rows)
        kinds = Counter(invoice.proof.kind for invoice in invoices)
        print(f"proofs {dict(kinds)}; attempts {Counter(sheet['attempts'] for sheet in sheets)}")
        assert kinds[Kind.TAX_INVOICE] == len(sheets) and kinds[Kind.CARD_SLIP] and kinds[Kind.NONE]

    def each_tax_invoice_is_told_once(self, sheets: list[dict[str, Any]]) -> None:
        told = OutboxMail.objects.using("system").filter(kind=OutboxMail.Kind.TAX_INVOICE)
        assert Counter(mail.invoice.number for mail in told.select_related("invoice") if mail.invoice) == Counter(
            sheet["sheet"]["remark1"] for sheet in sheets
        )

    def _needs_tax_invoice(self, invoice: Invoice) -> bool:
        by_card = invoice.payments.filter(status=Payment.Status.SUCCEEDED).exclude(processor="bank_transfer").exists()
        number = invoice.organization.billing_profile.registration_number
        return bool(number) and invoice.currency == "KRW" and not by_card


@pytest.fixture
def tax_office(tmp_path: Path) -> Iterator[StandIn]:
    directory = str(tmp_path / "tax")
    with stand_in("tax", "--directory", directory, "--secret-key", TAX_SECRET, "--transmit-seconds", "5") as running:
        yield running


@pytest.fixture
def works(
    process_environment: dict[str, str], tmp_path: Path, settings: Settings, tax_office: StandIn
) -> Iterator[Works]:
    """The deadline for last month is yet to come, whatever day it is: all days from the 10th to the day after tomorrow are
    holidays, if any."""
    first = day_of_following_month(last_moment_of_last_month().date(), 10)
    last = day_in_seoul(datetime.now(UTC)) + timedelta(days=2)
    holidays = [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
    more = {
        "POPBILL_LINK_ID": "TESTER",
        "POPBILL_SECRET_KEY": TAX_SECRET,
        "POPBILL_BASE_URL": tax_office.url,
        "POPBILL_AUTH_URL": tax_office.url,
        "NTS_BASE_URL": tax_office.url,
        "NTS_SERVICE_KEY": "key",
        "PUBLIC_HOLIDAYS": ",".join(holidays),
    }
    settings.PUBLIC_HOLIDAYS = frozenset(holidays)
    with running_works(process_environment, settings=settings, folder=tmp_path, more=more) as works:
        yield works


def test_one_tax_invoice_for_each_that_needs_one_whoever_is_killed(works: Works, tax_office: StandIn) -> None:
    month_end = TaxMonthEnd(works, companies=COMPANIES)
    tax_office.order(*FAULTS, *SLOW)
    month_end.live_through_fire(kills=KILLS, hit=lambda fire: fire.hits()[ISSUING] >= HITS)
    sheets = tax_office.get("/sandbox/book")["sheets"]
    month_end.each_organization_has_one_invoice()
    month_end.each_has_the_one_proof_that_it_needs(sheets)
    month_end.each_tax_invoice_is_told_once(sheets)
    assert not Alarm.objects.using("system").filter(kind="supply_proof").exists(), "no card paid beside a tax invoice"
