"""Spend limits on one page – the organization's, members', keys', by day and month – and keys that the breaker stopped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import ApiKey, Membership, Organization, User
from accounts.profiles import ROLES_THAT_ADMINISTER
from billing.notifications.notices import low_credit_of, set_low_credit
from dashboard.access import may, organization_page
from dashboard.limit_forms import ChangeLimitForm, LowCreditForm, NewLimitForm
from dashboard.limit_standing import Standing, standing
from ledger.limit_setting import limits_at, remove_limit
from ledger.limits import move_on
from ledger.models import SpendLimit, VelocityCap
from ledger.velocity import open_stops
from metering.limiting import set_limit


@dataclass(slots=True)
class Subject:
    """Somebody or something with limits; `name` asks the form for one more of it, and is empty for who left."""

    name: str
    member: User | None = None
    api_key: ApiKey | None = None
    standings: list[Standing] = field(default_factory=list)


@organization_page()
@require_safe
def limits(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners and admins may change."""
    organization, now = request.organization, timezone.now()
    found = limits_at(organization, now=now)
    caps = VelocityCap.objects.for_organization(organization).select_related("api_key").order_by("api_key_id")
    context = {
        "section": "limits",
        "whole": Subject("organization", standings=[standing(one) for one in found if _is_whole(one)]),
        "members": _by_subject(organization, [limit for limit in found if limit.member_id is not None]),
        "keys": _by_subject(organization, [limit for limit in found if limit.api_key_id is not None]),
        "stops": open_stops(organization),
        "minutes": settings.VELOCITY_SECONDS // 60,
        "times": settings.VELOCITY_TIMES,
        "default_cap": settings.VELOCITY_CAP[organization.billing_currency],
        "floor": settings.VELOCITY_FLOOR[organization.billing_currency],
        "cap": next((cap for cap in caps if cap.api_key_id is None), None),
        "key_caps": [cap for cap in caps if cap.api_key_id is not None],
        "low_credit": low_credit_of(organization),
        "may_change": may(request, ROLES_THAT_ADMINISTER),
    }
    return render(request, "dashboard/limits.html", context)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def new_limit(request: HttpRequest) -> HttpResponse:
    """The form, `?of=key:1` chooses whose; the same limit set again gets the new amount."""
    organization = request.organization
    places = Membership.objects.for_organization(organization).select_related("user").order_by("user__email")
    form = NewLimitForm(
        request.POST if request.method == "POST" else None,
        currency=organization.billing_currency,
        members=[place.user for place in places],
        keys=list(ApiKey.objects.for_organization(organization).filter(revoked_at=None).order_by("name", "pk")),
        initial={"subject": request.GET.get("of", "organization")},
    )
    if request.method == "POST" and form.is_valid():
        set_limit(organization=organization, actor=request.user, now=timezone.now(), **form.chosen)
        messages.success(request, _said(form.chosen["amount"], hard=form.chosen["hard"]))
        return redirect("dashboard:limits", organization.slug)
    context = {"section": "limits", "form": form}
    return render(request, "dashboard/limit_new.html", context, status=422 if form.errors else 200)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def change_limit(request: HttpRequest, limit_id: int) -> HttpResponse:
    """Another amount, or none at all."""
    organization, now = request.organization, timezone.now()
    rows = SpendLimit.objects.for_organization(organization)
    limit = get_object_or_404(rows.select_related("organization__balance", "api_key", "member"), pk=limit_id)
    which = {"api_key": limit.api_key, "member": limit.member, "window": limit.window, "hard": limit.hard}
    if request.POST.get("action") == "remove":
        remove_limit(organization=organization, actor=request.user, now=now, **which)
        messages.success(request, _("The spend limit is lifted."))
        return redirect("dashboard:limits", organization.slug)
    posted = request.POST if request.method == "POST" else None
    form = ChangeLimitForm(posted, limit=limit, currency=organization.billing_currency)
    if request.method == "POST" and form.is_valid():
        amount = form.cleaned_data["amount"]
        set_limit(organization=organization, amount=amount, actor=request.user, now=now, **which)
        messages.success(request, _said(amount, hard=limit.hard))
        return redirect("dashboard:limits", organization.slug)
    move_on(limit, now=now)
    context = {"section": "limits", "form": form, "limit": limit, "standing": standing(limit)}
    return render(request, "dashboard/limit_change.html", context, status=422 if form.errors else 200)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def low_credit(request: HttpRequest) -> HttpResponse:
    """Below what credit owners and admins want to hear of it."""
    organization = request.organization
    posted = request.POST if request.method == "POST" else None
    form = LowCreditForm(posted, amount=low_credit_of(organization), currency=organization.billing_currency)
    if request.method == "POST" and form.is_valid():
        amount = form.cleaned_data["amount"]
        set_low_credit(organization=organization, amount=amount, actor=request.user, now=timezone.now())
        messages.success(request, _("Saved."))
        return redirect("dashboard:limits", organization.slug)
    context = {"section": "limits", "form": form}
    return render(request, "dashboard/low_credit.html", context, status=422 if form.errors else 200)


def _said(amount: Decimal, *, hard: bool) -> str:
    if hard and not amount:
        return _("The spend limit is set. Every call that costs something is refused from now on.")
    return _("The spend limit is set. It holds from the next call on.")


def _is_whole(limit: SpendLimit) -> bool:
    return limit.api_key_id is None and limit.member_id is None


def _by_subject(organization: Organization, found: Sequence[SpendLimit]) -> list[Subject]:
    """Limits of members or keys, together where they are of the same one; nothing more is set for who left, or what was revoked."""
    places = Membership.objects.for_organization(organization)
    present = set(places.values_list("user_id", flat=True)) if found and found[0].member_id else set()
    subjects: dict[tuple[int | None, int | None], Subject] = {}
    for limit in found:
        name = ""
        if limit.member_id in present:
            name = f"member:{limit.member_id}"
        elif limit.api_key and limit.api_key.revoked_at is None:
            name = f"key:{limit.api_key_id}"
        subject = subjects.setdefault(
            (limit.member_id, limit.api_key_id), Subject(name, member=limit.member, api_key=limit.api_key)
        )
        subject.standings.append(standing(limit))
    return list(subjects.values())
