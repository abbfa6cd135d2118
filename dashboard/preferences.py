"""Settings: the organization's name and language, and the reader's own."""

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

from accounts.audit_log import write_audit_entry
from accounts.models import Organization, Role, User
from dashboard.access import may, organization_page

ROLES_THAT_ADMINISTER = frozenset({Role.OWNER, Role.ADMIN})
COOKIE_SECONDS = 365 * 24 * 3600


class OrganizationForm(forms.ModelForm):
    """`language` is that of invoices and mails to the organization."""

    class Meta:
        model = Organization
        fields = ["name", "language"]
        labels = {"name": gettext_lazy("Name"), "language": gettext_lazy("Language of invoices and mail")}


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
        form.save()
        write_audit_entry(
            action="organization.changed",
            target=organization.slug,
            organization=organization,
            actor=request.user,
            now=timezone.now(),
            detail={name: form.cleaned_data[name] for name in form.changed_data},
        )
        messages.success(request, _("Saved."))
        return redirect("dashboard:settings", organization.slug)
    for field in form.fields.values():
        field.disabled = not may_change
    context = {"section": "settings", "tab": "organization", "form": form, "may_change": may_change}
    return render(request, "dashboard/settings.html", context, status=422 if form.errors else 200)


@organization_page()
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
