"""Webhooks: addresses of the customer's own that hear of notices; what became of each notice there."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.profiles import ROLES_THAT_ADMINISTER
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.notifications import webhook_endpoints
from dashboard.access import may, organization_page
from dashboard.rotation import RotationForm

LATEST = 20


class WebhookForm(forms.Form):
    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=webhook_endpoints.LONGEST,
        widget=forms.URLInput(attrs={"placeholder": "https://…", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["url"].help_text = (
            _("http or https; in the demo also an address of this computer.")
            if settings.DEMO
            else _("https, reachable from the internet.")
        )

    def clean_url(self) -> str:
        try:
            return webhook_endpoints.check_url(self.cleaned_data["url"])
        except webhook_endpoints.BadUrl:
            raise forms.ValidationError(
                _("Write an http:// or https:// address without a login or a fragment.")
                if settings.DEMO
                else _("Write an https:// address that can be reached from the internet.")
            ) from None


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: HttpRequest) -> HttpResponse:
    """Sent, the page that shows the secret, once: it is in this answer and nowhere else."""
    organization, may_change = request.organization, may(request, ROLES_THAT_ADMINISTER)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(request.membership.role)
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            endpoint, secret = webhook_endpoints.register(
                organization=organization, url=form.cleaned_data["url"], actor=request.user, now=timezone.now()
            )
        except webhook_endpoints.TooMany:
            form.add_error("url", _("There are as many webhooks as an organization may have. Remove one first."))
        else:
            return _show(request, endpoint, secret)
    context = {
        "section": "limits",
        "form": form,
        "endpoints": webhook_endpoints.endpoints_of(organization),
        "may_change": may_change,
    }
    return render(request, "dashboard/webhooks.html", context, status=422 if form.errors else 200)


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """One webhook and its latest deliveries; a button each for a test, switching on, ending the previous secret, removing."""
    organization, may_change = request.organization, may(request, ROLES_THAT_ADMINISTER)
    endpoint = get_object_or_404(webhook_endpoints.endpoints_of(organization), pk=endpoint_id)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(request.membership.role)
    if request.method == "POST":
        removed = _do(request, endpoint)
        return redirect(
            "dashboard:webhooks" if removed else "dashboard:webhook", organization.slug, *_ids(endpoint, removed)
        )
    rows = WebhookDelivery.objects.for_organization(organization).filter(endpoint=endpoint).select_related("notice")
    context = {
        "section": "limits",
        "endpoint": endpoint,
        "deliveries": rows.order_by("-created_at", "-pk")[:LATEST],
        "overlapping": webhook_endpoints.previous_works(endpoint, now=timezone.now()),
        "may_change": may_change,
    }
    return render(request, "dashboard/webhook.html", context)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_webhook(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Asks how long the present secret shall sign on; sent, the page that shows the new one, once."""
    organization, now = request.organization, timezone.now()
    endpoint = get_object_or_404(webhook_endpoints.endpoints_of(organization), pk=endpoint_id)
    form = RotationForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        overlap = form.cleaned_data["overlap"]
        try:
            secret = webhook_endpoints.rotate_secret(endpoint=endpoint, overlap=overlap, actor=request.user, now=now)
        except webhook_endpoints.Removed:
            return redirect("dashboard:webhooks", organization.slug)
        return _show(request, endpoint, secret, previous_until=now + overlap if overlap else None)
    overlapping = webhook_endpoints.previous_works(endpoint, now=now)
    context = {"section": "limits", "endpoint": endpoint, "form": form, "overlapping": overlapping}
    return render(request, "dashboard/webhook_rotate.html", context, status=422 if form.errors else 200)


def _show(
    request: HttpRequest, endpoint: WebhookEndpoint, secret: str, *, previous_until: datetime | None = None
) -> HttpResponse:
    """The page that shows a secret, once."""
    context = {"section": "limits", "endpoint": endpoint, "secret": secret, "previous_until": previous_until}
    answer = render(request, "dashboard/webhook_secret.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


def _do(request: HttpRequest, endpoint: WebhookEndpoint) -> bool:
    """What the button says; whether the webhook is gone."""
    action, now = request.POST.get("action"), timezone.now()
    if action == "remove":
        webhook_endpoints.remove(endpoint=endpoint, actor=request.user, now=now)
        messages.success(request, _("The webhook is removed."))
        return True
    if action == "switch_on" and webhook_endpoints.switch_on(endpoint=endpoint, actor=request.user, now=now):
        messages.success(request, _("The webhook is on again."))
    if action == "end_overlap" and webhook_endpoints.end_overlap(endpoint=endpoint, actor=request.user, now=now):
        messages.success(request, _("The previous secret no longer works."))
    if action == "test":
        try:
            webhook_endpoints.send_test(endpoint=endpoint, actor=request.user, now=now)
        except webhook_endpoints.TestsTooFast:
            messages.info(request, _("A test is on its way already."))
        else:
            messages.success(request, _("A test is on its way. Reload this page to see what became of it."))
    return False


def _ids(endpoint: WebhookEndpoint, removed: bool) -> list[str]:
    return [] if removed else [str(endpoint.pk)]
