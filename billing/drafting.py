"""What a locked period would be invoiced at is written down for an operator; from then on it takes no charges."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.models import User
from billing.models import InvoiceDraft
from billing.period_charges import PeriodCharges
from ledger.models import Balance, BillingPeriod
from pricing.plain_text import plain


def make_draft(
    *,
    period: BillingPeriod,
    balance: Balance,
    charges: PeriodCharges,
    po_number: str,
    now: datetime,
    reason: str = "",
    actor: User | None = None,
) -> InvoiceDraft:
    """The draft of `charges`, its period `closing`. Nothing is claimed: the usage stays unbilled."""
    period.status = BillingPeriod.Status.CLOSING
    period.save(update_fields=["status"])
    totals = charges.charged.totals
    return InvoiceDraft.objects.create(
        organization_id=period.organization_id,
        period=period,
        terms=charges.terms if charges.terms.pk else None,
        po_number=po_number,
        currency=balance.currency,
        tax_rate=balance.tax_rate,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        exact_subtotal=charges.charged.exact,
        lines=[_as_text(row) for row in charges.rows()],
        reason=reason,
        made_by=actor,
        made_at=now,
    )


def is_of(draft: InvoiceDraft, charges: PeriodCharges) -> bool:
    """Whether the draft says of `charges` what an invoice of them would."""
    return draft.total == charges.charged.totals.total and draft.lines == [_as_text(row) for row in charges.rows()]


def _as_text(row: dict[str, Any]) -> dict[str, str | None]:
    """As JSON keeps a line: amounts to the last digit."""
    return {
        name: None if value is None else plain(value) if isinstance(value, Decimal) else str(value)
        for name, value in row.items()
    }
