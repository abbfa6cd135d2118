"""A period becomes an invoice, in one transaction: lock, lines, one rounding, VAT, credit, snapshots, and the number last.

Estimates come through the same `usage_lines` and `invoice_totals`, so on the same usage they are the same won.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, User
from accounts.tenancy import tenant_scope
from billing import mails
from billing.buyers import billing_profile, buyer_details
from billing.models import Invoice, InvoiceLine, InvoiceSeries, OutboxMail, Payment
from billing.numbering import take_number
from billing.sellers import current_seller, snapshot
from billing.settlement import return_payments
from billing.usage_lines import UsageLine, usage_lines
from ledger import settling
from ledger.credits import grant_credit
from ledger.models import Account, Balance, BillingPeriod, CreditGrant
from ledger.retrying import with_retries
from metering.models import UsageRollup
from metering.proven_days import differs_in_period
from pricing.exact import ZERO, exact_sum
from pricing.totals import Totals, invoice_totals


class PeriodNotEnded(Exception):
    """A period can be invoiced only after it ended."""


class PaymentInProgress(Exception):
    """The invoice is being paid, so it cannot be voided until that attempt ended."""


class NotOpen(Exception):
    """Only an open invoice can be voided."""


class StillLive(Exception):
    """The period has an invoice that is not void."""


class LinesDisagree(Exception):
    """The lines do not add up to the rollups they were made of. Nothing was written; run `manage.py audit`."""


class UsageDisagrees(Exception):
    """The rollups of the period are not the sums of its events. Nothing was written; run `manage.py rebuild_rollups`."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a period would be invoiced at, nothing written."""

    lines: Sequence[UsageLine]
    totals: Totals


def preview(*, organization_id: int, period_id: int) -> Preview:
    """The lines and totals that closing the period now would invoice."""
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        period = BillingPeriod.objects.for_organization(organization).get(pk=period_id)
        balance = Balance.objects.for_organization(organization).get()
        return Preview(*_lines_and_totals(organization, period, balance))


def close_period(*, organization_id: int, period_id: int, now: datetime) -> Invoice | None:
    """Close the period and finalize its invoice. Again, or twice at once, it changes nothing and returns the live invoice.

    A period without usage closes without an invoice. Raises PeriodNotEnded, NoSeller, UsageDisagrees, LinesDisagree; nothing is
    written then.
    """
    return with_retries(lambda: _close_period(organization_id, period_id, now))


def _close_period(organization_id: int, period_id: int, now: datetime) -> Invoice | None:
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        period = BillingPeriod.objects.select_for_update().for_organization(organization).get(pk=period_id)
        if period.status == BillingPeriod.Status.CLOSED:
            return _live_invoice(period)
        if period.ends_at > now:
            raise PeriodNotEnded(f"the period ends at {period.ends_at.isoformat()}")
        _prove_usage(organization, period)
        period.status, period.closed_at = BillingPeriod.Status.CLOSED, now
        period.save(update_fields=["status", "closed_at"])
        balance = settling.lock_balance(organization_id)
        lines, totals = _lines_and_totals(organization, period, balance)
        if not lines:
            return None
        return _finalize(organization, period, balance, lines, totals, again=False, now=now)


def reissue_invoice(*, organization_id: int, period_id: int, now: datetime, actor: User | None) -> Invoice:
    """Invoice a closed period anew after its invoice was voided, with today's details of seller and buyer. Raises StillLive.

    Once it is committed its PDF is asked for, which its mail waits for.
    """
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        period = BillingPeriod.objects.select_for_update().for_organization(organization).get(pk=period_id)
        if _live_invoice(period) is not None or period.status != BillingPeriod.Status.CLOSED:
            raise StillLive("void the period's invoice before issuing another")
        balance = settling.lock_balance(organization_id)
        lines, totals = _lines_and_totals(organization, period, balance)
        invoice = _finalize(organization, period, balance, lines, totals, again=True, now=now)
        write_audit_entry(
            action="invoice.reissued", target=invoice.number, organization=organization, actor=actor, now=now
        )
        transaction.on_commit(lambda: _ring(invoice), robust=True)
        return invoice


