"""Move money on a balance when a period is invoiced, an invoice is paid or voided. Each runs inside the caller's transaction."""

from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from django.db.models import F

from ledger.models import Balance, CreditUse
from pricing.exact import EXACT, ZERO
from pricing.totals import MINOR_UNITS


def lock_balance(organization_id: int) -> Balance:
    """The balance row, exclusively until the transaction ends. Taken after the period's lock, as recording does."""
    return Balance.objects.select_for_update().for_organization(organization_id).get()


def invoice_usage(*, balance: Balance, invoice_id: UUID, charged: Decimal, total: Decimal, now: datetime) -> Decimal:
    """Turn unbilled charges (exact, before tax) into a receivable (rounded, with tax), prepaid credit first.

    Returns the credit that was used, in whole minor units and at most `total`.
    """
    credit = min(_whole_units(balance.prepaid, balance.currency), max(total, ZERO))
    Balance.objects.for_organization(balance.pk).update(
        unbilled=F("unbilled") - charged,
        receivable=F("receivable") + EXACT.subtract(total, credit),
        prepaid=F("prepaid") - credit,
    )
    _note_use(balance.pk, invoice_id, credit, now)
    return credit


def cancel_receivable(*, organization_id: int, invoice_id: UUID, due: Decimal, credit: Decimal, now: datetime) -> None:
    """Take back what an invoice claimed, and give back the credit that it used."""
    Balance.objects.for_organization(organization_id).update(
        receivable=F("receivable") - due, prepaid=F("prepaid") + credit
    )
    _note_use(organization_id, invoice_id, -credit, now)


def receive_payment(*, organization_id: int, amount: Decimal) -> None:
    """Money for an invoice came in."""
    Balance.objects.for_organization(organization_id).update(receivable=F("receivable") - amount)


def _note_use(organization_id: int, invoice_id: UUID, amount: Decimal, now: datetime) -> None:
    if amount:
        CreditUse.objects.create(organization_id=organization_id, invoice_id=invoice_id, amount=amount, at=now)


def _whole_units(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-MINOR_UNITS[currency]), rounding=ROUND_DOWN)
