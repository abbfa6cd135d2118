"""Settings, billing details: what invoices print of the buyer, who gets them, and in which language."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.business_standing import standing_of
from accounts.models import BillingProfile, Organization
from accounts.profiles import PROFILE_FIELDS, ROLES_THAT_EDIT_PROFILE, update_organization, update_profile
from accounts.registration_numbers import validate_registration_number
from billing.mail.bounces import bouncing_contact
from dashboard.access import may, organization_page


class BillingDetailsForm(forms.ModelForm):
    """Nothing is required until the first invoice; what is missing then is asked for there."""

    language = forms.ChoiceField(
        label=gettext_lazy("Language of invoices and mail"), choices=Organization._meta.get_field("language").choices
    )

    class Meta:
        model = BillingProfile
        fields = list(PROFILE_FIELDS)
        labels = {
            "legal_name": gettext_lazy("Company name"),
            "registration_number": gettext_lazy("Business registration number"),
            "representative": gettext_lazy("Representative"),
            "address": gettext_lazy("Address"),
            "business_type": gettext_lazy("Business type"),
            "business_item": gettext_lazy("Business item"),
            "contact_name": gettext_lazy("Billing contact"),
            "contact_email": gettext_lazy("Billing email"),
            "po_number": gettext_lazy("PO number"),
            "pays_by": gettext_lazy("How you pay invoices"),
            "prices": gettext_lazy("Prices are shown to you"),
        }
        help_texts = {
            "legal_name": gettext_lazy("As on the certificate of business registration."),
            "registration_number": gettext_lazy("Ten digits: 000-00-00000. Empty for private persons."),
            "contact_email": gettext_lazy("Invoices, receipts and reminders go here."),
            "po_number": gettext_lazy("Your own number of the order, if your accounting needs it: invoices repeat it."),
            "pays_by": gettext_lazy(
                "What a card pays gets no tax invoice; so we must know before we issue one. An invoice whose tax invoice was "
                "issued is paid by transfer."
            ),
        }
        widgets = {
            "registration_number": forms.TextInput(
                attrs={"inputmode": "numeric", "placeholder": "000-00-00000", "autocomplete": "off"}
            ),
            "legal_name": forms.TextInput(attrs={"autocomplete": "organization"}),
            "address": forms.TextInput(attrs={"autocomplete": "street-address"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["pays_by"].required = False

    def clean_registration_number(self) -> str:
        number: str = self.cleaned_data["registration_number"]
        if number:
            validate_registration_number(number)
        return number


@organization_page(after_end=True)
@require_http_methods(["GET", "HEAD", "POST"])
def billing_details(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners, admins and billing managers may change."""
    may_change = may(request, ROLES_THAT_EDIT_PROFILE)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(request.membership.role)
    organization = Organization.objects.get(pk=request.organization.pk)
    profile = BillingProfile.objects.for_organization(organization).get()
    posted = request.POST if request.method == "POST" else None
    form = BillingDetailsForm(posted, instance=profile, initial={"language": organization.language})
    if request.method == "POST" and form.is_valid():
        now, fields = timezone.now(), {name: form.cleaned_data[name] for name in PROFILE_FIELDS if name in request.POST}
        update_profile(organization=organization, changes=fields, actor=request.user, now=now)
        update_organization(
            organization=organization, language=form.cleaned_data["language"], actor=request.user, now=now
        )
        messages.success(request, _("Saved."))
        return redirect("dashboard:billing_details", organization.slug)
    for field in form.fields.values():
        field.disabled = not may_change
    context = {
        "section": "settings",
        "tab": "billing",
        "form": form,
        "may_change": may_change,
        "bouncing": bouncing_contact(organization),
        "standing": standing_of(organization_id=organization.pk, number=profile.registration_number),
    }
    return render(request, "dashboard/billing_details.html", context, status=422 if form.errors else 200)
