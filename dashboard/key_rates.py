"""How much one key may ask of the gateway in a minute."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.api_keys import ROLES_THAT_MANAGE_KEYS
from accounts.models import ApiKey
from accounts.rate_limits import HIGHEST_RATE, rates_of, set_key_rates
from dashboard.access import organization_page


class CountField(forms.IntegerField):
    """A whole number; people write thousands with commas."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
        super().__init__(required=False, min_value=1, max_value=HIGHEST_RATE, widget=widget, **options)

    def to_python(self, value: Any) -> int | None:
        return super().to_python(value.replace(",", "").strip() if isinstance(value, str) else value)


class RatesForm(forms.Form):
    requests = CountField(
        label=gettext_lazy("Requests a minute"), help_text=gettext_lazy("Empty: no limit of its own.")
    )
    tokens = CountField(label=gettext_lazy("Tokens a minute"), help_text=gettext_lazy("Empty: no limit of its own."))


@organization_page(roles=ROLES_THAT_MANAGE_KEYS)
@require_http_methods(["GET", "HEAD", "POST"])
def key_rates(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.for_organization(request.organization), pk=key_id)
    standing = {
        name: f"{number:,}"
        for name, number in (("requests", key.requests_per_minute), ("tokens", key.tokens_per_minute))
        if number
    }
    form = RatesForm(request.POST if request.method == "POST" else None, initial=standing)
    if request.method == "POST" and form.is_valid():
        set_key_rates(key=key, **form.cleaned_data, now=timezone.now(), actor=request.user)
        messages.success(request, _("Saved. It holds within seconds."))
        return redirect("dashboard:key", request.organization.slug, key.pk)
    requests, tokens = rates_of(request.organization)
    context = {"section": "keys", "key": key, "form": form, "requests": requests, "tokens": tokens}
    return render(request, "dashboard/key_rates.html", context, status=422 if form.errors else 200)
