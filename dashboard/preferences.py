"""Settings: the organization's name, and the reader's own name and language."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.models import Organization, User
from accounts.profiles import ROLES_THAT_ADMINISTER, update_organization
from dashboard.access import may, organization_page

COOKIE_SECONDS = 365 * 24 * 3600


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ["name"]
        labels = {"name": gettext_lazy("Name")}
        help_texts = {
            "name": gettext_lazy("As it appears here. Invoices print the company name of the billing details.")
        }


class OwnForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ["name", "language"]
        labels = {"name": gettext_lazy("Your name"), "language": gettext_lazy("Your language")}


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def organization_settings(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners and admins may change."""
    may_change = may(request, ROLES_THAT_ADMINISTER)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(request.membership.role)
    organization = Organization.objects.get(pk=request.organization.pk)
    form = OrganizationForm(request.POST or None, instance=organization)
    if request.method == "POST" and form.is_valid():
        update_organization(
            organization=organization, name=form.cleaned_data["name"], actor=request.user, now=timezone.now()
        )
        messages.success(request, _("Saved."))
        return redirect("dashboard:settings", organization.slug)
    for field in form.fields.values():
        field.disabled = not may_change
    context = {"section": "settings", "tab": "organization", "form": form, "may_change": may_change}
    return render(request, "dashboard/settings.html", context, status=422 if form.errors else 200)


@organization_page(after_end=True)
@require_http_methods(["GET", "HEAD", "POST"])
def own_settings(request: HttpRequest) -> HttpResponse:
    """The reader's name and language; a new language holds at once, in this browser, too."""
    form = OwnForm(request.POST or None, instance=User.objects.get(pk=request.user.pk))
    if request.method == "POST" and form.is_valid():
        user = form.save()
        translation.activate(user.language)
        messages.success(request, _("Saved."))
        response = redirect("dashboard:profile", request.organization.slug)
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            user.language,
            max_age=COOKIE_SECONDS,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
        return response
    context = {"section": "settings", "tab": "profile", "form": form, "may_change": True}
    return render(request, "dashboard/settings.html", context, status=422 if form.errors else 200)
