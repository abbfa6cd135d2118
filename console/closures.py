"""Organizations that are being closed, and closed ones that hold or owe money: what is left of each, and what can be done."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing.closures.afterwards import closed_money
from billing.closures.remaining import Step, remaining
from billing.corrections.refundable import left_to_refund
from billing.models import Closure, CreditNote, CreditPayout, Invoice
from billing.settlement import outstanding_by_invoice
from console.closure_deeds import left_to_do
from console.credit_notes import to_be_refunded
from console.paging import page_of, pages
from console.read_only import address_of
from console.site import site


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A closure that is not over, or whose organization has money again: since when, and what it is about."""

    closure: Closure
    since: datetime
    left: Any
    invoices: list[tuple[Invoice, Decimal]]
    set_aside: list[tuple[Any, Decimal, str]]
    has_credit: bool

    @property
    def is_closed(self) -> bool:
        return self.closure.status == Closure.Status.CLOSED

    @property
    def refund_url(self) -> str:
        return reverse("admin:refund_credit", args=[self.closure.organization_id]) if self.has_credit else ""

    @property
    def has_something_to_do(self) -> bool:
        return bool(self.invoices or self.set_aside or self.has_credit)


@require_safe
def closures(request: HttpRequest) -> HttpResponse:
    """Closed ones with money first, each the longest first."""
    now = timezone.now()
    held = {money.organization_id: money.since for money in closed_money()}
    settling = Closure.objects.filter(status=Closure.Status.SETTLING).order_by("ended_at", "pk")
    page = page_of(request, [*held, *settling.values_list("organization_id", flat=True)])
    found = Closure.objects.exclude(status=Closure.Status.WITHDRAWN).select_related("organization")
    by_organization = {row.organization_id: row for row in found.filter(organization__in=page.object_list)}
    rows = [line_of(by_organization[key], since=held.get(key), now=now) for key in page.object_list]
    context = {"rows": rows, **pages(request, page, name="page")}
    return site.render(request, "console/closures.html", title=_("Closures"), **context)


def line_of(closure: Closure, *, since: datetime | None, now: datetime) -> Line:
    invoices = list(
        Invoice.objects.for_organization(closure.organization_id)
        .filter(status=Invoice.Status.OPEN)
        .order_by("due_on", "sequence")
    )
    owed = outstanding_by_invoice(invoices)
    steps = {row.step for row in remaining(closure.organization, now=now)}
    return Line(
        closure=closure,
        since=since or closure.ended_at or closure.closes_at,
        left=left_to_do(closure),
        invoices=[(invoice, owed[invoice.pk]) for invoice in invoices],
        set_aside=set_aside(closure.organization),
        has_credit=Step.CREDIT in steps,
    )


def set_aside(organization: Organization) -> list[tuple[Any, Decimal, str]]:
    """Credit notes and credit refunds whose money is still here: what they are called, how much of it, where they are."""
    rows: list[CreditNote | CreditPayout] = []
    for model in (CreditNote, CreditPayout):
        rows += to_be_refunded(model.objects.for_organization(organization))
    return [(row, left_to_refund(row), address_of(row)) for row in rows]


site.pages += [path("closures/", site.admin_view(closures), name="closures")]
