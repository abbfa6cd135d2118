"""What the tests of corrections share: notes, refunds and write-offs of a house's invoice, and where its money stands."""

from decimal import Decimal
from typing import Any

from accounts.tenancy import tenant_scope
from billing.corrections.credit_notes import issue_credit_note
from billing.corrections.creditable import MoneyBack
from billing.models import CreditNote, Invoice, Refund
from billing.settlement import outstanding
from ledger.models import Account, CreditGrant, LedgerEntry
from pricing.tokens import TokenUsage
from tests.billing.collecting import House, moment

TWO_LINES = TokenUsage(input_tokens=100_000_000, output_tokens=1_000_000)
CREDIT, REFUND = MoneyBack.CREDIT, MoneyBack.REFUND


def note_on(house: House, amounts: dict[int, int] | None = None, **changes: Any) -> CreditNote:
    """A credit note on the house's invoice: whole, or of `amounts` by line position."""
    given: dict[str, Any] = {
        "organization_id": house.organization_id,
        "invoice_id": house.invoice.pk,
        "amounts": None if amounts is None else {position: Decimal(amount) for position, amount in amounts.items()},
        "money_back": CREDIT,
        "reason_code": "02",
        "reason": "Agreed by phone",
        "actor": house.cast.operator,
        "now": moment(),
    }
    return issue_credit_note(**(given | changes))


def owed(house: House) -> Decimal:
    with tenant_scope([house.organization_id]):
        return outstanding(Invoice.objects.get(pk=house.invoice.pk))


def on_account(house: House, account: Account) -> Decimal:
    """What an account of the journal adds up to, debits above zero."""
    with tenant_scope([house.organization_id]):
        entries = LedgerEntry.objects.filter(account=account.value)
        return sum(entries.values_list("amount", flat=True), Decimal(0))


def credits_of(house: House, kind: str = "paid") -> list[Decimal]:
    """Credits of a kind that were given after the trial's, the oldest first."""
    with tenant_scope([house.organization_id]):
        found = CreditGrant.objects.filter(kind=kind).exclude(key__startswith="trial").order_by("pk")
        return list(found.values_list("amount", flat=True))


def refunds(house: House) -> list[Refund]:
    with tenant_scope([house.organization_id]):
        return list(Refund.objects.order_by("created_at", "pk"))


def refund(house: House) -> Refund:
    [found] = refunds(house)
    return found