def void_invoice(*, organization_id: int, invoice_id: UUID, reason: str, now: datetime, actor: User | None) -> Invoice:
    """Cancel an open invoice: its claim and the credit it used are taken back, what was paid of it becomes credit, its number and
    rows stay.

    Raises NotOpen for any other status, PaymentInProgress while an attempt to pay it is undecided, CreditSpent if it gave credit
    that was used since.
    """
    with tenant_scope([organization_id]):
        invoice = Invoice.objects.select_for_update().for_organization(organization_id).get(pk=invoice_id)
        paid_by_credit = invoice.status == Invoice.Status.PAID and invoice.amount_due == 0
        if invoice.status != Invoice.Status.OPEN and not paid_by_credit:
            raise NotOpen(f"invoice {invoice.number} is {invoice.status}")
        if invoice.payments.filter(status__in=Payment.OPEN_STATUSES).exists():
            raise PaymentInProgress(f"invoice {invoice.number} is being paid")
        invoice.status, invoice.voided_at, invoice.void_reason = Invoice.Status.VOID, now, reason
        invoice.save(update_fields=["status", "voided_at", "void_reason"])
        settling.lock_balance(organization_id)
        return_payments(invoice=invoice, now=now)
        settling.cancel_claim(
            organization=invoice.organization,
            claim=settling.Claim(
                invoice_id=invoice.pk, exact=invoice.exact_subtotal, subtotal=invoice.subtotal, tax=invoice.tax
            ),
            credit=invoice.credit_applied,
            number=invoice.number,
            now=now,
        )
        write_audit_entry(
            action="invoice.voided",
            target=invoice.number,
            organization=invoice.organization,
            actor=actor,
            now=now,
            detail={"reason": reason},
        )
    return invoice


def _ring(invoice: Invoice) -> None:
    from billing import tasks  # which run the steps of this module

    tasks.ring(tasks.render_document, organization_id=invoice.organization_id, invoice_id=str(invoice.pk))


def _live_invoice(period: BillingPeriod) -> Invoice | None:
    invoices = Invoice.objects.for_organization(period.organization_id).filter(period=period)
    return invoices.exclude(status=Invoice.Status.VOID).first()


def prove_usage(*, organization_id: int, period_id: int) -> None:
    """Raises UsageDisagrees unless the rollups of the period are the sums of its events: count, digest, tokens, amounts."""
    with tenant_scope([organization_id]):
        organization = Organization.objects.get(pk=organization_id)
        _prove_usage(organization, BillingPeriod.objects.for_organization(organization).get(pk=period_id))


def _prove_usage(organization: Organization, period: BillingPeriod) -> None:
    differing = differs_in_period(
        organization_id=organization.pk,
        period_id=period.pk,
        zone=period.zone,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        latest=timedelta(days=settings.USAGE_MAX_AGE_DAYS),
    )
    if differing:
        raise UsageDisagrees(
            f"{organization.slug}: {differing} sum(s) of usage are not what the events add up to. "
            f"`manage.py rebuild_rollups --organization {organization.slug}` says where and makes them anew."
        )


def _lines_and_totals(
    organization: Organization, period: BillingPeriod, balance: Balance
) -> tuple[list[UsageLine], Totals]:
    lines = usage_lines(organization=organization, period=period)
    rolled_up = (
        UsageRollup.objects.for_organization(organization).filter(period_id=period.pk).aggregate(sum=Sum("amount"))
    )
    if exact_sum(line.amount for line in lines) != (rolled_up["sum"] or ZERO):
        raise LinesDisagree(f"{organization.slug}, period {period.pk}")
    totals = invoice_totals(
        [line.amount for line in lines], currency=organization.billing_currency, tax_rate=balance.tax_rate
    )
    return lines, totals


