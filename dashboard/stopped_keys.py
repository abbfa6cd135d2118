"""Keys that the velocity breaker stopped: let one call again; say when a key is stopped."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import ApiKey
from accounts.profiles import ROLES_THAT_ADMINISTER
from dashboard.access import organization_page
from dashboard.limit_forms import VelocityForm
from ledger.models import VelocityCap
from ledger.velocity import lift_stop, remove_velocity_cap, set_velocity_cap


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_POST
def lift_key_stop(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.for_organization(request.organization), pk=key_id)
    if lift_stop(organization=request.organization, api_key=key, actor=request.user, now=timezone.now()):
        messages.success(request, _("The key may call again."))
    return redirect("dashboard:limits", request.organization.slug)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def breaker(request: HttpRequest) -> HttpResponse:
    """When keys are stopped."""
    return _breaker_page(request, None)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def key_breaker(request: HttpRequest, key_id: int) -> HttpResponse:
    """When this key is stopped."""
    return _breaker_page(request, get_object_or_404(ApiKey.objects.for_organization(request.organization), pk=key_id))


def _breaker_page(request: HttpRequest, key: ApiKey | None) -> HttpResponse:
    organization = request.organization
    cap = VelocityCap.objects.for_organization(organization).filter(api_key=key).first()
    posted = request.POST if request.method == "POST" else None
    form = VelocityForm(posted, cap=cap, currency=organization.billing_currency)
    if request.method == "POST" and form.is_valid():
        choice = form.cleaned_data["choice"]
        if choice == "default":
            remove_velocity_cap(organization=organization, api_key=key, actor=request.user, now=timezone.now())
        else:
            amount = form.cleaned_data["amount"] if choice == "own" else None
            set_velocity_cap(
                organization=organization, api_key=key, amount=amount, actor=request.user, now=timezone.now()
            )
        messages.success(request, _("Saved."))
        return redirect("dashboard:limits", organization.slug)
    context = {"section": "limits", "form": form, "key": key, "minutes": settings.VELOCITY_SECONDS // 60}
    return render(request, "dashboard/breaker.html", context, status=422 if form.errors else 200)
