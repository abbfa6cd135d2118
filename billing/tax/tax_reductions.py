"""A month that comes to less than nothing – earlier usage was taken back in it – takes back what earlier tax invoices said of it.

A negative invoice has no tax invoice of its own (one is above zero). What it takes back changes the supply value of earlier
supplies, so their tax invoices are amended (02, 부가가치세법 시행령 제70조 제1항 제3호), dated as the invoice: those of the months
whose usage was taken back, each by as much, then the newest, by no more than still stands of each. What no tax invoice says – card
slips prove it, or nothing – is kept in the proof's `by_card`, and how much of it slips had proven in `slips_back`. Everything
here needs the tenant scope, and the balance, locked.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from django.db.models import Sum

from billing.models import Invoice, SupplyProof, TaxInvoice
from billing.tax.tax_planning import original_of, plan_amendment
from billing.tax.tax_sheets import tax_type_of
from billing.tax.tax_sums import OF_INVOICE, left_to_prove, sheets_for, standing
from pricing.exact import ZERO, exact_sum
from pricing.totals import vat

Status = TaxInvoice.Status
Kind = SupplyProof.Kind


Value = tuple[Decimal, Decimal]
"""Supply and tax."""
NOTHING: Final = (ZERO, ZERO)


@dataclass(slots=True)
class _ToTakeBack:
    """What of an invoice below zero is still to be taken back; supply and tax are above zero."""

    invoice: Invoice
    supply: Decimal
    tax: Decimal

    def take(self, most: Decimal, of: Value) -> Value:
        """At most so much supply, of what there is, with its tax: all there is with the last of either."""
        there, tax_there = of
        supply = max(ZERO, min(most, there, self.supply))
        if supply == self.supply:
            tax = self.tax
        elif supply == there:
            tax = tax_there
        else:
            tax = vat(supply, tax_rate=self.invoice.tax_rate, currency=self.invoice.currency)
        tax = max(ZERO, min(tax, tax_there, self.tax))
        self.supply, self.tax = exact_sum((self.supply, -supply)), exact_sum((self.tax, -tax))
        return supply, tax


def plan_reductions(invoice: Invoice, *, now: datetime) -> tuple[Decimal, Decimal]:
    """Amendments of earlier tax invoices for an invoice below zero.

    Returns what they do not cover – 0, or below it – and how much of that card slips had proven.
    """
    back = _ToTakeBack(invoice, invoice.subtotal.copy_negate(), invoice.tax.copy_negate())
    earlier, shrunk = _earlier(invoice), _shrunk_months(invoice)
    said, unsaid, slips = dict[Invoice, Value](), ZERO, ZERO
    for supplied in earlier:
        wrong = shrunk.get(supplied.written_on.replace(day=1), ZERO)
        if wrong > ZERO:
            stands = _standing(supplied, invoice)
            said[supplied] = back.take(wrong, stands)
            left = _less(left_to_prove(supplied, by_card=ZERO), stands)
            rest = exact_sum(back.take(exact_sum((wrong, -said[supplied][0])), left))
            unsaid = exact_sum((unsaid, rest))
            slips = exact_sum(
                (slips, rest if supplied.proof.kind == Kind.CARD_SLIP else min(rest, supplied.proof.by_card))
            )
    for supplied in earlier:
        before = said.get(supplied, NOTHING)
        more = back.take(back.supply, _less(_standing(supplied, invoice), before))
        said[supplied] = exact_sum((before[0], more[0])), exact_sum((before[1], more[1]))
    for supplied, (supply, tax) in said.items():
        if exact_sum((supply, tax)) > ZERO:
            _amend(supplied, invoice, supply=supply, tax=tax, now=now)
    return exact_sum((unsaid, back.supply, back.tax)).copy_negate(), slips


def _amend(supplied: Invoice, invoice: Invoice, *, supply: Decimal, tax: Decimal, now: datetime) -> None:
    original = original_of(supplied)
    assert original is not None, "something of it stands"
    plan_amendment(
        original,
        TaxInvoice.Reason.CHANGE,
        f"{OF_INVOICE}{invoice.pk}",
        supply=supply.copy_negate(),
        tax=tax.copy_negate(),
        dated=invoice.written_on,
        now=now,
    )


def take_back_reductions(invoice: Invoice, *, now: datetime) -> None:
    """The invoice below zero is void: what nobody has is dropped, what was asked for is given back by a sheet of its own."""
    for row in sheets_for(invoice).select_related("invoice", "amends"):
        if row.status in (Status.PLANNED, Status.FAILED):
            row.status = Status.DROPPED
            row.save(update_fields=["status"])
        elif row.status in TaxInvoice.WITH_PROVIDER and row.invoice.status != Invoice.Status.VOID:
            assert row.amends is not None, "an invoice below zero has amendments only"
            plan_amendment(
                row.amends,
                TaxInvoice.Reason.CHANGE,
                f"{row.occasion}:void",
                supply=row.supply.copy_negate(),
                tax=row.tax.copy_negate(),
                now=now,
            )


def _earlier(invoice: Invoice) -> list[Invoice]:
    """The supplies that came before, the newest first."""
    found = Invoice.objects.for_organization(invoice.organization_id).filter(
        total__gt=0, proof__isnull=False, written_on__lte=invoice.written_on
    )
    return list(found.exclude(status=Invoice.Status.VOID).select_related("proof").order_by("-written_on", "-pk"))


def _shrunk_months(invoice: Invoice) -> dict[date, Decimal]:
    """By how much the supply of each month was too high that is less by this invoice."""
    months = invoice.lines.exclude(service_month=None).values_list("service_month").annotate(Sum("amount"))
    return {month: amount.copy_negate() for month, amount in months if amount < ZERO}


def _standing(supplied: Invoice, invoice: Invoice) -> Value:
    """What its tax invoices say that an invoice of this kind of tax can take back."""
    if supplied.proof.kind != Kind.TAX_INVOICE or tax_type_of(supplied) != tax_type_of(invoice):
        return NOTHING
    return standing(supplied)


def _less(there: Value, gone: Value) -> Value:
    return exact_sum((there[0], -gone[0])), exact_sum((there[1], -gone[1]))
