"""Close the organization, at once or when its month ends; see how far that is; take it back while that can be done."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Organization, Role
from accounts.organizations import NotPossible
from accounts.recent_sign_in import require_recent_sign_in
from billing.closures import asking
from billing.closures.remaining import Step, remaining
from billing.models import Closure
from dashboard.access import may, organization_page
from dashboard.exports import exports_context
from ledger.credit_expiry import balance_at
from ledger.periods import month_bounds

OWNERS = frozenset({Role.OWNER})
STEP_WORDS = {
    Step.CALLS: gettext_lazy("Calls that still run, or whose cost is being asked for"),
    Step.PRICES: gettext_lazy("Reported calls that wait for a price"),
    Step.INVOICE: gettext_lazy("Months to be invoiced"),
    Step.PAYMENT: gettext_lazy("Invoices to be paid"),
    Step.CREDIT: gettext_lazy("Paid credit to be refunded"),
    Step.REFUND: gettext_lazy("Payments and refunds under way"),
}
"""What is left to be done, as customers read it."""


class ClosureForm(forms.Form):
    """When to close, and the organization's name as a confirmation that nobody gives by mistake."""

    AT_ONCE, MONTH_END = "at_once", "month_end"

    when = forms.ChoiceField(label=gettext_lazy("When"), widget=forms.RadioSelect)
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("It helps us to do better."),
    )
    name = forms.CharField(label=gettext_lazy("Name of the organization"), max_length=100)

    def __init__(self, *args: Any, organization: Organization, month_end: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        day = timezone.localtime(month_end)
        self.fields["when"].choices = [
            (self.MONTH_END, _("When the month ends, %(time)s") % {"time": f"{day:%Y.%m.%d %H:%M}"}),
            (self.AT_ONCE, _("At once; this cannot be taken back")),
        ]
        self.fields["when"].initial = self.MONTH_END
        self.fields["name"].help_text = _("Type %(name)s to confirm.") % {"name": escape(organization.name)}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.strip() != self.organization.name.strip():
            raise forms.ValidationError(_("This is not the name of the organization."))
        return name


@organization_page()
@require_safe
def closure(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners may close."""
    organization, now = request.organization, timezone.now()
    found = asking.closure_of(organization)
    context = {
        "section": "settings",
        "tab": "closure",
        "closure": found,
        "is_owner": may(request, OWNERS),
        "can_be_taken_back": found is not None and found.status == Closure.Status.ASKED and now < found.closes_at,
        "rows": what_is_left(organization, now=now) if found is not None and found.ended_at else [],
        "currency": organization.billing_currency,
    }
    return render(request, "dashboard/closure.html", context | exports_context(request))


@organization_page(roles=OWNERS)
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for it; who has not given the password just now does so first, and then fills in the form."""
    try:
        require_recent_sign_in(request)
    except ReauthenticationRequired:
        if request.method == "POST":
            return redirect("dashboard:ask_for_closure", request.organization.slug)
        raise
    organization, now = request.organization, timezone.now()
    if asking.closure_of(organization) is not None:
        return redirect("dashboard:closure", organization.slug)
    form = ClosureForm(
        request.POST if request.method == "POST" else None,
        organization=organization,
        month_end=month_bounds(now, zone=organization.zone)[1],
    )
    if request.method == "POST" and form.is_valid():
        return _ask(request, form.cleaned_data, now=now)
    context = {
        "section": "settings",
        "tab": "closure",
        "form": form,
        "balance": balance_at(organization, now=now),
        "currency": organization.billing_currency,
    }
    return render(request, "dashboard/closure_ask.html", context, status=422 if form.errors else 200)


def _ask(request: HttpRequest, values: Mapping[str, Any], *, now: datetime) -> HttpResponse:
    at_once = values["when"] == ClosureForm.AT_ONCE
    try:
        asking.ask_for_closure(
            organization_id=request.organization.pk,
            at_once=at_once,
            reason=values["reason"],
            actor=request.user,
            now=now,
        )
    except NotPossible:
        messages.warning(request, _("The closure was asked for already."))
    else:
        said = _("Usage has ended. The final invoice follows.") if at_once else _("The closure is noted.")
        messages.success(request, said)
    return redirect("dashboard:closure", request.organization.slug)


@organization_page(roles=OWNERS)
@require_POST
def take_back(request: HttpRequest) -> HttpResponse:
    try:
        asking.take_back(organization_id=request.organization.pk, now=timezone.now(), actor=request.user)
    except NotPossible:
        messages.error(request, _("It is too late: the closing moment has come."))
    else:
        messages.success(request, _("The organization goes on as before."))
    return redirect("dashboard:closure", request.organization.slug)


def what_is_left(organization: Organization, *, now: datetime) -> list[dict[str, Any]]:
    """Each step with what remains of it, done ones included. Needs the tenant scope."""
    open_steps = {row.step: row for row in remaining(organization, now=now)}
    return [{"step": step.value, "words": words, "left": open_steps.get(step)} for step, words in STEP_WORDS.items()]
