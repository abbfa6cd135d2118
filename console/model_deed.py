"""Write what is to stand on a model's page. What an operator wrote, no price list overwrites."""

from datetime import datetime
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from catalog import price_book
from catalog.listing import edit_model
from catalog.models import LanguageModel
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.listing import ModelForm
from console.read_only import address_of

NAMES = ("name", "provider", "context_length", "max_completion_tokens", "description_ko", "description_en")


class FactsForm(DeedForm):
    name = ModelForm.base_fields["name"]
    provider = ModelForm.base_fields["provider"]
    context_length = ModelForm.base_fields["context_length"]
    max_completion_tokens = ModelForm.base_fields["max_completion_tokens"]
    description_ko = forms.CharField(
        label=_("description (Korean)"), required=False, widget=forms.Textarea({"rows": 5}), max_length=5000
    )
    description_en = forms.CharField(
        label=_("description (English)"), required=False, widget=forms.Textarea({"rows": 5}), max_length=5000
    )


class EditModel(Deed):
    form_class = FactsForm
    title = _("Edit what is known of a model")
    lead = _("What you write stays, whatever price lists say. A field that you empty is filled by them again.")
    button = _("Save")

    def prepare(self, pk: int) -> None:
        self.model = get_object_or_404(LanguageModel, pk=pk)

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.model, name) for name in NAMES}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        changed = [name for name in NAMES if self._said(values, name) != getattr(self.model, name)]
        if not changed:
            raise Refused(gettext("Nothing was changed."))
        labels = self.form().fields
        return [
            (_("Model ID"), self.model.slug),
            *((labels[name].label, f"{getattr(self.model, name) or '–'} → {values[name] or '–'}") for name in changed),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        facts = {name: self._said(values, name) for name in NAMES}
        if not edit_model(model_id=self.model.pk, facts=facts, now=now, actor=self.request.user):
            raise Refused(gettext("Nothing was changed."))
        price_book.forget()
        return gettext("%(model)s was changed") % {"model": self.model.slug}

    def _said(self, values: dict[str, Any], name: str) -> Any:
        """Browsers send line ends of their own."""
        value = values[name]
        return value.replace("\r\n", "\n") if isinstance(value, str) else value

    def back(self) -> str:
        return address_of(self.model)


add_deed("models/<int:pk>/edit/", EditModel, name="edit_model")
