"""What a period costs: lines of usage, then what the terms in force at its start make of them. Estimate, simulation, draft and
invoice all ask here or with `pricing.conditions`, so on the same usage they are the same won.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from accounts.models import Organization
from billing.models import BillingTerms, Invoice, InvoiceLine
from billing.terms import conditions_of
from billing.usage_lines import PeriodUsage, UsageLine, stored_usage, usage_lines
from ledger.models import BillingPeriod
from pricing.conditions import Charged, Conditions, LineKind, charged, formulas
from pricing.exact import ZERO


class LinesDisagree(Exception):
    """The lines do not add up to the rollups they were made of. Nothing was written; run `manage.py audit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCharges:
    """The lines of a period's usage, and what it comes to under its terms."""

    lines: Sequence[UsageLine]
    terms: BillingTerms
    charged: Charged

    def rows(self) -> Iterator[dict[str, Any]]:
        """The fields of the invoice's lines: usage first, then what was agreed."""
        for line, amount in zip(self.lines, self.charged.usage_lines, strict=True):
            yield {
                "kind": LineKind.USAGE,
                "model": line.rate.model,
                "token_class": line.token_class.value,
                "applied_rate_id": line.applied_rate_id,
                "service_month": line.service_month,
                "quantity": line.quantity,
                "unit_price": line.unit_price,
                "exact_amount": line.amount,
                "amount": amount,
            }
        for agreed in self.charged.agreed:
            yield {
                "kind": agreed.kind,
                "model": "",
                "token_class": "",
                "applied_rate_id": None,
                "service_month": None,
                "quantity": 1,
                "unit_price": agreed.amount,
                "exact_amount": agreed.amount,
                "amount": agreed.rounded,
            }


def charges_of(
    *,
    organization: Organization,
    period: BillingPeriod,
    terms: BillingTerms,
    tax_rate: Decimal,
    lines: Sequence[UsageLine] | None = None,
) -> PeriodCharges:
    """What was charged to `period`, which need not be stored. Needs the organization's tenant scope.

    `lines` are those of its usage where the caller has them.
    """
    if lines is None:
        lines = usage_lines(organization=organization, period=period)
    return PeriodCharges(
        lines=lines,
        terms=terms,
        charged=charged(
            [line.amount for line in lines],
            conditions=conditions_of(terms, organization=organization, period=period),
            currency=organization.billing_currency,
            tax_rate=tax_rate,
        ),
    )


def lock_period(organization_id: int, period_id: int) -> tuple[Organization, BillingPeriod]:
    """The period's row, until the transaction ends, and whose it is. Needs the tenant scope."""
    periods = BillingPeriod.objects.select_for_update(of=("self",)).select_related("organization")
    period = periods.for_organization(organization_id).get(pk=period_id)
    return period.organization, period


def proven_charges(
    *,
    organization: Organization,
    period: BillingPeriod,
    terms: BillingTerms,
    tax_rate: Decimal,
    usage: PeriodUsage | None = None,
) -> PeriodCharges:
    """`charges_of`, its usage compared with the rollups that it was made of. Raises LinesDisagree."""
    usage = usage or stored_usage(organization=organization, period=period)
    charges = charges_of(organization=organization, period=period, terms=terms, tax_rate=tax_rate, lines=usage.lines)
    if charges.charged.usage != usage.amount:
        raise LinesDisagree(f"{organization.slug}, period {period.pk}")
    return charges


def amounts_by_kind(invoice: Invoice) -> dict[LineKind, Decimal]:
    """What the lines of each kind add up to, exactly; 0 for a kind without a line. Needs the tenant scope."""
    lines = InvoiceLine.objects.for_organization(invoice.organization_id).filter(invoice=invoice).order_by()
    found = dict(lines.values_list("kind").annotate(sum=Sum("exact_amount")))
    return {kind: found.get(kind, ZERO) for kind in LineKind}


def conditions_of_invoice(invoice: Invoice) -> Conditions:
    """What was agreed for the period of an invoice, its period and organization at hand."""
    return conditions_of(invoice.terms or BillingTerms(), organization=invoice.organization, period=invoice.period)


def formulas_of(invoice: Invoice, usage: Decimal) -> dict[LineKind, str]:
    """How the lines without usage of an invoice are worked out from the exact sum of its usage."""
    return formulas(usage, conditions_of_invoice(invoice))
