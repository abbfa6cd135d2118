"""Prepaid credit: what is left, buying some, and buying some by itself whenever it runs low.

As with invoices, what happened on the processor's page is known from the processor only: this page asks when the customer is back.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.tenancy import tenant_scope
from billing.cards import automatic_top_up, payment_methods
from billing.corrections.credit_note_queries import refunds_of_credit, to_refund_of_credit
from billing.estimates import open_periods
from billing.models import Payment, PaymentMethod
from billing.payments import top_ups
from billing.payments.payment_states import failure_text, payment_state
from billing.processors.selection import NoCardProcessor
from billing.rest.payments_api import ROLES_THAT_PAY
from billing.standing import standing_of
from dashboard.access import may, organization_page
from dashboard.credit_forms import AutomaticTopUpForm, TopUpForm
from dashboard.credit_notes import refund_rows
from dashboard.invoice_payment import BACK, LEFT, go, still_waits
from ledger.credit_expiry import balance_at

SHOWN = 20


@organization_page(scoped=False)
@require_safe
def credit(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners, admins and billing managers may buy."""
    back = request.GET.get("payment", "")
    if back == BACK:
        top_ups.look_again(organization_id=request.organization.pk, now=timezone.now())
    return _page(request, back=back)


@organization_page(roles=ROLES_THAT_PAY, scoped=False)
@require_POST
def top_up(request: HttpRequest) -> HttpResponse:
    """To the processor's page, or at once with a card on file."""
    form = _top_up_form(request, request.POST)
    if form is None:
        raise Http404("cards are not taken here")
    if not form.is_valid():
        return _page(request, form=form, status=200 if request.htmx else 422)  # htmx shows no refusal
    try:
        payment = top_ups.start_top_up(
            organization=request.organization,
            amount=form.cleaned_data["amount"],
            request_key=form.cleaned_data["request_key"],
            user=request.user,
            method_id=form.method_id,
            now=timezone.now(),
        )
    except PaymentMethod.DoesNotExist:
        raise Http404("no such card") from None
    if payment.action_url:
        return go(request, payment.action_url)
    if payment.status in (Payment.Status.FAILED, Payment.Status.CANCELED):
        said = _("The payment did not go through. Nothing was charged.")
        messages.error(request, f"{said} {failure_text(payment.failure)}")
        return go(request, _address(request))
    return go(request, f"{_address(request)}?payment={BACK}")


@organization_page(roles=ROLES_THAT_PAY, scoped=False, after_end=True)
@require_POST
def leave_top_up(request: HttpRequest) -> HttpResponse:
    """Close the payment page that is open."""
    payment = top_ups.look_again(organization_id=request.organization.pk, wanted=False, now=timezone.now())
    if payment is not None and payment.status == Payment.Status.CANCELED:
        messages.success(request, _("The top-up is canceled. Nothing was charged."))
    return redirect(_address(request))


@organization_page(roles=ROLES_THAT_PAY, scoped=False)
@require_POST
def automatic(request: HttpRequest) -> HttpResponse:
    """Switch automatic top-ups on, with these amounts, or off."""
    form = _automatic_form(request, request.POST)
    if form is None:
        raise Http404("cards are not taken here")
    if not form.is_valid():
        return _page(request, automatic_form=form, status=422)
    on = request.POST.get("action") == "on"
    try:
        automatic_top_up.set_automatic_top_up(
            organization=request.organization, on=on, actor=request.user, now=timezone.now(), **form.cleaned_data
        )
    except payment_methods.NoMethod:
        messages.warning(request, _("Add a card first."))
    else:
        messages.success(request, _("Automatic top-ups are on.") if on else _("Automatic top-ups are off."))
    return redirect(_address(request))


@organization_page(scoped=False)
@require_safe
def progress(request: HttpRequest) -> HttpResponse:
    """Asked by a page that waits: nothing new (204), or look again."""
    payment = top_ups.look_again(organization_id=request.organization.pk, now=timezone.now())
    return still_waits(payment is not None and payment.status in Payment.OPEN_STATUSES)


def _page(
    request: HttpRequest,
    *,
    back: str = "",
    form: TopUpForm | None = None,
    automatic_form: AutomaticTopUpForm | None = None,
    status: int = 200,
) -> HttpResponse:
    organization, now = request.organization, timezone.now()
    with tenant_scope([organization.pk]):
        payments = Payment.objects.for_organization(organization).filter(invoice=None).select_related("method")
        standing = automatic_top_up.standing_of(organization, now=now)
        latest = list(payments.order_by("-created_at", "-pk")[:SHOWN])
        context = {
            "section": "invoices",
            "currency": organization.billing_currency,
            "standing": standing_of(
                balance_at(organization, now=now), open_periods(organization=organization, now=now)
            ),
            "form": form or _top_up_form(request),
            "automatic_form": automatic_form or _automatic_form(request),
            "automatic": standing,
            "why_stopped": failure_text(standing.setting.failure) if standing.setting else "",
            "setting": payment_methods.setting_of(organization),
            "rows": [(payment, payment_state(payment, now=now)) for payment in latest],
            "refunds": refund_rows(refunds_of_credit(organization, limit=SHOWN)),
            "to_refund": to_refund_of_credit(organization),
            "may_change": may(request, ROLES_THAT_PAY),
            **_under_way(latest, back),
        }
        return render(request, "dashboard/credit.html", context, status=status)


def _under_way(latest: list[Payment], back: str) -> dict[str, Any]:
    """The open top-up, and what to say first: `bought`, `waiting`, `page` (one is open), `failed`, `left`, or nothing."""
    attempt = next((payment for payment in latest if payment.status in Payment.OPEN_STATUSES), None)
    notice = ""
    if attempt is not None:
        on_page = attempt.status == Payment.Status.REQUIRES_ACTION and bool(attempt.action_url) and back != BACK
        notice = "page" if on_page else "waiting"
    elif back == BACK and latest:
        notice = {Payment.Status.SUCCEEDED: "bought", Payment.Status.FAILED: "failed"}.get(latest[0].status, "")
    elif back == LEFT:
        notice = "left"
    return {"attempt": attempt, "notice": notice, "latest": latest[0] if latest else None}


def _top_up_form(request: HttpRequest, posted: Any = None) -> TopUpForm | None:
    """None where cards are not taken."""
    organization = request.organization
    try:
        bounds = top_ups.bounds_of(organization.billing_currency)
    except NoCardProcessor:
        return None
    with tenant_scope([organization.pk]):
        cards = payment_methods.cards_of(organization, now=timezone.now())
    return TopUpForm(
        posted, currency=organization.billing_currency, bounds=bounds, amount=bounds.least * 10, cards=cards
    )


def _automatic_form(request: HttpRequest, posted: Any = None) -> AutomaticTopUpForm | None:
    """None where cards are not taken."""
    organization = request.organization
    try:
        bounds = top_ups.bounds_of(organization.billing_currency)
    except NoCardProcessor:
        return None
    with tenant_scope([organization.pk]):
        setting = automatic_top_up.standing_of(organization, now=timezone.now()).setting
    return AutomaticTopUpForm(posted, currency=organization.billing_currency, bounds=bounds, setting=setting)


def _address(request: HttpRequest) -> str:
    return redirect("dashboard:credit", request.organization.slug).url
