"""A period becomes an invoice, in one transaction: lock, lines, terms, one rounding, VAT, credit, snapshots, and the number last.

Estimates come through the same `period_charges`, so on the same usage they are the same won.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.round_trips import Rows
from accounts.tenancy import tenant_scope
from billing.buyers import read_buyer
from billing.closing_facts import Known, facts_for_closing
from billing.drafting import make_draft
from billing.finalizing import close, finalize, is_invoiced
from billing.models import Invoice, Payment
from billing.period_charges import PeriodCharges, amounts_by_kind, lock_period, proven_charges
from billing.settlement import kept_of, return_payments
from billing.tax.tax_amendments import amend_for_void
from billing.terms import in_force, terms_of
from billing.usage_lines import usage_of
from ledger import settling
from ledger.models import Balance, BillingPeriod
from ledger.retrying import with_retries
from metering.proven_days import differs_in_period
from pricing.conditions import LineKind
from pricing.exact import ZERO


class PeriodNotEnded(Exception):
    """A period can be invoiced only after it ended."""


class PaymentInProgress(Exception):
    """The invoice is being paid, so it cannot be voided until that attempt ended."""


class NotOpen(Exception):
    """Only an open invoice can be voided."""


class Credited(Exception):
    """A credit note gave some of it back: what is left is taken back by another one, not voided."""


class PartIsCredit(Credited):
    """More came in than was due, and the rest is credit that a void invoice could not tell from its own."""


class StillLive(Exception):
    """The period has an invoice that is not void."""


class UsageDisagrees(Exception):
    """The rollups of the period are not the sums of its events. Nothing was written; run `manage.py rebuild_rollups`."""


def preview(*, organization_id: int, period_id: int) -> PeriodCharges:
    """What closing the period now would invoice; nothing is written. Raises LinesDisagree."""
    with tenant_scope([organization_id]):
        periods = BillingPeriod.objects.for_organization(organization_id).select_related("organization")
        return preview_of(periods.get(pk=period_id))


def preview_of(period: BillingPeriod) -> PeriodCharges:
    """The same of a period that need not be stored."""
    with tenant_scope([period.organization_id]):
        balance = Balance.objects.for_organization(period.organization_id).get()
        return _charges(period.organization, period, balance)


def close_period(*, organization_id: int, period_id: int, now: datetime, known: Known | None = None) -> Invoice | None:
    """Close the period and finalize its invoice. Again, or twice at once, it changes nothing and returns the live invoice.

    `known` is what a run of many closes has read already. Where a review was agreed it makes a draft instead, and returns None
    until that is approved. A period that comes to nothing closes without an invoice unless one was agreed. Raises PeriodNotEnded,
    NoSeller, UsageDisagrees, LinesDisagree; nothing is written then.
    """
    return with_retries(lambda: _close_period(organization_id, period_id, now, known or Known(now=now)))


def _close_period(organization_id: int, period_id: int, now: datetime, known: Known) -> Invoice | None:
    with facts_for_closing(organization_id=organization_id, period_id=period_id) as facts:
        buyer, period, balance = facts.buyer, facts.period, facts.balance
        if period.status != BillingPeriod.Status.OPEN:
            return live_invoice(period)
        if period.ends_at > now:
            raise PeriodNotEnded(f"the period ends at {period.ends_at.isoformat()}")
        _prove_usage(buyer.organization, period, days=facts.days)
        charges = proven_charges(
            organization=buyer.organization,
            period=period,
            terms=in_force(facts.terms, period.starts_at),
            tax_rate=balance.tax_rate,
            usage=usage_of(facts.sums, rates=known.rates),
        )
        po_number = buyer.profile.po_number
        if charges.terms.reviewed and is_invoiced(charges):
            make_draft(period=period, balance=balance, charges=charges, po_number=po_number, now=now)
            return None
        return close(
            buyer=buyer,
            period=period,
            balance=balance,
            charges=charges,
            po_number=po_number,
            now=now,
            seller=known.seller,
            grants=facts.grants,
        )


def reissue_invoice(*, organization_id: int, period_id: int, now: datetime, actor: User | None) -> Invoice:
    """Invoice a closed period anew after its invoice was voided, with today's details of seller and buyer. Raises StillLive.

    Once it is committed its PDF is asked for, which its mail waits for.
    """
    with tenant_scope([organization_id]):
        organization, period = lock_period(organization_id, period_id)
        if live_invoice(period) is not None or period.status != BillingPeriod.Status.CLOSED:
            raise StillLive("void the period's invoice before issuing another")
        balance = settling.lock_balance(organization_id)
        charges, buyer = _charges(organization, period, balance), read_buyer(organization)
        invoice = finalize(
            buyer=buyer,
            period=period,
            balance=balance,
            charges=charges,
            po_number=buyer.profile.po_number,
            again=True,
            now=now,
        )
        write_audit_entry(
            action="invoice.reissued", target=invoice.number, organization=organization, actor=actor, now=now
        )
        ring_after_commit(invoice)
        return invoice


def void_invoice(*, organization_id: int, invoice_id: UUID, reason: str, now: datetime, actor: User | None) -> Invoice:
    """Cancel an open invoice: its claim and the credit it used are taken back, what was paid of it becomes credit, its number and
    rows stay.

    Raises NotOpen for any other status, Credited once some of it was given back, PaymentInProgress while an attempt to pay it is
    undecided, CreditSpent if it gave credit that was used since.
    """
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
        paid_by_credit = invoice.status == Invoice.Status.PAID and invoice.amount_due == 0
        if invoice.status != Invoice.Status.OPEN and not paid_by_credit:
            raise NotOpen(f"invoice {invoice.number} is {invoice.status}")
        if invoice.credit_notes.exists():
            raise Credited(f"invoice {invoice.number} has credit notes")
        if invoice.payments.filter(status__in=Payment.OPEN_STATUSES).exists():
            raise PaymentInProgress(f"invoice {invoice.number} is being paid")
        if any(ZERO < kept_of(one) < one.amount for one in invoice.payments.filter(status=Payment.Status.SUCCEEDED)):
            raise PartIsCredit(f"a part of what was paid of invoice {invoice.number} is credit already")
        invoice.status, invoice.voided_at, invoice.void_reason = Invoice.Status.VOID, now, reason
        invoice.save(update_fields=["status", "voided_at", "void_reason"])
        settling.lock_balance(organization_id)
        return_payments(invoice=invoice, now=now)
        settling.cancel_claim(
            organization=invoice.organization,
            claim=_claim(invoice),
            credit=invoice.credit_applied,
            number=invoice.number,
            now=now,
        )
        amend_for_void(invoice, now=now, actor=actor)
        write_audit_entry(
            action="invoice.voided",
            target=invoice.number,
            organization=invoice.organization,
            actor=actor,
            now=now,
            detail={"reason": reason},
        )
    return invoice


def ring_after_commit(invoice: Invoice) -> None:
    """Ask for what follows an invoice, its PDF above all, once the transaction is committed."""
    from billing import tasks  # which run the steps of this module

    transaction.on_commit(lambda: tasks.ring_for_invoices([invoice]), robust=True)


def live_invoice(period: BillingPeriod) -> Invoice | None:
    """The period's invoice that is not void. Needs the tenant scope."""
    invoices = Invoice.objects.for_organization(period.organization_id).filter(period=period)
    return invoices.exclude(status=Invoice.Status.VOID).first()


