"""Pay an invoice: to the processor's page and back. What happened there is known from the processor only, never from the address
that the customer comes back by; so the page waits, asking, until the webhook or the processor itself has told.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from accounts.tenancy import tenant_scope
from billing import collection, invoice_queries
from billing.models import Invoice, Payment
from billing.processors.selection import NoCardProcessor, card_processor
from billing.rest.payments_api import ROLES_THAT_PAY
from billing.settlement import outstanding
from billing.tax.proofs import CardRefused, may_pay_by_card
from dashboard.access import organization_page

BACK, LEFT = "done", "canceled"
"""What `?payment=` says when the processor sends the customer back: after the page was completed, or left."""
ASK_AGAIN = timedelta(seconds=4)


@organization_page(roles=ROLES_THAT_PAY, scoped=False, after_end=True)
@require_POST
def pay(request: HttpRequest, invoice_id: UUID) -> HttpResponse:
    """To the processor's page. htmx goes there by script, because our Content-Security-Policy lets no form leave the site."""
    page = reverse("dashboard:invoice", args=[request.organization.slug, invoice_id])
    payment = _start(request, invoice_id)
    if payment is None:
        return go(request, page)
    if payment.action_url:
        return go(request, payment.action_url)
    if payment.status in (Payment.Status.FAILED, Payment.Status.CANCELED):
        messages.error(
            request, _("The payment service did not accept this payment. Please try again, or transfer the amount.")
        )
        return go(request, page)
    return go(request, f"{page}?payment={BACK}")


@organization_page(scoped=False)
@require_safe
def progress(request: HttpRequest, invoice_id: UUID) -> HttpResponse:
    """Asked by a page that waits, with the `state` it shows: nothing new (204), or look again."""
    organization, now = request.organization, timezone.now()
    found, payments = _load(request, invoice_id)
    attempt = open_attempt(payments)
    if attempt is not None and now - (attempt.checked_at or attempt.created_at) >= ASK_AGAIN:
        collection.look_again(organization_id=organization.pk, invoice_id=invoice_id, now=now)
        found, payments = _load(request, invoice_id)
    return still_waits(request.GET.get("state") == state_of(found, payments))


def state_of_paying(invoice: Invoice, payments: Sequence[Payment], *, back: str) -> dict[str, Any]:
    """What the page says of paying: `notice` (paid, waiting, failed, left) and `state`, and what it offers. Needs the scope."""
    attempt = open_attempt(payments)
    return {
        "state": state_of(invoice, payments),
        "notice": _notice(invoice, payments, attempt, back),
        "attempt": attempt,
        "card_is_possible": invoice.status == Invoice.Status.OPEN and _card_takes(invoice),
    }


def open_attempt(payments: Sequence[Payment]) -> Payment | None:
    return next((payment for payment in payments if payment.status in Payment.OPEN_STATUSES), None)


def state_of(invoice: Invoice, payments: Sequence[Payment]) -> str:
    """A short text that differs when the invoice or one of its payments got further."""
    return "-".join([invoice.status, *(f"{payment.status}{payment.failure and '!'}" for payment in payments)])


def _notice(invoice: Invoice, payments: Sequence[Payment], attempt: Payment | None, back: str) -> str:
    if invoice.status == Invoice.Status.PAID:
        return "paid" if back == BACK else ""
    if invoice.status != Invoice.Status.OPEN:
        return ""
    if attempt is not None and (back == BACK or attempt.status != Payment.Status.REQUIRES_ACTION):
        return "waiting"
    if back == BACK and payments and payments[0].status == Payment.Status.FAILED:
        return "failed"
    if back == LEFT:
        return "failed" if attempt is not None and attempt.failure else "left"
    return ""


def _card_takes(invoice: Invoice) -> bool:
    try:
        processor = card_processor()
        return may_pay_by_card(invoice) and processor.capabilities.can_take(outstanding(invoice), invoice.currency)
    except NoCardProcessor:
        return False


def _start(request: HttpRequest, invoice_id: UUID) -> Payment | None:
    """The payment, or None after telling the reader why there is none."""
    try:
        return collection.start_payment(
            organization_id=request.organization.pk, invoice_id=invoice_id, now=timezone.now(), user=request.user
        )
    except Invoice.DoesNotExist:
        raise Http404(invoice_id) from None
    except collection.InvoiceNotOpen:
        messages.info(request, _("There is nothing to pay any more."))
    except CardRefused:
        messages.warning(request, _("This invoice gets a tax invoice. Please transfer the amount to our bank account."))
    except (collection.AmountNotPossible, NoCardProcessor):
        _load(request, invoice_id)
        messages.warning(
            request, _("This invoice cannot be paid by card. Please transfer the amount to our bank account.")
        )
    return None


def _load(request: HttpRequest, invoice_id: UUID) -> tuple[Invoice, list[Payment]]:
    with tenant_scope([request.organization.pk]):
        found = invoice_queries.find_invoice(organization=request.organization, invoice_id=invoice_id)
        if found is None:
            raise Http404(invoice_id)
        return found, invoice_queries.payments_of(found)


def still_waits(waits: bool) -> HttpResponse:
    """To a page that waits: nothing new (204), or look again."""
    return HttpResponse(status=204) if waits else HttpResponseClientRefresh()


def go(request: HttpRequest, url: str) -> HttpResponse:
    """To another page, also of another site: htmx goes there by script."""
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)
