"""Move money when a final invoice is corrected: part of its claim is taken back, refunded, or not expected any more.

Each runs inside the caller's transaction, which holds the balance's row. Amounts are above zero and in whole minor units.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from accounts.models import Organization
from ledger.credit_order import CreditLeft
from ledger.credits import grant_credit
from ledger.journal import Posting, post
from ledger.models import Account, CreditGrant, CreditUse, LedgerTransaction, TransactionKind
from ledger.settling import RETURNED_DAYS
from pricing.exact import EXACT, ONE, ZERO, exact_product, exact_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """What a credit note takes back of an invoice; `to_refund` of it is set aside to be sent back."""

    note_id: UUID
    subtotal: Decimal
    tax: Decimal
    to_refund: Decimal


def take_back(*, organization_id: int, reversal: Reversal, now: datetime) -> None:
    """Revenue and tax go down. What was paid already is below zero on the receivable until the caller gives it as credit."""
    total = EXACT.add(reversal.subtotal, reversal.tax)
    entries = {
        Account.REVENUE: reversal.subtotal,
        Account.TAX_PAYABLE: reversal.tax,
        Account.RECEIVABLE: EXACT.subtract(reversal.to_refund, total),
        Account.REFUNDABLE: EXACT.minus(reversal.to_refund),
    }
    _post(organization_id, TransactionKind.CREDIT_NOTE, reversal.note_id, entries, now)


def noted_key(note_id: UUID, grant_id: int | None = None) -> str:
    """The key of the credit that a note gave: of money that was paid, or in place of credit (`grant_id`) that the invoice used."""
    return f"credit_note:{note_id}" if grant_id is None else f"credit_note:{note_id}:{grant_id}"


def return_credit(
    *,
    organization: Organization,
    invoice_id: UUID,
    note_id: UUID,
    earlier: list[UUID],
    amount: Decimal,
    number: str,
    now: datetime,
) -> None:
    """Give back `amount` of the credit that an invoice used, what was used last first; `earlier` notes gave some of it back before.

    It is new credit of the same kind and order, which lasts as long as the old one, and RETURNED_DAYS at least.
    """
    rest = amount
    for grant, used in _used(organization.pk, invoice_id, earlier):
        part = min(rest, used)
        if part > ZERO:
            grant_credit(
                organization=organization,
                amount=part,
                currency=grant.currency,
                kind=grant.kind,
                reason=f"Credit note {number}",
                key=noted_key(note_id, grant.pk),
                now=now,
                expires_at=grant.expires_at and max(grant.expires_at, now + timedelta(days=RETURNED_DAYS)),
                priority=grant.priority,
                source=Account.RECEIVABLE,
            )
            rest = EXACT.subtract(rest, part)
    assert rest == ZERO, "a note gives back no more credit than its invoice used"


def _used(organization_id: int, invoice_id: UUID, earlier: list[UUID]) -> list[CreditLeft]:
    """What an invoice used of each credit and no note gave back yet, the last one first."""
    uses = CreditUse.objects.for_organization(organization_id).filter(invoice_id=invoice_id).select_related("grant")
    found = []
    for use in uses.order_by("-pk"):
        keys = [noted_key(note_id, use.grant_id) for note_id in earlier]
        given = CreditGrant.objects.for_organization(organization_id).filter(key__in=keys)
        back = exact_sum(given.values_list("amount", flat=True))
        found.append((use.grant, EXACT.subtract(use.amount, back)))
    return found


def send_back(
    *,
    organization_id: int,
    refund_id: UUID,
    amount: Decimal,
    excess: Decimal,
    account: Account,
    now: datetime,
    returned: bool = False,
) -> None:
    """A refund has left us through `account`; `returned` if a bank sent it back afterwards, so that it is to be refunded again.

    `excess` of it was not set aside any more: the customer has it twice. What leaves again after it came back is posted again.
    """
    kind = TransactionKind.REFUND_RETURNED if returned else TransactionKind.REFUND
    sign = EXACT.minus(ONE) if returned else ONE
    entries = {
        Account.REFUNDABLE: EXACT.subtract(amount, excess),
        Account.OVERREFUNDED: excess,
        account: EXACT.minus(amount),
    }
    key = _next_key(kind, organization_id=organization_id, refund_id=refund_id)
    signed = {name: exact_product(part, sign) for name, part in entries.items()}
    post(organization_id=organization_id, postings=[Posting(kind, key, signed)], now=now)


def sent_once_after_all(*, organization_id: int, refund_id: UUID, amount: Decimal, now: datetime) -> None:
    """What a customer had twice came back elsewhere: so much of this refund is of what was set aside, after all."""
    kind = TransactionKind.REFUND
    key = _next_key(kind, organization_id=organization_id, refund_id=refund_id)
    entries = {Account.REFUNDABLE: amount, Account.OVERREFUNDED: EXACT.minus(amount)}
    post(organization_id=organization_id, postings=[Posting(kind, key, entries)], now=now)


def _next_key(kind: TransactionKind, *, organization_id: int, refund_id: UUID) -> str:
    posted = LedgerTransaction.objects.for_organization(organization_id).filter(kind=kind.value)
    times = posted.filter(Q(key=str(refund_id)) | Q(key__startswith=f"{refund_id}:")).count()
    return f"{refund_id}:{times}" if times else str(refund_id)


def write_off(*, organization_id: int, invoice_id: UUID, amount: Decimal, now: datetime) -> None:
    """What is receivable of an invoice is bad debt."""
    entries = {Account.BAD_DEBT: amount, Account.RECEIVABLE: EXACT.minus(amount)}
    _post(organization_id, TransactionKind.WRITE_OFF, invoice_id, entries, now)


def recover(*, organization_id: int, payment_id: UUID, amount: Decimal, now: datetime) -> None:
    """A payment that was taken for receivable is of what had been written off."""
    entries = {Account.RECEIVABLE: amount, Account.BAD_DEBT: EXACT.minus(amount)}
    _post(organization_id, TransactionKind.RECOVERY, payment_id, entries, now)


def _post(
    organization_id: int, kind: TransactionKind, key: UUID, entries: dict[Account, Decimal], now: datetime
) -> None:
    post(organization_id=organization_id, postings=[Posting(kind, str(key), entries)], now=now)
