"""How VAT applies to a customer from the running month on: standard, zero-rated, out of scope – with the evidence that it needs.

A month has one treatment, as it has one invoice. So it is changed for the running month and those after it, and never while an
ended month still waits to be invoiced: that one was supplied under the treatment before. What is held and limited counts the new
tax at once. An invoice that is issued anew goes by the treatment of the day on which that is done.
"""

from datetime import datetime

from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import BillingProfile, Currency, Organization, TaxTreatment, User
from billing.onboarding import tax_rate_of
from ledger.models import Balance, BillingPeriod


class MonthNotInvoiced(Exception):
    """A month that has ended is not invoiced yet: invoice it first, for it keeps the treatment before."""


class EvidenceMissing(ValueError):
    """Other treatments than the standard one need evidence: what proves them, and where it is kept."""


class NotInThisCurrency(ValueError):
    """Only zero-rated and out-of-scope customers are billed in other currencies than the won."""


def set_treatment(
    *, organization: Organization, treatment: str, evidence: str, reason: str, actor: User | None, now: datetime
) -> BillingProfile:
    """Tax the running month and later ones so. The very same changes nothing.

    Raises MonthNotInvoiced, EvidenceMissing, NotInThisCurrency.
    """
    if treatment != TaxTreatment.STANDARD and not evidence:
        raise EvidenceMissing(treatment)
    if treatment == TaxTreatment.STANDARD and organization.billing_currency != Currency.KRW:
        raise NotInThisCurrency(organization.billing_currency)
    with transaction.atomic(using="system"):
        refuse_while_uninvoiced(organization, now=now)
        balance = Balance.objects.using("system").select_for_update().get(organization=organization)
        profile = BillingProfile.objects.using("system").select_for_update().get(organization=organization)
        before = profile.tax_treatment
        if (before, profile.tax_evidence) == (treatment, evidence):
            return profile
        profile.tax_treatment, profile.tax_evidence = treatment, evidence
        profile.save(using="system", update_fields=["tax_treatment", "tax_evidence"])
        balance.tax_rate = tax_rate_of(treatment)
        balance.save(using="system", update_fields=["tax_rate"])
        write_audit_entry(
            action="tax_treatment.set",
            target=organization.slug,
            organization=organization,
            actor=actor,
            now=now,
            detail={"from": before, "to": treatment, "evidence": evidence, "reason": reason},
            using="system",
        )
    return profile


def refuse_while_uninvoiced(organization: Organization, *, now: datetime) -> None:
    """Raises MonthNotInvoiced. The row of the period is locked, so that it is not closed meanwhile."""
    periods = BillingPeriod.objects.using("system").select_for_update().filter(organization=organization)
    ended = periods.filter(ends_at__lte=now).exclude(status=BillingPeriod.Status.CLOSED).order_by("starts_at").first()
    if ended is not None:
        raise MonthNotInvoiced(ended.starts_at.isoformat())
