"""`/invitations/<token>`: what an invitation is to, and joining – after signing in or up with the address that it was sent to."""

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import invitations
from accounts.forms import INVITATION
from accounts.models import User
from dashboard.access import speak_language_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    now = timezone.now()
    if request.user.is_authenticated:
        speak_language_of(request)
    try:
        invitation = invitations.find_invitation(token, now=now)
    except invitations.InvitationGone:
        request.session.pop(INVITATION, None)
        return render(request, "dashboard/invitation_gone.html", status=404)
    context = {"invitation": invitation, "path": request.path, "has_account": False}
    if not request.user.is_authenticated:
        _remember(request, token, invitation.email)
        context["has_account"] = User.objects.filter(email=invitation.email).exists()
        return render(request, "dashboard/invitation.html", context)
    context["fits"] = invitations.is_for(invitation, request.user)
    if request.method == "POST" and context["fits"]:
        membership = invitations.accept(token=token, user=request.user, now=now)
        request.session.pop(INVITATION, None)
        messages.success(request, _("Welcome to %(name)s.") % {"name": invitation.organization.name})
        return redirect("dashboard:overview", membership.organization.slug)
    return render(request, "dashboard/invitation.html", context, status=403 if request.method == "POST" else 200)


def _remember(request: HttpRequest, token: str, email: str) -> None:
    """For sign-up: it asks for no company then, and who opened the mail has shown that the address is theirs."""
    request.session[INVITATION] = token
    get_adapter().stash_verified_email(request, email)
