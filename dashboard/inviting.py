"""Invite a colleague by e-mail, again if need be, or take it back. Each mail enters the outbox in its invitation's transaction."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from accounts import invitations
from accounts.members import MayNot
from accounts.models import Invitation, Role
from accounts.profiles import ROLES_THAT_ADMINISTER
from billing.mail import mails
from dashboard.access import organization_page
from dashboard.members import ROLES, RoleForm


class InvitationForm(RoleForm):
    email = forms.EmailField(
        label=gettext_lazy("Email"), widget=forms.EmailInput(attrs={"autocomplete": "off", "inputmode": "email"})
    )
    field_order = ["email", "role"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].initial = Role.DEVELOPER


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: HttpRequest) -> HttpResponse:
    form = InvitationForm(request.POST or None, giver=request.membership)
    if request.method == "POST" and form.is_valid():
        try:
            invitation = invitations.invite(
                organization=request.organization,
                email=form.cleaned_data["email"],
                role=form.cleaned_data["role"],
                inviter=request.membership,
                now=timezone.now(),
            )
        except invitations.AlreadyMember:
            form.add_error("email", _("This person is a member already."))
        except invitations.AlreadyInvited:
            form.add_error("email", _("An invitation to this address is pending. You can send it again from the list."))
        except invitations.TooManyInvitations:
            form.add_error(None, _too_many())
        else:
            mails.enqueue_invitation(invitation, now=invitation.sent_at)
            messages.success(request, _("An invitation is on its way to %(email)s.") % {"email": invitation.email})
            return redirect("dashboard:members", request.organization.slug)
    context = {"section": "members", "form": form, "roles": [(role.label, text) for role, text in ROLES]}
    return render(request, "dashboard/invite.html", context, status=422 if form.errors else 200)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_POST
def resend(request: HttpRequest, invitation_id: int) -> HttpResponse:
    invitation = _change(request, invitation_id, invitations.resend)
    if invitation is not None:
        mails.enqueue_invitation(invitation, now=invitation.sent_at)
        messages.success(request, _("An invitation is on its way to %(email)s.") % {"email": invitation.email})
    return redirect("dashboard:members", request.organization.slug)


@organization_page(roles=ROLES_THAT_ADMINISTER)
@require_POST
def cancel(request: HttpRequest, invitation_id: int) -> HttpResponse:
    invitation = _change(request, invitation_id, invitations.cancel)
    if invitation is not None:
        messages.success(request, _("The invitation of %(email)s is canceled.") % {"email": invitation.email})
    return redirect("dashboard:members", request.organization.slug)


def _change(request: HttpRequest, invitation_id: int, verb: Callable[..., Invitation]) -> Invitation | None:
    """None, and a message that says why, where it cannot be done."""
    get_object_or_404(Invitation.objects.for_organization(request.organization), pk=invitation_id)
    try:
        return verb(
            organization=request.organization,
            invitation_id=invitation_id,
            actor=request.membership,
            now=timezone.now(),
        )
    except invitations.InvitationGone:
        messages.error(request, _("This invitation is not pending any more."))
    except invitations.TooManyInvitations:
        messages.error(request, _too_many())
    except MayNot as refusal:
        raise PermissionDenied from refusal
    return None


def _too_many() -> str:
    return _("At most %(count)s invitations can be sent in 24 hours. Please go on tomorrow.") % {
        "count": invitations.MOST_A_DAY
    }
