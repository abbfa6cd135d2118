"""The form of a new API key."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.api_keys import DEFAULT_SCOPES
from accounts.models import ApiKey, Organization, Scope
from catalog.models import LanguageModel


class NewKeyForm(forms.Form):
    """Name, what the key may do, which models it may call (none chosen: all), and the last day on which it works."""

    name = forms.CharField(
        label=_("Name"),
        max_length=ApiKey._meta.get_field("name").max_length,
        help_text=_("Where the key is used: Production, Batch jobs, My laptop."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=Scope.choices,
        initial=DEFAULT_SCOPES,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Report usage only for a gateway of your own: what it reports is charged."),
    )
    allowed_models = forms.CharField(
        label=_("Allowed models"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"}),
        help_text=_("Model IDs, one a line. Empty: all models."),
    )
    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The key stops working when this day ends. Empty: never."),
    )

    def __init__(self, *args: Any, organization: Organization, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = ZoneInfo(organization.zone)
        self.now = now

    def clean_allowed_models(self) -> list[str]:
        """Slugs of models that are or were sold; what is unknown is named, so that a typing error is found."""
        wanted = {line.strip() for line in self.cleaned_data["allowed_models"].replace(",", "\n").splitlines()} - {""}
        known = set(LanguageModel.objects.filter(slug__in=wanted).values_list("slug", flat=True))
        unknown = sorted(wanted - known)
        if unknown:
            raise forms.ValidationError(_("Unknown model: %(model)s"), params={"model": ", ".join(unknown[:5])})
        return sorted(known)

    def clean_expires_on(self) -> datetime | None:
        """The first moment after the day, in the organization's zone."""
        day = self.cleaned_data["expires_on"]
        if day is None:
            return None
        end = datetime.combine(day + timedelta(days=1), time(), self.zone)
        if end <= self.now:
            raise forms.ValidationError(_("This day is over already."))
        return end
