"""API keys: what there is and when each was used last; issue one, whose secret is shown once; revoke one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib import messages
from django.db.models import F, Max, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.api_keys import ROLES_THAT_MANAGE_KEYS, issue_api_key, revoke_api_key
from accounts.models import ApiKey, Organization, Scope
from dashboard.access import may, organization_page
from dashboard.key_forms import NewKeyForm
from dashboard.pages import page_links, page_of
from ledger.models import LimitWindow, SpendLimit
from ledger.periods import month_bounds
from metering.models import UsageRollup

USE_IS_SHOWN_FOR = timedelta(days=90)
"""How far back the last use of a key is looked up."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key; the hour of its last use, if that is less than 90 days ago; its spend this month, before tax; its monthly limit, the
    hard one if there are two."""

    key: ApiKey
    last_used: datetime | None
    amount: Decimal | None
    state: str
    limit: SpendLimit | None = None

    @property
    def scopes(self) -> list[str]:
        return [str(Scope(scope).label) for scope in self.key.scopes]


@organization_page()
@require_safe
def key_list(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    keys = ApiKey.objects.for_organization(request.organization).select_related("created_by")
    page = page_of(request, keys.order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "-pk"))
    used = use_of_keys(request.organization, [key.pk for key in page], now=now)
    rows = SpendLimit.objects.for_organization(request.organization).filter(
        api_key_id__in=[key.pk for key in page], window=LimitWindow.MONTH
    )
    limits = {limit.api_key_id: limit for limit in rows.order_by("hard")}
    context = {
        "section": "keys",
        "rows": [
            KeyRow(key, *used.get(key.pk, (None, None)), state_of(key, now=now), limits.get(key.pk)) for key in page
        ],
        "page": page,
        "may_manage": may(request, ROLES_THAT_MANAGE_KEYS),
        **page_links(request, page),
    }
    return render(request, "dashboard/keys.html", context)


def use_of_keys(
    organization: Organization, key_ids: list[int], *, now: datetime
) -> dict[int, tuple[datetime, Decimal | None]]:
    """Per key the hour of its last use and this month's amount, from the rollups, in one query."""
    month_start, _month_end = month_bounds(now, zone=organization.zone)
    rollups = UsageRollup.objects.for_organization(organization).filter(
        hour__gte=min(now - USE_IS_SHOWN_FOR, month_start), api_key_id__in=key_ids
    )
    rows = rollups.values("api_key_id").annotate(
        last_used=Max("hour"), spent=Sum("amount", filter=Q(hour__gte=month_start))
    )
    return {row["api_key_id"]: (row["last_used"], row["spent"]) for row in rows}


def state_of(key: ApiKey, *, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= now else "active"


@organization_page(roles=ROLES_THAT_MANAGE_KEYS)
@require_http_methods(["GET", "HEAD", "POST"])
def new_key(request: HttpRequest) -> HttpResponse:
    """The form; sent, the page that shows the secret, once: it is in this answer and nowhere else."""
    now = timezone.now()
    form = NewKeyForm(request.POST or None, organization=request.organization, now=now)
    if request.method == "POST" and form.is_valid():
        key, secret = issue_api_key(
            organization=request.organization,
            name=form.cleaned_data["name"],
            now=now,
            created_by=request.user,
            scopes=form.cleaned_data["scopes"],
            allowed_models=form.cleaned_data["allowed_models"],
            expires_at=form.cleaned_data["expires_on"],
        )
        return render(request, "dashboard/key_issued.html", {"section": "keys", "key": key, "secret": secret})
    return render(
        request, "dashboard/key_form.html", {"section": "keys", "form": form}, status=422 if form.errors else 200
    )


@organization_page(roles=ROLES_THAT_MANAGE_KEYS)
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_key(request: HttpRequest, key_id: int) -> HttpResponse:
    """Asks first, on a page of its own for those without scripts; revoking twice changes nothing."""
    keys = ApiKey.objects.for_organization(request.organization).select_related("organization")
    key = get_object_or_404(keys, pk=key_id)
    if request.method == "POST":
        revoke_api_key(key=key, now=timezone.now(), actor=request.user)
        messages.success(request, _("The key %(prefix)s… is revoked.") % {"prefix": key.prefix})
        return redirect("dashboard:keys", request.organization.slug)
    return render(request, "dashboard/key_revoke.html", {"section": "keys", "key": key})
