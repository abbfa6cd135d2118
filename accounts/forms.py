"""The sign-up form: allauth's e-mail and password, and who is signing up for which organization, agreeing to what.

Whoever comes with an invitation has an organization to go to, and is not asked for one.
"""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import SignupForm as EmailSignupForm
from allauth.core import context
from django import forms
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.consents import give_consents
from accounts.invitations import InvitationGone, find_invitation
from accounts.models import Invitation, Organization, User

INVITATION = "invitation"
"""Where the session keeps the token of the invitation that was opened last."""


class SignupForm(EmailSignupForm):
    """Asks for one name field only, and for both consents, which are kept with their versions."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    organization_name = forms.CharField(
        label=_("Company or organization"),
        max_length=Organization._meta.get_field("name").max_length,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
        help_text=_("Appears on the dashboard. Business details for invoices can be entered later."),
    )
    agree_terms = forms.BooleanField(label=_("I agree to the terms of service."))
    agree_privacy = forms.BooleanField(label=_("I agree to the collection and use of personal data."))

    field_order = ["email", "password1", "password2", "name", "organization_name", "agree_terms", "agree_privacy"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invitation = invitation_of(context.request)
        if self.invitation is not None:
            del self.fields["organization_name"]
            self.fields["email"].initial = self.invitation.email
            self.fields["email"].disabled = True
            self.fields["email"].help_text = _("The invitation is for this address.")
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)  # the label says it, and stays when one writes

    def save(self, request: HttpRequest) -> User:
        """The user, whose organization is opened once the address is confirmed, and the consents, in one transaction."""
        if self.invitation is not None:  # the mail was read, so the address is theirs
            get_adapter().stash_verified_email(request, self.invitation.email)
        with transaction.atomic():
            user: User = super().save(request)
            user.name = self.cleaned_data["name"]
            user.organization_name = self.cleaned_data.get("organization_name", "")
            user.language = "en" if get_language() == "en" else "ko"
            user.save(update_fields=["name", "organization_name", "language"])
            give_consents(user, now=timezone.now())
        return user


def invitation_of(request: HttpRequest) -> Invitation | None:
    """The invitation that this visitor opened last, if it still stands."""
    token = request.session.get(INVITATION)
    if not token:
        return None
    try:
        return find_invitation(token, now=timezone.now())
    except InvitationGone:
        return None
