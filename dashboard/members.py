"""Who belongs to the organization, what each may do, and who is invited."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import members as membership
from accounts.invitations import pending_invitations
from accounts.models import Membership, Role
from accounts.profiles import ROLES_THAT_ADMINISTER
from dashboard.access import may, organization_page
from dashboard.pages import page_links, page_of

ROLES = (
    (Role.OWNER, gettext_lazy("Everything, including closing the account")),
    (Role.ADMIN, gettext_lazy("Everything except closing the account")),
    (Role.BILLING, gettext_lazy("Invoices, payments and business details")),
    (Role.DEVELOPER, gettext_lazy("API keys and usage")),
    (Role.VIEWER, gettext_lazy("May look, not change")),
)


class RoleForm(forms.Form):
    """Offers the roles that the reader may give."""

    role = forms.ChoiceField(label=gettext_lazy("Role"))

    def __init__(self, *args: Any, giver: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, role.label) for role in membership.roles_to_give(giver)]


@organization_page()
@require_safe
def members(request: HttpRequest) -> HttpResponse:
    places = (
        Membership.objects.for_organization(request.organization).select_related("user").order_by("created_at", "pk")
    )
    page = page_of(request, places)
    may_administer = may(request, ROLES_THAT_ADMINISTER)
    pending = pending_invitations(request.organization).select_related("invited_by").order_by("-sent_at", "-pk")
    context = {
        "section": "members",
        "page": page,
        "rows": [(place, membership.may_change(request.membership, place)) for place in page],
        "roles": [(role.label, text) for role, text in ROLES],
        "invitations": list(pending[:100]) if may_administer else [],
        "may_administer": may_administer,
        "now": timezone.now(),
        **page_links(request, page),
    }
    return render(request, "dashboard/members.html", context)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def member(request: HttpRequest, member_id: int) -> HttpResponse:
    """One member: another role, or none."""
    place = _place(request, member_id)
    may_change = membership.may_change(request.membership, place)
    form = RoleForm(request.POST or None, giver=request.membership, initial={"role": place.role})
    if request.method == "POST" and form.is_valid():
        try:
            membership.change_role(
                organization=request.organization,
                membership_id=place.pk,
                role=form.cleaned_data["role"],
                actor=request.membership,
                now=timezone.now(),
            )
        except membership.LastOwner:
            form.add_error("role", _("An organization needs an owner: make another member an owner first."))
        except membership.MayNot as refusal:
            raise PermissionDenied from refusal
        else:
            messages.success(request, _("%(name)s now has another role.") % {"name": place.user.get_full_name()})
            return redirect("dashboard:members", request.organization.slug)
    context = {"section": "members", "place": place, "form": form, "may_change": may_change}
    return render(request, "dashboard/member.html", context, status=422 if form.errors else 200)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_POST
def remove_member(request: HttpRequest, member_id: int) -> HttpResponse:
    place = _place(request, member_id)
    name = place.user.get_full_name()
    try:
        membership.remove(
            organization=request.organization, membership_id=place.pk, actor=request.membership, now=timezone.now()
        )
    except membership.LastOwner:
        messages.error(request, _("An organization needs an owner: make another member an owner first."))
        return redirect("dashboard:member", request.organization.slug, member_id)
    except membership.MayNot as refusal:
        raise PermissionDenied from refusal
    messages.success(request, _("%(name)s is no longer a member.") % {"name": name})
    if place.user_id == request.user.pk:
        return redirect("dashboard:start")
    return redirect("dashboard:members", request.organization.slug)


class LeaveForm(forms.Form):
    understood = forms.BooleanField(
        label=gettext_lazy("I understand that I lose access at once and need a new invitation to come back.")
    )


@organization_page(after_end=True)
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest) -> HttpResponse:
    """Everybody may go, except the last owner."""
    form = LeaveForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            membership.remove(
                organization=request.organization,
                membership_id=request.membership.pk,
                actor=request.membership,
                now=timezone.now(),
            )
        except membership.LastOwner:
            form.add_error(None, _("An organization needs an owner: make another member an owner first."))
        else:
            messages.success(request, _("You have left %(name)s.") % {"name": request.organization.name})
            return redirect("dashboard:start")
    return render(
        request, "dashboard/leave.html", {"section": "members", "form": form}, status=422 if form.errors else 200
    )


def _place(request: HttpRequest, member_id: int) -> Membership:
    places = Membership.objects.for_organization(request.organization).select_related("user", "organization")
    return get_object_or_404(places, pk=member_id)
