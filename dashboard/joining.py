"""`/invitations/<token>`: what an invitation is to, and joining – after signing in or up with the address that it was sent to."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import invitations
from accounts.forms import INVITATION
from accounts.models import Invitation, User


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    now = timezone.now()
    try:
        invitation = invitations.find_invitation(token, now=now)
        if request.method == "POST" and request.user.is_authenticated:
            invitations.accept(token=token, user=request.user, now=now)
            request.session.pop(INVITATION, None)
            messages.success(request, _("Welcome to %(name)s.") % {"name": invitation.organization.name})
            return redirect("dashboard:overview", invitation.organization.slug)
    except invitations.InvitationGone:
        request.session.pop(INVITATION, None)
        return render(request, "dashboard/invitation_gone.html", status=404)
    except invitations.WrongPerson:
        return _page(request, invitation, status=403)
    if not request.user.is_authenticated:
        request.session[INVITATION] = token  # sign-up asks for no company then
    return _page(request, invitation)


def _page(request: HttpRequest, invitation: Invitation, *, status: int = 200) -> HttpResponse:
    """What stands between the reader and joining: nothing but a button, signing in or up, or another account."""
    signed_in = request.user.is_authenticated
    context = {
        "invitation": invitation,
        "path": request.path,
        "fits": signed_in and invitations.is_for(invitation, request.user),
        "has_account": not signed_in and User.objects.filter(email=invitation.email).exists(),
    }
    return render(request, "dashboard/invitation.html", context, status=status)
