"""Settings, payment methods: cards that were left with the payment processor, and whether invoices are charged by themselves.

Leaving a card happens on the processor's page. That it was left is known from the processor only, so this page asks when the
customer comes back; the webhook and a sweep do the same.
"""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.tenancy import tenant_scope
from billing.cards import card_setups, payment_methods
from billing.cards.automatic import DUE, OpenCharge, open_charges
from billing.models import CardSetup, PaymentMethod
from billing.processors.selection import NoCardProcessor, card_processor
from billing.rest.payments_api import ROLES_THAT_PAY
from dashboard.access import may, organization_page
from dashboard.invoice_payment import BACK, LEFT, go, still_waits
from pricing.exact import exact_sum
from pricing.plain_text import plain

ASK, CHARGE, LEAVE = "ask", "charge", "leave"
"""Automatic payment: asked for on a page of its own; open invoices are charged, or left to be paid by hand."""


@organization_page(scoped=False)
@require_http_methods(["GET", "HEAD", "POST"])
def cards(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners, admins and billing managers may change."""
    if request.method == "POST":
        if not may(request, ROLES_THAT_PAY):
            raise PermissionDenied(request.membership.role)
        address = redirect("dashboard:payment_methods", request.organization.slug)
        if request.POST.get("action") == "automatic_on" and _changed_meanwhile(request):
            messages.warning(request, _("Your open invoices have changed. Please look at them again."))
            return redirect(f"{address.url}?automatic={ASK}")
        _do(request)
        return address
    if request.GET.get("automatic") == ASK:
        return _ask(request)
    back, now = request.GET.get("setup", ""), timezone.now()
    setup = card_setups.look_again(organization_id=request.organization.pk, now=now) if back == BACK else None
    with tenant_scope([request.organization.pk]):
        setting = payment_methods.setting_of(request.organization)
        context = {
            "section": "settings",
            "tab": "payment",
            "cards": payment_methods.cards_of(request.organization, now=now),
            "setting": setting,
            "notice": _notice(setup, back),
            "may_change": may(request, ROLES_THAT_PAY),
            "cards_are_taken": _cards_are_taken(),
            "charged_when_due": settings.AUTOMATIC_PAYMENT_DAY == DUE,
        }
        return render(request, "dashboard/payment_methods.html", context)


@organization_page(roles=ROLES_THAT_PAY, scoped=False)
@require_POST
def add_card(request: HttpRequest) -> HttpResponse:
    """To the processor's page, where a card is left."""
    try:
        setup = card_setups.start_setup(organization_id=request.organization.pk, user=request.user, now=timezone.now())
    except NoCardProcessor:
        raise Http404("cards are not taken here") from None
    if setup.action_url:
        return go(request, setup.action_url)
    messages.error(request, _("The payment service does not answer at the moment. Please try again."))
    return go(request, redirect("dashboard:payment_methods", request.organization.slug).url)


@organization_page(scoped=False)
@require_safe
def setup_progress(request: HttpRequest) -> HttpResponse:
    """Asked by a page that waits for a card: nothing new (204), or look again."""
    setup = card_setups.look_again(organization_id=request.organization.pk, now=timezone.now())
    return still_waits(setup is not None and setup.status in CardSetup.OPEN_STATUSES)


def _ask(request: HttpRequest) -> HttpResponse:
    """Before automatic payment is switched on: what would be charged at once, and whether it shall be."""
    with tenant_scope([request.organization.pk]):
        setting, charges = payment_methods.setting_of(request.organization), open_charges(request.organization)
        if setting.is_automatic or setting.default_method is None or not may(request, ROLES_THAT_PAY):
            return redirect("dashboard:payment_methods", request.organization.slug)
        context = {
            "section": "settings",
            "setting": setting,
            "charges": charges,
            "seen": _fingerprint(charges),
            "total": exact_sum(charge.amount for charge in charges),
            "today": timezone.localdate(),
            "charged_when_due": settings.AUTOMATIC_PAYMENT_DAY == DUE,
        }
        return render(request, "dashboard/automatic_payment_ask.html", context)


def _changed_meanwhile(request: HttpRequest) -> bool:
    """Whether something else is open by now than what the customer was asked about. Leaving it alone needs no second look."""
    if request.POST.get("open") == LEAVE:
        return False
    with tenant_scope([request.organization.pk]):
        has_card = payment_methods.setting_of(request.organization).default_method is not None
        return has_card and request.POST.get("seen", "") != _fingerprint(open_charges(request.organization))


def _fingerprint(charges: list[OpenCharge]) -> str:
    return " ".join(f"{charge.invoice.number}={plain(charge.amount)}" for charge in charges)


def _notice(setup: CardSetup | None, back: str) -> str:
    """What to say first: a card was `added`, is being confirmed (`waiting`), or the page was `left`."""
    if back == LEFT:
        return "left"
    if back != BACK:
        return ""
    return "waiting" if setup is not None and setup.status in CardSetup.OPEN_STATUSES else "added"


def _do(request: HttpRequest) -> None:
    """What the button says, and what became of it."""
    deeds: dict[str, Callable[[HttpRequest], str]] = {
        "default": _choose,
        "remove": _remove,
        "automatic_on": lambda request: _switch(request, on=True),
        "automatic_off": lambda request: _switch(request, on=False),
    }
    deed = deeds.get(request.POST.get("action", ""))
    if deed is None:
        raise BadRequest("no such action")
    try:
        messages.success(request, deed(request))
    except PaymentMethod.DoesNotExist:
        raise Http404("no such card") from None
    except payment_methods.MethodNeeded:
        messages.warning(
            request,
            _(
                "Invoices or top-ups are charged to this card by themselves. First choose another card for them, or switch that"
                " off."
            ),
        )
    except payment_methods.MethodInUse:
        messages.warning(request, _("A payment with this card is under way. Please try again in a few minutes."))
    except payment_methods.NoMethod:
        messages.warning(request, _("Add a card first."))


def _choose(request: HttpRequest) -> str:
    method = payment_methods.choose_default(
        organization=request.organization, method_id=_method_id(request), actor=request.user, now=timezone.now()
    )
    return _("%(card)s is the card that you pay with now.") % {"card": method.label}


def _remove(request: HttpRequest) -> str:
    method = payment_methods.remove_method(
        organization=request.organization, method_id=_method_id(request), actor=request.user, now=timezone.now()
    )
    return _("%(card)s is removed. It will not be charged any more.") % {"card": method.label}


def _switch(request: HttpRequest, *, on: bool) -> str:
    payment_methods.set_automatic(
        organization=request.organization,
        on=on,
        open_ones=request.POST.get("open") != LEAVE,
        actor=request.user,
        now=timezone.now(),
    )
    return _("Automatic payment is on.") if on else _("Automatic payment is off.")


def _method_id(request: HttpRequest) -> int:
    text = request.POST.get("method", "")
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest("no such card")
    return int(text)


def _cards_are_taken() -> bool:
    try:
        return bool(card_processor())
    except NoCardProcessor:
        return False
