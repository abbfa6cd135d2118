"""Invoices of organizations with automatic payment are charged to their card by themselves, once: on the day of issue, or when due.

This is the first charge. What follows a refused one – the mail goes out with its answer, the page for another card is the
invoice's – is `dunning`'s: it asks for further ones by `charge` with the number of charges that it has seen, so that two who
decide on the same one never make two.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from accounts.models import Organization
from accounts.tenancy import TenantQuerySet, tenant_scope
from billing import collection
from billing.cards.payment_methods import setting_of
from billing.models import CollectionSetting, Invoice, Payment, PaymentMethod, TaxInvoice
from billing.payments.asking import MOST_IN_VAIN
from billing.processors.selection import NoCardProcessor
from billing.settlement import outstanding_by_invoice
from billing.tax.proofs import CardRefused, may_pay_by_card
from ledger.sweeping import others_go_on
from pricing.exact import ZERO

logger = logging.getLogger(__name__)
MOST = 500
ISSUED, DUE = "issued", "due"
"""On which of its days an invoice is charged: `settings.AUTOMATIC_PAYMENT_DAY`."""


@dataclass(frozen=True, slots=True)
class DueCharge:
    """An invoice whose first charge is due."""

    organization_id: int
    invoice_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCharge:
    """An open invoice that is charged if automatic payment is switched on for it: how much, and on which day."""

    invoice: Invoice
    amount: Decimal
    on: date


def due_charges(*, now: datetime, invoice_ids: Sequence[UUID] | None = None) -> Iterator[DueCharge]:
    """Open invoices of all tenants (or of these) whose day has come, that nobody is paying and no card was charged for yet."""
    settings_on = CollectionSetting.objects.using("system").filter(
        Q(automatic_from=None) | Q(automatic_from__lte=OuterRef("finalized_at")),
        organization_id=OuterRef("organization_id"),
        is_automatic=True,
    )
    invoices = _untried(Invoice.objects.using("system")).filter(Exists(settings_on))
    if invoice_ids is not None:
        invoices = invoices.filter(pk__in=invoice_ids)
    told = ("organization_id", "issued_on", "due_on", "period__zone")
    for invoice in invoices.select_related("period").only(*told).order_by("finalized_at", "pk"):
        if charge_day(invoice) <= now.astimezone(ZoneInfo(invoice.period.zone)).date():
            yield DueCharge(invoice.organization_id, invoice.pk)


def open_charges(organization: Organization) -> list[OpenCharge]:
    """What switching automatic payment on would charge for invoices that are open already. Needs the tenant scope."""
    found = _untried(Invoice.objects.for_organization(organization)).select_related("period", "organization")
    invoices = [invoice for invoice in found.order_by("due_on", "sequence") if may_pay_by_card(invoice)]
    owed = outstanding_by_invoice(invoices)
    return [
        OpenCharge(invoice=invoice, amount=owed[invoice.pk], on=charge_day(invoice))
        for invoice in invoices
        if owed[invoice.pk] > ZERO
    ]


def charge_due(*, now: datetime, invoice_ids: Sequence[UUID] | None = None) -> int:
    """Charge them, MOST at a time; how many were charged, whatever came of it. Stops while the processor does not answer.

    What cannot be charged, because it is too little for a card say, counts for nothing, so that it is in nobody's way.
    """
    charged = in_vain = 0
    for due in list(due_charges(now=now, invoice_ids=invoice_ids)):
        if in_vain >= MOST_IN_VAIN or charged >= MOST:
            break
        with others_go_on(organization_id=due.organization_id, invoice_id=str(due.invoice_id)):
            payment = charge(organization_id=due.organization_id, invoice_id=due.invoice_id, earlier=0, now=now)
            charged += payment is not None
            in_vain += payment is not None and payment.status == Payment.Status.UNKNOWN
    return charged


def charge(*, organization_id: int, invoice_id: UUID, earlier: int, now: datetime) -> Payment | None:
    """Charge an invoice to the default card; None if there is no card, nothing to pay, or somebody else was first.

    `earlier` is how many charges the caller saw before it decided on this one (`collection.charges_of`).
    """
    with tenant_scope([organization_id]):
        setting = setting_of(Organization.objects.get(pk=organization_id))
        invoice = Invoice.objects.for_organization(organization_id).only("finalized_at").get(pk=invoice_id)
    if setting.default_method_id is None or not setting.charges(invoice.finalized_at):
        return None
    try:
        return collection.charge_invoice(
            organization_id=organization_id,
            invoice_id=invoice_id,
            method_id=setting.default_method_id,
            earlier=earlier,
            now=now,
        )
    except (
        collection.InvoiceNotOpen,
        collection.AmountNotPossible,
        collection.ChargedMeanwhile,
        CardRefused,
        PaymentMethod.DoesNotExist,
        NoCardProcessor,
    ) as reason:
        logger.info("not charged", extra={"invoice_id": str(invoice_id), "reason": str(reason)})
        return None


def charge_day(invoice: Invoice) -> date:
    """On which day it is charged by itself, in its period's zone."""
    return invoice.due_on if settings.AUTOMATIC_PAYMENT_DAY == DUE else invoice.issued_on


def announced(invoice: Invoice) -> tuple[PaymentMethod, date] | None:
    """Which card will be charged for an open invoice that was not tried yet, and when. Needs the tenant scope."""
    setting = setting_of(invoice.organization)
    if invoice.status != Invoice.Status.OPEN or setting.default_method is None:
        return None
    if not setting.charges(invoice.finalized_at):
        return None
    if collection.charges_of(invoice) or not may_pay_by_card(invoice):
        return None
    return setting.default_method, charge_day(invoice)


def announcement(invoice: Invoice) -> dict[str, str]:
    """The same for the invoice's mail: `card` and `charged_on`, or nothing."""
    told = announced(invoice)
    return {"card": told[0].label, "charged_on": told[1].isoformat()} if told else {}


def _untried(invoices: TenantQuerySet[Invoice]) -> TenantQuerySet[Invoice]:
    """The open ones that nobody is paying and no card was charged for yet. Those with a tax invoice are paid by transfer."""
    taxed = TaxInvoice.objects.using(invoices.db).filter(
        invoice_id=OuterRef("pk"), reason="", status__in=TaxInvoice.WITH_PROVIDER
    )
    tried = Payment.objects.using(invoices.db).filter(invoice_id=OuterRef("pk"))
    return invoices.filter(
        ~Exists(tried.filter(method__isnull=False)),
        ~Exists(tried.filter(status__in=Payment.OPEN_STATUSES)),
        ~Exists(taxed),
        status=Invoice.Status.OPEN,
        amount_due__gt=ZERO,
    )