def prove_usage(*, organization_id: int, period_id: int) -> None:
    """Raises UsageDisagrees unless the rollups of the period are the sums of its events: count, digest, tokens, amounts."""
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        _prove_usage(organization, BillingPeriod.objects.for_organization(organization).get(pk=period_id))


def _prove_usage(organization: Organization, period: BillingPeriod, *, days: Rows | None = None) -> None:
    differing = differs_in_period(
        organization_id=organization.pk,
        period_id=period.pk,
        zone=period.zone,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        latest=timedelta(days=settings.USAGE_MAX_AGE_DAYS),
        days=days,
    )
    if differing:
        raise UsageDisagrees(
            f"{organization.slug}: {differing} sum(s) of usage are not what the events add up to. "
            f"`manage.py rebuild_rollups --organization {organization.slug}` says where and makes them anew."
        )


def _charges(organization: Organization, period: BillingPeriod, balance: Balance) -> PeriodCharges:
    """By the terms in force at the period's start."""
    terms = in_force(terms_of(organization), period.starts_at)
    return proven_charges(organization=organization, period=period, terms=terms, tax_rate=balance.tax_rate)


def _claim(invoice: Invoice) -> settling.Claim:
    """What the invoice claimed."""
    amounts = amounts_by_kind(invoice)
    return settling.Claim(
        invoice_id=invoice.pk,
        exact=amounts[LineKind.USAGE],
        subtotal=invoice.subtotal,
        tax=invoice.tax,
        discount=amounts[LineKind.DISCOUNT],
        minimum_fee=amounts[LineKind.MINIMUM_FEE],
    )
