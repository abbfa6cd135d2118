"""Enter a cost price, or stop selling a model: a new dated row, never a change of an old one."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from catalog import price_book
from catalog.models import CostPrice, LanguageModel
from catalog.price_sheets import sheet_from_json
from catalog.publishing import BY_HAND, delist, publish_cost_price
from console.dates import earliest_price, start_of
from console.deeds import Deed, DeedForm, MomentInput, Refused, Row, add_deed
from console.figures import figure
from console.read_only import address_of, list_of
from pricing.bands import PriceSheet
from pricing.openrouter_pricing import InvalidPrice, parse_openrouter_pricing
from pricing.plain_text import plain

MILLION = Decimal(1_000_000)
KEYS = {
    "input": ("prompt", _("Input")),
    "output": ("completion", _("Output")),
    "cache_read": ("input_cache_read", _("Cache read")),
    "cache_write": ("input_cache_write", _("Cache write")),
}
"""Fields of the form: the key of the upstream's price list, and the label."""


def price_field(label: Any, *, required: bool, help_text: Any = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=required,
        min_value=Decimal(0),
        max_value=Decimal(1_000_000),
        max_digits=13,
        decimal_places=6,
        help_text=help_text,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
    )


class PriceForm(DeedForm):
    model = forms.CharField(label=_("language model"), max_length=200, widget=forms.TextInput(attrs={"list": "models"}))
    input = price_field(_("Input, USD per 1M tokens"), required=True)
    output = price_field(_("Output, USD per 1M tokens"), required=True)
    cache_read = price_field(_("Cache read, USD per 1M tokens"), required=False, help_text=_("Empty: as input."))
    cache_write = price_field(_("Cache write, USD per 1M tokens"), required=False, help_text=_("Empty: as input."))
    effective_from = forms.DateTimeField(
        label=_("In force from"),
        required=False,
        widget=MomentInput,
        help_text=_("Empty: at once. For a model's first price: from its oldest request that waits for one."),
    )

    def clean_model(self) -> LanguageModel:
        model = (
            LanguageModel.objects.select_related("cost_table").filter(slug=self.cleaned_data["model"].strip()).first()
        )
        if model is None:
            raise forms.ValidationError(gettext("No model has this ID."))
        return model


class EnterPrice(Deed):
    form_class = PriceForm
    title = _("Enter a cost price")
    lead = _("What we pay the upstream. Requests from that moment on are charged by it; what was charged before stays.")
    button = _("Publish the price")

    def initial(self) -> dict[str, Any]:
        slug = self.request.GET.get("model", "")
        model = LanguageModel.objects.filter(slug=slug).first()
        price = current_price(model, now=None) if model else None
        shown = {}
        if price is not None and price.sheet:
            base = price.sheet["base"]
            shown = {name: plain(Decimal(base[name]) * MILLION) for name in KEYS if name in base}
        return {"model": slug, **shown}

    def choices(self) -> list[str]:
        return list(LanguageModel.objects.order_by("slug").values_list("slug", flat=True))

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        model, sheet, _raw, since = self._read(values, now)
        before = current_price(model, now=since)
        old = before.sheet["base"] if before is not None and before.sheet else {}
        rows: list[Row] = [(_("language model"), model), (_("cost table"), model.cost_table)]
        for name, (_key, label) in KEYS.items():
            new = next((price for token_class, price in sheet.base.items() if token_class.value == name), None)
            rows.append((label, f"{per_million(old.get(name))} → {per_million(new)}"))
        rows.append((_("In force from"), figure("table_second")(since)))
        if before is not None and before.sheet and before.sheet["overrides"]:
            rows.append(
                (_("Mind"), _("The price in force has conditional bands (long context, hours). They end with it."))
            )
        return rows

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        model, sheet, raw, since = self._read(values, now)
        price = publish_cost_price(
            cost_table=model.cost_table,
            language_model=model,
            sheet=sheet,
            effective_from=since,
            raw=raw,
            origin=BY_HAND,
            now=now,
            actor=self.request.user,
        )
        price_book.forget()
        if price is None:
            return gettext("The very same price is in force already; nothing was changed.")
        return gettext("Price of %(model)s published, in force from %(since)s") % {
            "model": model.slug,
            "since": figure("table_second")(since),
        }

    def _read(
        self, values: dict[str, Any], now: datetime
    ) -> tuple[LanguageModel, PriceSheet, dict[str, str], datetime]:
        model = values["model"]
        if model.is_router:
            raise Refused(gettext("A router has no price of its own: it costs what the answering model costs."))
        raw = {key: plain(values[name] / MILLION) for name, (key, _label) in KEYS.items() if values[name] is not None}
        try:
            sheet = parse_openrouter_pricing(raw)
        except InvalidPrice as fault:
            raise Refused(str(fault)) from None
        assert sheet is not None, "no price of -1 passes the form"
        earliest = earliest_price(model, model.slug, now=now)
        since = start_of(values["effective_from"], now=now, earliest=earliest)
        later = CostPrice.objects.filter(language_model=model, cost_table=model.cost_table, effective_from=since)
        if later.exists():
            raise Refused(gettext("Another price begins at this very moment. Choose another one."))
        return model, sheet, raw, since

    def back(self) -> str:
        return list_of(CostPrice)


def current_price(model: LanguageModel, *, now: datetime | None) -> CostPrice | None:
    """The last price that begins no later than `now`; without a moment the very last."""
    prices = CostPrice.objects.filter(language_model=model, cost_table_id=model.cost_table_id)
    if now is not None:
        prices = prices.filter(effective_from__lte=now)
    return prices.order_by("-effective_from", "-revision").first()


def per_million(price: Any) -> str:
    return "–" if price is None else f"{figure('cost_per_million')(price, 'USD')} / 1M"


class DelistForm(DeedForm):
    effective_from = forms.DateTimeField(
        label=_("Not sold from"), required=False, widget=MomentInput, help_text=_("Empty: at once.")
    )


class Delist(Deed):
    form_class = DelistForm
    title = _("Stop selling")
    lead = _(
        "Calls of the model are refused from then on. Its page, prices and history stay, and it can be sold again."
    )
    button = _("Stop selling")
    danger = True

    def prepare(self, pk: int) -> None:
        self.model = get_object_or_404(LanguageModel.objects.select_related("cost_table"), pk=pk)

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        since = start_of(values["effective_from"], now=now)
        price = current_price(self.model, now=since)
        if price is None or price.sheet is None:
            raise Refused(gettext("The model is not sold then anyway."))
        base = sheet_from_json(price.sheet).base
        prices = " · ".join(f"{token_class.value} {per_million(cost)}" for token_class, cost in base.items())
        return [
            (_("language model"), self.model),
            (_("Price that ends"), prices),
            (_("Not sold from"), figure("table_second")(since)),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        tombstone = delist(
            cost_table=self.model.cost_table,
            language_model=self.model,
            effective_from=start_of(values["effective_from"], now=now),
            origin=BY_HAND,
            now=now,
            actor=self.request.user,
        )
        if tombstone is None:
            raise Refused(gettext("The model is not sold then anyway."))
        price_book.forget()
        return gettext("%(model)s is no longer sold from %(since)s") % {
            "model": self.model.slug,
            "since": figure("table_second")(tombstone.effective_from),
        }

    def back(self) -> str:
        return address_of(self.model)


add_deed("price/", EnterPrice, name="enter_price")
add_deed("models/<int:pk>/delist/", Delist, name="delist")
