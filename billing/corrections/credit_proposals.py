"""A closed period whose prices were corrected afterwards: nothing changes, a credit note is proposed, line by line, old and new.

The invoice is final. An operator decides what becomes of the proposal; making the credit note is a step of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing.corrections.proposed_amounts import is_outdated
from billing.corrections.taken_back_calls import service_month
from billing.models import CreditNoteProposal, Invoice
from billing.period_charges import amounts_by_kind, conditions_of_invoice
from catalog.rate_details import RateDetails, details_of
from ledger.models import BillingPeriod
from metering.repricing import Page, Progress, Repriced, differences
from metering.rerating import Outcome
from pricing.conditions import LineKind, charged
from pricing.exact import EXACT, exact_product, exact_sum
from pricing.plain_text import plain
from pricing.tokens import TokenClass
from pricing.totals import Totals

Key = tuple[date | None, int, tuple[object, ...], TokenClass]
"""Month of service if it is not the period's own, applied rate, origin of the new rate, class."""


@dataclass(slots=True)
class Changes:
    """Quantities that would be charged at another unit price, by line."""

    period: BillingPeriod
    quantities: dict[Key, int] = field(default_factory=dict)
    rates: dict[Key, Repriced] = field(default_factory=dict)

    def add(self, found: Repriced) -> None:
        late = service_month(self.period, found.event.occurred_at)
        for token_class, quantity in found.usage.billable_quantities():
            key = (late, found.event.applied_rate_id, found.rate.origin, token_class)
            self.quantities[key] = self.quantities.get(key, 0) + quantity
            self.rates[key] = found

    def lines(self) -> list[dict[str, Any]]:
        """As the proposal keeps them, in a fixed order."""
        charged = details_of(rate_id for _late, rate_id, _origin, _class in self.quantities)
        found = [self._line(key, charged[key[1]]) for key in self.quantities]
        return sorted(
            (line for line in found if line["before"] != line["after"]),
            key=lambda line: tuple(str(value) for value in line.values()),
        )

    def _line(self, key: Key, charged: RateDetails) -> dict[str, Any]:
        late, rate_id, _origin, token_class = key
        new, quantity = self.rates[key].rate, self.quantities[key]
        before = exact_product(quantity, charged.unit_prices[token_class])
        after = exact_product(quantity, new.unit_prices[token_class])
        return {
            "service_month": late.isoformat() if late else None,
            "model": charged.model,
            "token_class": token_class.value,
            "quantity": quantity,
            "applied_rate": rate_id,
            "unit_price": plain(charged.unit_prices[token_class]),
            "new_unit_price": plain(new.unit_prices[token_class]),
            "new_cost_price": new.cost_price_id,
            "new_band": new.band,
            "new_markup": plain(new.markup),
            "new_exchange_rate": plain(new.exchange.rate) if new.exchange else None,
            "before": plain(before),
            "after": plain(after),
            "difference": plain(EXACT.subtract(after, before)),
        }


def propose_credit_note(
    *,
    organization: Organization,
    period_id: int,
    reason: str,
    actor: User | None,
    now: datetime,
    progress: Progress = lambda looked_at, of: None,
) -> tuple[Outcome, CreditNoteProposal | None]:
    """Look at every charge of a closed period, and store what its live invoice would have been instead; None if nothing differs.

    Running again keeps the open proposal while it is right and nobody took calls of its month back since, else supersedes it, and
    proposes nothing that was accepted already.
    The whole invoice is looked at, always: what notes of earlier proposals gave back is taken off when a note is made.
    """
    with tenant_scope([organization.pk]):
        period = BillingPeriod.objects.for_organization(organization).get(pk=period_id)
        outcome, changes = gather(
            period,
            differences(organization_id=organization.pk, period_id=period_id, progress=progress),
        )
        invoices = Invoice.objects.select_for_update().for_organization(organization).filter(period=period)
        invoice = invoices.exclude(status=Invoice.Status.VOID).first()
        if invoice is None:
            return outcome, None
        return outcome, _store(organization, invoice, changes, outcome, reason=reason, actor=actor, now=now)


def gather(period: BillingPeriod, pages: Iterable[Page]) -> tuple[Outcome, Changes]:
    """All that would change in a period. Needs the organization's tenant scope."""
    outcome, changes = Outcome(), Changes(period)
    for page in pages:
        outcome.add(page, corrected=page.repriced)
        for found in page.repriced:
            changes.add(found)
    return outcome, changes


def _store(
    organization: Organization,
    invoice: Invoice,
    changes: Changes,
    outcome: Outcome,
    *,
    reason: str,
    actor: User | None,
    now: datetime,
) -> CreditNoteProposal | None:
    lines = changes.lines()
    proposals = CreditNoteProposal.objects.for_organization(organization).filter(invoice=invoice)
    standing = proposals.filter(status=CreditNoteProposal.Status.PROPOSED).first()
    if standing is not None and standing.lines == lines and not is_outdated(standing):
        return standing
    if standing is not None:
        standing.status = CreditNoteProposal.Status.SUPERSEDED
        standing.save(update_fields=["status"])
    made = proposals.filter(status=CreditNoteProposal.Status.ACCEPTED).order_by("created_at").last()
    if not lines or (made is not None and made.lines == lines):
        return None
    change = exact_sum(Decimal(line["difference"]) for line in lines)
    totals = _totals(invoice, change)
    subtotal, tax = EXACT.subtract(totals.subtotal, invoice.subtotal), EXACT.subtract(totals.tax, invoice.tax)
    proposal = CreditNoteProposal.objects.create(
        organization=organization,
        invoice=invoice,
        reason=reason,
        currency=invoice.currency,
        subtotal_change=subtotal,
        tax_change=tax,
        total_change=EXACT.add(subtotal, tax),
        exact_change=change,
        event_count=outcome.corrected,
        unpriced_count=outcome.unpriced,
        lines=lines,
        created_by=actor,
        created_at=now,
    )
    write_audit_entry(
        action="credit_note.proposed",
        target=invoice.number,
        organization=organization,
        actor=actor,
        now=now,
        detail={"reason": reason, "events": outcome.corrected, "change": plain(proposal.total_change)},
    )
    return proposal


def _totals(invoice: Invoice, change: Decimal) -> Totals:
    """The invoice as it would have been discounted, brought to its minimum and rounded."""
    return charged(
        [amounts_by_kind(invoice)[LineKind.USAGE], change],
        conditions=conditions_of_invoice(invoice),
        currency=invoice.currency,
        tax_rate=invoice.tax_rate,
    ).totals
