"""What the tests of tax invoices share: acme as a business, its invoice for October, and the provider's own book."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from accounts.models import BillingProfile
from accounts.profiles import update_profile
from accounts.tenancy import tenant_scope
from billing.bank.bank_transfers import record_transfer
from billing.corrections.credit_notes import issue_credit_note
from billing.corrections.creditable import MoneyBack
from billing.models import Invoice, Payment, SupplyProof, TaxInvoice
from billing.onboarding import tax_rate_of
from billing.processors.interface import Answer, Status
from billing.settlement import record_answer
from billing.tax import tax_invoice_run
from ledger.models import Balance
from tests.billing.collecting import AFTER, DUE, meet_the_debtors, open_invoice
from tests.sandbox.processes import StandIn
from tests.stories import Cast

TAX_SECRET = base64.b64encode(b"a secret of thirty-two bytes....").decode()
ACME_NUMBER = "120-81-47521"
LATER = AFTER + timedelta(hours=1)
DETAILS = {
    "legal_name": "에이크미 주식회사",
    "registration_number": ACME_NUMBER,
    "representative": "김가상",
    "address": "서울특별시 강남구 가상로 1",
    "business_type": "정보통신업",
    "business_item": "소프트웨어",
    "contact_email": "tax@acme.example",
}


@dataclass
class Desk:
    """An invoice of acme, a business, and what became of its proof."""

    cast: Cast
    invoice: Invoice
    provider: StandIn

    @property
    def organization_id(self) -> int:
        return self.invoice.organization_id

    def run(self, now: datetime = LATER) -> int:
        """A round of beat."""
        return tax_invoice_run.run(now=now)

    def proof(self) -> str:
        with tenant_scope([self.organization_id]):
            return SupplyProof.objects.get(invoice=self.invoice).kind

    def rows(self) -> list[TaxInvoice]:
        with tenant_scope([self.organization_id]):
            return list(TaxInvoice.objects.filter(invoice=self.invoice).order_by("created_at", "total"))

    def original(self) -> TaxInvoice:
        return next(row for row in self.rows() if not row.reason)

    def sheets(self) -> list[dict[str, Any]]:
        """What the provider has, by its own book."""
        sheets: list[dict[str, Any]] = self.provider.get("/sandbox/book")["sheets"]
        return sheets

    def fresh(self) -> Invoice:
        with tenant_scope([self.organization_id]):
            return Invoice.objects.get(pk=self.invoice.pk)

    def transfer(self, amount: int = DUE, *, now: datetime = LATER) -> Payment:
        return record_transfer(
            organization_id=self.organization_id,
            invoice_id=self.invoice.pk,
            amount=Decimal(amount),
            payer_name="에이크미",
            key=uuid4().hex[:8],
            received_at=now,
            actor=None,
            now=now,
        )

    def card_attempt(self, *, now: datetime = LATER, amount: int = DUE) -> Payment:
        """An attempt by card whose page is open."""
        return Payment.objects.using("system").create(
            organization_id=self.organization_id,
            invoice=self.invoice,
            processor="stripe",
            amount=amount,
            currency="KRW",
            status=Payment.Status.REQUIRES_ACTION,
            idempotency_key=uuid4().hex,
            created_at=now,
        )

    def card_pays(self, attempt: Payment, *, now: datetime = LATER) -> None:
        answer = Answer(
            status=Status.SUCCEEDED,
            reference=attempt.idempotency_key,
            amount=attempt.amount,
            currency="KRW",
            money_reference=f"pi_{attempt.idempotency_key}",
        )
        record_answer(organization_id=self.organization_id, payment_id=attempt.pk, answer=answer, now=now)


def business_desk(
    provider: StandIn, *, treatment: str = "standard", before: Callable[[Cast], None] | None = None, **details: str
) -> Desk:
    """Acme has told its registration number before October was invoiced; `before` is what else happened by then."""
    cast = meet_the_debtors()
    if before is not None:
        before(cast)
    acme = cast.acme
    with tenant_scope([acme.organization.pk]):
        BillingProfile.objects.update(tax_treatment=treatment)
        Balance.objects.update(tax_rate=tax_rate_of(treatment))
    update_profile(organization=acme.organization, changes=DETAILS | details, actor=acme.owner, now=AFTER)
    return Desk(cast, open_invoice(acme), provider)


def on(day: int, month: int = 11, hour: int = 3, year: int = 2026) -> datetime:
    """That day at noon in Seoul."""
    return datetime(year, month, day, hour, tzinfo=UTC)


def note(desk: Desk, amount: int | None, *, code: str = "02", now: datetime | None = None) -> None:
    """A credit note on the invoice's first line, or (None) on all that is left of it."""
    issue_credit_note(
        organization_id=desk.organization_id,
        invoice_id=desk.invoice.pk,
        amounts=None if amount is None else {1: Decimal(amount)},
        money_back=MoneyBack.CREDIT,
        reason_code=code,
        reason="mistake",
        now=now or on(20),
        actor=None,
    )
