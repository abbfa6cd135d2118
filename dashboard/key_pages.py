"""One API key: what it may do, what it spent, its limit – and a new secret for it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.api_keys import ROLES_THAT_MANAGE_KEYS, KeyRevoked, end_overlap, rotate_api_key
from accounts.models import ApiKey
from accounts.profiles import ROLES_THAT_ADMINISTER
from dashboard.access import may, organization_page
from dashboard.keys import KeyRow, state_of, use_of_keys
from dashboard.limit_standing import standing
from dashboard.rotation import RotationForm
from ledger.limit_setting import limits_at
from ledger.velocity import open_stops


@organization_page()
@require_safe
def key_page(request: HttpRequest, key_id: int) -> HttpResponse:
    now = timezone.now()
    key = _key(request, key_id)
    use = use_of_keys(request.organization, [key.pk], now=now).get(key.pk, (None, None))
    context = {
        "section": "keys",
        "key": key,
        "row": KeyRow(key, *use, state_of(key, now=now)),
        "overlapping": bool(key.previous_until and key.previous_until > now and not key.revoked_at),
        "key_text": str(key.pk),
        "standings": [
            standing(limit) for limit in limits_at(request.organization, now=now) if limit.api_key_id == key.pk
        ],
        "stop": next((stop for stop in open_stops(request.organization) if stop.api_key_id == key.pk), None),
        "may_manage": may(request, ROLES_THAT_MANAGE_KEYS),
        "may_limit": may(request, ROLES_THAT_ADMINISTER),
    }
    return render(request, "dashboard/key.html", context)


@organization_page(roles=ROLES_THAT_MANAGE_KEYS)
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_key(request: HttpRequest, key_id: int) -> HttpResponse:
    """Asks how long the present secret shall work on; sent, the page that shows the new one, once."""
    now, key = timezone.now(), _key(request, key_id)
    form = RotationForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            secret = rotate_api_key(key=key, overlap=form.cleaned_data["overlap"], now=now, actor=request.user)
        except KeyRevoked:
            return redirect("dashboard:key", request.organization.slug, key.pk)
        key.refresh_from_db()
        context = {"section": "keys", "key": key, "secret": secret, "previous_until": key.previous_until}
        return render(request, "dashboard/key_issued.html", context)
    overlapping = bool(key.previous_until and key.previous_until > now)
    context = {"section": "keys", "key": key, "form": form, "overlapping": overlapping}
    return render(request, "dashboard/key_rotate.html", context, status=422 if form.errors else 200)


@organization_page(roles=ROLES_THAT_MANAGE_KEYS)
@require_POST
def end_previous_secret(request: HttpRequest, key_id: int) -> HttpResponse:
    key = _key(request, key_id)
    if end_overlap(key=key, now=timezone.now(), actor=request.user):
        messages.success(request, _("The previous secret no longer works."))
    return redirect("dashboard:key", request.organization.slug, key.pk)


def _key(request: HttpRequest, key_id: int) -> ApiKey:
    keys = ApiKey.objects.for_organization(request.organization).select_related("organization", "created_by")
    return get_object_or_404(keys, pk=key_id)
