"""Invoices of organizations with automatic payment are charged to their card by themselves, once: on the day of issue, or when due.

This is the first charge. What follows a refused one – the mail goes out with its answer, the page for another card is the
invoice's – is `dunning`'s: it asks for further ones by `charge` with the number of charges that it has seen, so that two who
decide on the same one never make two.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Exists, OuterRef

from accounts.models import Organization
from accounts.tenancy import tenant_scope
from billing import collection
from billing.cards.payment_methods import setting_of
from billing.models import CollectionSetting, Invoice, Payment, PaymentMethod, TaxInvoice
from billing.payments.asking import MOST_IN_VAIN
from billing.processors.selection import NoCardProcessor
from billing.sweeping import others_go_on
from billing.tax.proofs import CardRefused, may_pay_by_card
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


def due_charges(*, now: datetime, invoice_ids: Sequence[UUID] | None = None) -> Iterator[DueCharge]:
    """Open invoices of all tenants (or of these) whose day has come, that nobody is paying and no card was charged for yet.

    Those with a tax invoice are paid by transfer.
    """
    settings_on = CollectionSetting.objects.using("system").filter(
        organization_id=OuterRef("organization_id"), is_automatic=True
    )
    taxed = TaxInvoice.objects.using("system").filter(
        invoice_id=OuterRef("pk"), reason="", status__in=TaxInvoice.WITH_PROVIDER
    )
    tried = Payment.objects.using("system").filter(invoice_id=OuterRef("pk"))
    invoices = Invoice.objects.using("system").filter(
        Exists(settings_on),
        ~Exists(tried.filter(method__isnull=False)),
        ~Exists(tried.filter(status__in=Payment.OPEN_STATUSES)),
        ~Exists(taxed),
        status=Invoice.Status.OPEN,
        amount_due__gt=ZERO,
    )
    if invoice_ids is not None:
        invoices = invoices.filter(pk__in=invoice_ids)
    told = ("organization_id", "issued_on", "due_on", "period__zone")
    for invoice in invoices.select_related("period").only(*told).order_by("finalized_at", "pk"):
        if charge_day(invoice) <= now.astimezone(ZoneInfo(invoice.period.zone)).date():
            yield DueCharge(invoice.organization_id, invoice.pk)


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
    if not setting.is_automatic or setting.default_method_id is None:
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
    if invoice.status != Invoice.Status.OPEN or not setting.is_automatic or setting.default_method is None:
        return None
    if collection.charges_of(invoice) or not may_pay_by_card(invoice):
        return None
    return setting.default_method, charge_day(invoice)


def announcement(invoice: Invoice) -> dict[str, str]:
    """The same for the invoice's mail: `card` and `charged_on`, or nothing."""
    told = announced(invoice)
    return {"card": told[0].label, "charged_on": told[1].isoformat()} if told else {}
