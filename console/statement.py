"""The statement of an organization: every movement of its money, the newest first, with the entries it was posted as.

The journal's keys are composite, which Django's admin does not take, so this is a page of our own within its frame.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing.models import Invoice, Payment
from console.paging import newest_first, query_with
from console.read_only import address_of
from console.site import site
from ledger.models import Account, CreditGrant, LedgerEntry, LedgerTransaction, TransactionKind
from metering.models import UsageEvent
from metering.stored_events import by_ids

OF_INVOICE = frozenset({
    TransactionKind.INVOICE, TransactionKind.VOID, TransactionKind.CREDIT_APPLIED, TransactionKind.CREDIT_RETURNED,
})  # fmt: skip
"""Kinds whose key is an invoice's."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A transaction with its entries, debits first; `about` names what it posts, `url` leads there."""

    transaction: LedgerTransaction
    entries: list[tuple[str, Decimal]]
    about: str
    url: str


@require_safe
def statement(request: HttpRequest, pk: int) -> HttpResponse:
    """The movements of one organization, of one kind if asked."""
    organization = get_object_or_404(Organization, pk=pk)
    kind = request.GET.get("kind", "")
    rows = LedgerTransaction.objects.for_organization(organization)
    if kind in TransactionKind.values:
        rows = rows.filter(kind=kind)
    page, beside = newest_first(request, rows)
    context = {
        "organization": organization,
        "kind": kind,
        "kinds": [
            ("", _("All"), query_with(request, kind=None, before=None)),
            *((one.value, one.label, query_with(request, kind=one.value, before=None)) for one in TransactionKind),
        ],
        "movements": movements_of(organization, page),
        **beside,
    }
    return site.render(request, "console/statement.html", title=organization.name, **context)


def movements_of(organization: Organization, page: Iterable[LedgerTransaction]) -> list[Movement]:
    """Transactions with their entries and what they are about, looked up once a page."""
    found = list(page)
    entries: dict[Any, list[tuple[str, Decimal]]] = {}
    rows = LedgerEntry.objects.for_organization(organization).filter(transaction_id__in=[one.id for one in found])
    for row in rows.order_by("position"):
        entries.setdefault(row.transaction_id, []).append((str(Account(row.account).label), row.amount))
    subjects = _subjects(organization, found)
    return [
        Movement(
            one,
            sorted(entries.get(one.id, []), key=lambda entry: entry[1] < 0),
            *subjects.get((one.kind, one.key), ("", "")),
        )
        for one in found
    ]


def _subjects(organization: Organization, found: Iterable[LedgerTransaction]) -> dict[tuple[str, str], tuple[str, str]]:
    """By kind and key: the name of what was posted, and where it is shown."""
    keys: dict[str, list[str]] = {}
    for one in found:
        keys.setdefault("invoice" if one.kind in OF_INVOICE else one.kind, []).append(one.key)
    invoices = Invoice.objects.for_organization(organization).filter(pk__in=keys.get("invoice", []))
    payments = Payment.objects.for_organization(organization).filter(pk__in=keys.get(TransactionKind.PAYMENT, []))
    grants = CreditGrant.objects.for_organization(organization).filter(
        pk__in=keys.get(TransactionKind.CREDIT_GRANTED, [])
    )
    gone = [*keys.get(TransactionKind.CREDIT_EXPIRED, []), *keys.get(TransactionKind.CREDIT_TAKEN_OUT, [])]
    left_by = CreditGrant.objects.for_organization(organization).filter(uses__pk__in=gone).distinct()
    named = [*keys.get(TransactionKind.USAGE, []), *keys.get(TransactionKind.CORRECTION, [])]
    events = by_ids([UUID(key) for key in named], organization_id=organization.pk).values()
    subjects = {
        (kind, str(invoice.pk)): (invoice.number, address_of(invoice)) for invoice in invoices for kind in OF_INVOICE
    }
    subjects |= {
        (TransactionKind.PAYMENT, str(payment.pk)): (payment.invoice.number, address_of(payment))
        for payment in payments.select_related("invoice")
    }
    subjects |= {(TransactionKind.CREDIT_GRANTED, str(one.pk)): (one.reason, address_of(one)) for one in grants}
    subjects |= {
        (kind, str(use)): (one.reason, address_of(one))
        for one in left_by
        for use in one.uses.filter(invoice_id=None).values_list("pk", flat=True)
        for kind in (TransactionKind.CREDIT_EXPIRED, TransactionKind.CREDIT_TAKEN_OUT)
    }
    return subjects | _requests(organization, events)


def _requests(organization: Organization, events: Iterable[UsageEvent]) -> dict[tuple[str, str], tuple[str, str]]:
    """A batch goes by its request, the only one or one of several."""
    return {
        (kind, str(event.id)): (event.request_id or str(event.id), receipt_address(organization, event))
        for event in events
        for kind in (TransactionKind.USAGE, TransactionKind.CORRECTION)
    }


def receipt_address(organization: Organization, event: UsageEvent) -> str:
    """Where the receipt of a request is."""
    return reverse("admin:usage_receipt", args=[organization.slug, event.id])


site.pages += [
    path("organizations/<int:pk>/ledger/", site.admin_view(statement), name="ledger_statement"),
]
