"""How long the secret before shall work on when a key or a webhook gets another one."""

from datetime import timedelta

from django import forms
from django.utils.translation import gettext_lazy

OVERLAPS = {
    "24": (timedelta(hours=24), gettext_lazy("in 24 hours")),
    "168": (timedelta(days=7), gettext_lazy("in 7 days")),
    "0": (timedelta(0), gettext_lazy("at once – for a secret that got into wrong hands")),
}


class RotationForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label=gettext_lazy("The present secret ends"),
        choices=[(name, label) for name, (_overlap, label) in OVERLAPS.items()],
        coerce=lambda name: OVERLAPS[name][0],
        widget=forms.RadioSelect,
        initial="24",
    )
