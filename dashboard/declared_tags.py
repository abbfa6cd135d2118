"""Settings: the tags by which usage is summed, and since when."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.profiles import ROLES_THAT_ADMINISTER
from accounts.tag_declarations import (
    LONGEST_KEY,
    MOST_TAGS,
    InvalidTagKeys,
    check_tag_keys,
    declare_tags,
    declared_tags,
    history_of_tags,
)
from dashboard.access import may, organization_page

LABELS = (gettext_lazy("First tag"), gettext_lazy("Second tag"), gettext_lazy("Third tag"))


class TagsForm(forms.Form):
    """A field for each tag; those left empty are not declared."""

    def __init__(self, *args: object, keys: list[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for number in range(MOST_TAGS):
            self.fields[f"key_{number + 1}"] = forms.CharField(
                label=LABELS[number],
                max_length=LONGEST_KEY,
                required=False,
                initial=keys[number] if number < len(keys) else "",
                widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
            )

    def clean(self) -> dict[str, object]:
        given = [self.cleaned_data.get(f"key_{number + 1}") for number in range(MOST_TAGS)]
        keys = [key for key in given if key]
        try:
            return {"keys": check_tag_keys(keys)}
        except InvalidTagKeys as error:
            raise forms.ValidationError(str(error)) from None


@organization_page()
@require_http_methods(["GET", "HEAD", "POST"])
def tags(request: HttpRequest) -> HttpResponse:
    """Everybody may look; owners and admins may change."""
    may_change = may(request, ROLES_THAT_ADMINISTER)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(request.membership.role)
    organization = request.organization
    form = TagsForm(request.POST if request.method == "POST" else None, keys=declared_tags(organization))
    if request.method == "POST" and form.is_valid():
        declare_tags(organization=organization, keys=form.cleaned_data["keys"], actor=request.user, now=timezone.now())
        messages.success(request, _("Saved. It holds for what is recorded from now on."))
        return redirect("dashboard:tags", organization.slug)
    for field in form.fields.values():
        field.disabled = not may_change
    context = {
        "section": "settings",
        "tab": "tags",
        "form": form,
        "may_change": may_change,
        "history": list(reversed(history_of_tags(organization))),
    }
    return render(request, "dashboard/tags.html", context, status=422 if form.errors else 200)
