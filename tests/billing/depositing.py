"""What the tests of deposits share: three customers with open invoices, statements of our account, and who owes what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounts.models import BillingProfile
from accounts.tenancy import tenant_scope
from billing import cycle, invoicing
from billing.bank.statement_import import import_statement
from billing.bank.transfer_matching import match_waiting
from billing.models import BankDeposit, DepositDecision, Invoice, Payment
from billing.settlement import outstanding
from pricing.tokens import TokenUsage
from tests.billing.collecting import AFTER, DUE, OCTOBER, meet_the_debtors, open_invoice
from tests.stories import Cast, Company, use

ACCOUNT = "123456789012"
NOW = datetime(2026, 11, 10, 3, tzinfo=UTC)
HEAD = "거래일시,적요,입금액,출금액,잔액,거래점"
LEGAL_NAMES = {"acme": ("주식회사 에이크미", "왕대표"), "globex": ("글로벡스 코리아 유한회사", "김사장")}


@dataclass
class Debtors:
    """Acme and globex, each of which owes ₩2,260 for October."""

    cast: Cast
    acme: Invoice
    globex: Invoice

    def left(self, invoice: Invoice) -> Decimal:
        with tenant_scope([invoice.organization_id]):
            return outstanding(Invoice.objects.get(pk=invoice.pk))

    def paid(self, company: Company) -> list[Decimal]:
        with tenant_scope([company.organization.pk]):
            payments = Payment.objects.filter(status=Payment.Status.SUCCEEDED)
            return list(payments.order_by("created_at", "idempotency_key").values_list("amount", flat=True))


def meet_debtors_of_transfers() -> Debtors:
    cast = meet_the_debtors()
    for company in (cast.acme, cast.globex):
        legal_name, representative = LEGAL_NAMES[company.organization.slug]
        BillingProfile.objects.using("system").filter(organization=company.organization).update(
            legal_name=legal_name, representative=representative
        )
    return Debtors(cast, open_invoice(cast.acme), open_invoice(cast.globex))


def next_invoice(company: Company) -> Invoice:
    """Another one, for November, of ₩7,260."""
    use(
        company.organization,
        at=OCTOBER + timedelta(days=31),
        usage=TokenUsage(input_tokens=100_000_000, output_tokens=0),
    )
    later = AFTER + timedelta(days=31)
    periods = cycle.periods_of_month("2026-11", now=later)
    [period] = [one for one in periods if one.organization_id == company.organization.pk]
    invoice = invoicing.close_period(organization_id=company.organization.pk, period_id=period.period_id, now=later)
    assert invoice is not None
    return invoice


def statement(*lines: tuple[str, str, int], start: int = 1_000_000) -> bytes:
    """A statement with a line of (moment, payer, amount) each, and the balance after it."""
    rows, balance = [HEAD], start
    for at, payer, amount in lines:
        balance += amount
        rows.append(f"{at},{payer},{amount},,{balance},강남")
    return "\n".join(rows).encode()


def take(content: bytes, *, now: datetime = NOW) -> Sequence[DepositDecision]:
    """Import a statement and match what is certain."""
    import_statement(content, file_name="statement.csv", account=ACCOUNT, now=now, actor=None)
    return match_waiting(now=now)


def deposits() -> list[BankDeposit]:
    return list(BankDeposit.objects.using("system").order_by("at", "pk"))


__all__ = [
    "ACCOUNT",
    "DUE",
    "NOW",
    "Debtors",
    "deposits",
    "meet_debtors_of_transfers",
    "next_invoice",
    "statement",
    "take",
]
