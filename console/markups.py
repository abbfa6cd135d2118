"""Set what is added to the upstream cost: for everything, a provider, a model, an organization, or a model of one."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.db import IntegrityError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from catalog import price_book
from catalog.markup_comparison import Proposal
from catalog.markups import SellsBelowCost, sells_below_cost, set_markup
from catalog.models import LanguageModel, MarkupRule
from catalog.provider_names import provider_choices
from console.dates import start_of
from console.deeds import Deed, DeedForm, MomentInput, Refused, Row, add_deed
from console.figures import figure
from console.markup_review import MarkupReview, below_cost, review_markup
from console.read_only import list_of

HUNDRED = Decimal(100)


class MarkupForm(DeedForm):
    organization = forms.ModelChoiceField(
        label=_("organization"), queryset=Organization.objects.order_by("name"), required=False, empty_label=_("All")
    )
    model = forms.CharField(
        label=_("language model"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"list": "models"}),
        help_text=_("Empty: all models."),
    )
    provider = forms.ChoiceField(
        label=_("provider"), required=False, help_text=_("For all models of a provider; not together with the others.")
    )
    percent = forms.DecimalField(
        label=_("Markup in percent of cost"),
        required=False,
        min_value=Decimal(-99),
        max_value=Decimal(1000),
        max_digits=6,
        decimal_places=2,
        help_text=_("10 sells for 1.1 × cost. Empty: the rule ends, and the next general one holds."),
    )
    effective_from = forms.DateTimeField(
        label=_("In force from"), required=False, widget=MomentInput, help_text=_("Empty: at once.")
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)
    below_cost = forms.BooleanField(
        label=_("Sell below cost on purpose"),
        required=False,
        help_text=_("Only for a markup that earns less than it costs. The reason is kept with your name."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["provider"].choices = [("", _("All")), *provider_choices()]

    def clean_model(self) -> LanguageModel | None:
        slug = self.cleaned_data["model"].strip()
        model = LanguageModel.objects.filter(slug=slug).first() if slug else None
        if slug and model is None:
            raise forms.ValidationError(gettext("No model has this ID."))
        return model

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("provider") and (values.get("model") or values.get("organization")):
            self.add_error("provider", gettext("A provider cannot be combined with a model or an organization."))
        return values


class SetMarkup(Deed):
    form_class = MarkupForm
    title = _("Set a markup")
    lead = _("The most specific rule wins: organization and model, organization, model, provider, everything.")
    button = _("Set the markup")
    review_template = "console/parts/markup_review.html"

    def initial(self) -> dict[str, Any]:
        return {"model": self.request.GET.get("model", ""), "organization": self.request.GET.get("organization")}

    def choices(self) -> list[str]:
        return list(LanguageModel.objects.order_by("slug").values_list("slug", flat=True))

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        if sells_below_cost(fraction(values["percent"])) and not values["below_cost"]:
            raise Refused(below_cost())
        since = start_of(values["effective_from"], now=now)
        rule = last_rule(values, now=since)
        parts = [values["organization"], values["model"], values["provider"]]
        self.previewed = review_markup(_proposal(values, since), now=now)
        return [
            (_("Holds for"), " × ".join(str(part) for part in parts if part) or _("Everything")),
            (_("Markup"), f"{percent(rule.markup if rule else None)} → {percent(fraction(values['percent']))}"),
            (_("In force from"), figure("table_second")(since)),
            (_("Reason"), values["reason"]),
            *self.previewed.rows,
        ]

    def preview(self, values: dict[str, Any], *, now: datetime) -> MarkupReview:
        return self.previewed

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        since, markup = start_of(values["effective_from"], now=now), fraction(values["percent"])
        rule = last_rule(values, now=since)
        if markup == (rule.markup if rule else None):
            return gettext("This markup is in force already; nothing was changed.")
        try:
            set_markup(
                markup=markup,
                effective_from=since,
                now=now,
                organization=values["organization"],
                language_model=values["model"],
                provider_slug=values["provider"],
                reason=values["reason"],
                sell_below_cost=values["below_cost"],
                actor=self.request.user,
            )
        except SellsBelowCost:
            raise Refused(below_cost()) from None
        except IntegrityError:
            raise Refused(
                gettext("Another rule for the same begins at this very moment. Choose another one.")
            ) from None
        price_book.forget()
        return gettext("Markup set: %(markup)s, in force from %(since)s") % {
            "markup": percent(markup),
            "since": figure("table_second")(since),
        }

    def back(self) -> str:
        return list_of(MarkupRule)


def _proposal(values: dict[str, Any], since: datetime) -> Proposal:
    organization, model = values["organization"], values["model"]
    return Proposal(
        organization_id=organization and organization.pk,
        model_id=model and model.pk,
        provider_slug=values["provider"],
        markup=fraction(values["percent"]),
        effective_from=since,
    )


def fraction(in_percent: Decimal | None) -> Decimal | None:
    """10 as 0.1000."""
    return None if in_percent is None else (in_percent / HUNDRED).quantize(Decimal("0.0001"))


def percent(markup: Decimal | None) -> str:
    return gettext("no rule of its own") if markup is None else figure("percent")(markup, 2)


def last_rule(values: dict[str, Any], *, now: datetime) -> MarkupRule | None:
    """The rule for the same target that holds at `now`."""
    rules = MarkupRule.objects.filter(
        organization=values["organization"], language_model=values["model"], provider_slug=values["provider"]
    )
    return rules.filter(effective_from__lte=now).order_by("-effective_from", "-revision").first()


add_deed("markup/", SetMarkup, name="set_markup")
