"""Say how much all keys of an organization together may ask of the gateway in a minute."""

from datetime import datetime
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from accounts.rate_limits import HIGHEST_RATE, rates_of, rates_that_hold, set_organization_rates
from console.deeds import Deed, DeedForm, Row, add_deed
from console.read_only import address_of


class RatesForm(DeedForm):
    requests = forms.IntegerField(
        label=_("Requests a minute"),
        required=False,
        min_value=1,
        max_value=HIGHEST_RATE,
        help_text=_("Empty: what the settings say for all."),
    )
    tokens = forms.IntegerField(
        label=_("Tokens a minute"),
        required=False,
        min_value=1,
        max_value=HIGHEST_RATE,
        help_text=_("Empty: what the settings say for all."),
    )


class SetRates(Deed):
    form_class = RatesForm
    title = _("Set limits a minute")
    lead = _("All keys of the organization share them. They hold within seconds.")
    button = _("Set limits")

    def prepare(self, pk: int) -> None:
        self.organization = get_object_or_404(Organization, pk=pk)

    def initial(self) -> dict[str, Any]:
        return {"requests": self.organization.requests_per_minute, "tokens": self.organization.tokens_per_minute}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        before = rates_of(self.organization)
        after = rates_that_hold(requests=values["requests"], tokens=values["tokens"])
        names = (_("Requests a minute"), _("Tokens a minute"))
        changes = [
            (name, f"{rate_words(old)} → {rate_words(new)}")
            for name, old, new in zip(names, before, after, strict=True)
        ]
        return [(_("organization"), self.organization), *changes]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        set_organization_rates(
            organization=self.organization,
            requests=values["requests"],
            tokens=values["tokens"],
            now=now,
            actor=self.request.user,
        )
        return gettext("The limits of %(name)s are set.") % {"name": self.organization.name}

    def back(self) -> str:
        return address_of(self.organization)


def rate_words(number: int) -> str:
    """Of requests or tokens a minute; 0 is no limit."""
    return f"{number:,}" if number else gettext("no limit")


add_deed("organizations/<int:pk>/rates/", SetRates, name="set_rates")
