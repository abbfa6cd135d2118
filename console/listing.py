"""Put a model on the list of what is sold; its price is entered next. What is not known stays empty."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.validators import RegexValidator
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from catalog import price_book
from catalog.listing import ModelFacts, list_models
from catalog.models import CostTable, LanguageModel
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure
from console.read_only import list_of

MODEL_ID = RegexValidator(r"^[a-z0-9][\w.-]*/[\w.:-]+$", _("An ID looks like mistralai/devstral-small."))


class ModelForm(DeedForm):
    slug = forms.CharField(label=_("Model ID"), max_length=200, validators=[MODEL_ID])
    name = forms.CharField(label=_("name"), max_length=200)
    provider = forms.CharField(label=_("provider"), max_length=100)
    cost_table = forms.ModelChoiceField(
        label=_("cost table"), queryset=CostTable.objects.order_by("name"), empty_label=None
    )
    context_length = forms.IntegerField(label=_("context window"), min_value=1, max_value=2**31 - 1, required=False)
    max_completion_tokens = forms.IntegerField(
        label=_("Most output tokens"), min_value=1, max_value=2**31 - 1, required=False
    )
    description_ko = forms.CharField(
        label=_("description (Korean)"), required=False, widget=forms.Textarea({"rows": 3})
    )
    description_en = forms.CharField(
        label=_("description (English)"), required=False, widget=forms.Textarea({"rows": 3})
    )


class AddModel(Deed):
    form_class = ModelForm
    title = _("Add a model")
    lead = _("It is sold from the moment its first price holds. Its row stays for good.")
    button = _("Add the model")

    def initial(self) -> dict[str, Any]:
        return {"slug": self.request.GET.get("model", "")}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values)
        return [
            (_("Model ID"), values["slug"]),
            (_("name"), values["name"]),
            (_("provider"), values["provider"]),
            (_("cost table"), values["cost_table"]),
            (_("context window"), figure("tokens")(values["context_length"])),
            (_("Most output tokens"), figure("tokens")(values["max_completion_tokens"])),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check(values)
        list_models([ModelFacts(**values)], now=now, actor=self.request.user, by_hand=True)
        price_book.forget()
        self.slug = values["slug"]
        return gettext("%(model)s is listed. Enter its price now.") % {"model": self.slug}

    def _check(self, values: dict[str, Any]) -> None:
        page = values["slug"].replace("/", "-").replace(":", "-")
        if LanguageModel.objects.filter(slug=values["slug"]).exists():
            raise Refused(gettext("This model is listed already."))
        if LanguageModel.objects.filter(page_slug=page).exists():
            raise Refused(gettext("Another model has the same page address."))

    def back(self) -> str:
        slug = getattr(self, "slug", None)
        return f"{reverse('admin:enter_price')}?{urlencode({'model': slug})}" if slug else list_of(LanguageModel)


add_deed("models/new/", AddModel, name="add_model")