def _finalize(
    organization: Organization,
    period: BillingPeriod,
    balance: Balance,
    lines: Sequence[UsageLine],
    totals: Totals,
    *,
    again: bool,
    now: datetime,
) -> Invoice:
    zone = ZoneInfo(period.zone)
    issued_on = now.astimezone(zone).date()
    seller = current_seller(now=now)
    profile = billing_profile(organization)
    invoice_id = uuid4()
    exact = exact_sum(line.amount for line in lines)
    credit = settling.invoice_usage(
        balance=balance,
        claim=settling.Claim(invoice_id=invoice_id, exact=exact, subtotal=totals.subtotal, tax=totals.tax),
        again=again,
        period_end=period.ends_at,
        now=now,
    )
    paid_by_credit = credit == totals.total
    series = InvoiceSeries.objects.order_by("pk").first()
    assert series is not None, "set_seller makes a series"
    sequence, number = take_number(series)
    invoice = Invoice.objects.create(
        id=invoice_id,
        organization=organization,
        period=period,
        status=Invoice.Status.PAID if paid_by_credit else Invoice.Status.OPEN,
        paid_at=now if paid_by_credit else None,
        series=series,
        sequence=sequence,
        number=number,
        language=organization.language,
        currency=organization.billing_currency,
        tax_treatment=profile.tax_treatment,
        tax_rate=balance.tax_rate,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        credit_applied=credit,
        amount_due=totals.total - credit,
        exact_subtotal=exact,
        issued_on=issued_on,
        written_on=(period.ends_at.astimezone(zone) - timedelta(days=1)).date(),
        due_on=issued_on + timedelta(days=seller.payment_days),
        seller=snapshot(seller),
        buyer=buyer_details(organization, profile),
        exchange_rates=_exchange_rates(lines),
        finalized_at=now,
    )
    InvoiceLine.objects.bulk_create(_lines_of(invoice, lines, totals))
    if credit < ZERO:
        _give_as_credit(invoice, now)
    mails.enqueue(
        kind=OutboxMail.Kind.INVOICE,
        key=f"invoice:{invoice.pk}",
        organization=organization,
        recipient=invoice.buyer["contact_email"],
        language=invoice.language,
        invoice=invoice,
        now=now,
    )
    return invoice


def _give_as_credit(invoice: Invoice, now: datetime) -> None:
    """More was taken back than used: what the customer gets back pays for later usage."""
    grant_credit(
        organization=invoice.organization,
        amount=-invoice.total,
        currency=invoice.currency,
        kind=CreditGrant.Kind.PAID,
        reason=f"Credit, {invoice.number}",
        key=settling.given_key(invoice.pk),
        now=now,
        source=Account.RECEIVABLE,
    )


def _exchange_rates(lines: Sequence[UsageLine]) -> list[dict[str, str]]:
    rates = {line.rate.exchange for line in lines if line.rate.exchange}
    return [
        {
            "base": "USD",
            "quote": "KRW",
            "rate": format(rate.rate, "f"),
            "source": rate.source,
            "published_on": rate.published_on.isoformat(),
        }
        for rate in sorted(rates, key=lambda rate: rate.published_on)
    ]


def _lines_of(invoice: Invoice, lines: Sequence[UsageLine], totals: Totals) -> list[InvoiceLine]:
    rows: list[dict[str, Any]] = [
        {
            "model": line.rate.model,
            "token_class": line.token_class.value,
            "applied_rate_id": line.applied_rate_id,
            "service_month": line.service_month,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "exact_amount": line.amount,
            "amount": amount,
        }
        for line, amount in zip(lines, totals.lines, strict=True)
    ]
    return [
        InvoiceLine(organization_id=invoice.organization_id, invoice=invoice, position=position, **row)
        for position, row in enumerate(rows, start=1)
    ]
