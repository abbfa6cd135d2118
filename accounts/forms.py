"""The sign-up form: allauth's e-mail and password, and who is signing up for which organization, agreeing to what."""

from typing import Any

from allauth.account.forms import SignupForm as EmailSignupForm
from django import forms
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.consents import give_consents
from accounts.models import Organization, User


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
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)  # the label says it, and stays when one writes

    def save(self, request: HttpRequest) -> User:
        """The user, whose organization is opened once the address is confirmed, and the consents, in one transaction."""
        with transaction.atomic():
            user: User = super().save(request)
            user.name = self.cleaned_data["name"]
            user.organization_name = self.cleaned_data["organization_name"]
            user.language = "en" if get_language() == "en" else "ko"
            user.save(update_fields=["name", "organization_name", "language"])
            give_consents(user, now=timezone.now())
        return user
