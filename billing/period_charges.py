"""What a period costs: lines of usage, then what the terms in force at its start make of them. Estimate, simulation, draft and
invoice all ask here or with `pricing.conditions`, so on the same usage they are the same won.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Sum

from accounts.models import Organization
from billing.models import BillingTerms, Invoice, InvoiceLine
from billing.terms import conditions_of
from billing.usage_lines import UsageLine, usage_lines
from ledger.models import BillingPeriod
from pricing.conditions import Charged, Conditions, LineKind, charged, formulas
from pricing.exact import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCharges:
    """The lines of a period's usage, and what it comes to under its terms."""

    lines: Sequence[UsageLine]
    terms: BillingTerms
    charged: Charged


def charges_of(
    *, organization: Organization, period: BillingPeriod, terms: BillingTerms, tax_rate: Decimal
) -> PeriodCharges:
    """What was charged to `period`, which need not be stored. Needs the organization's tenant scope."""
    lines = usage_lines(organization=organization, period=period) if period.pk else []
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
