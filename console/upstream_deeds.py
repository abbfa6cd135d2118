"""Say which servers answer calls, and for which models. Every gateway process goes by it within seconds."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import RegexValidator
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from catalog import upstreams
from catalog.models import CostTable, LanguageModel, ModelRoute, Upstream
from console.deeds import Deed, DeedForm, Refused, Row, add_deed
from console.read_only import address_of, list_of

KEY_VARIABLE = RegexValidator(
    settings.UPSTREAM_KEY_VARIABLE.pattern + r"\Z", _("Its name looks like UPSTREAM_MISTRAL_API_KEY.")
)
OF_THE_GATEWAY = _("as the gateway is set")


def patience(label: Any) -> forms.FloatField:
    return forms.FloatField(
        label=label, min_value=0.1, max_value=3600, required=False, help_text=_("Empty: as the gateway is set.")
    )


class UpstreamForm(DeedForm):
    name = forms.CharField(label=_("name"), max_length=100)
    kind = forms.ChoiceField(
        label=_("kind"),
        choices=Upstream.Kind.choices,
        help_text=_("OpenRouter names models as we do and goes through fallback models by itself."),
    )
    base_url = forms.ChoiceField(
        label=_("address"), help_text=_("Addresses that the environment allows (UPSTREAM_URLS).")
    )
    key_variable = forms.CharField(
        label=_("variable of the key"),
        max_length=100,
        required=False,
        validators=[KEY_VARIABLE],
        help_text=_("The environment variable that holds the key; the key itself is never entered here."),
    )
    connect_seconds = patience(_("seconds to connect"))
    first_byte_seconds = patience(_("seconds to the first byte"))
    chunk_seconds = patience(_("seconds between chunks"))
    total_seconds = patience(_("seconds in all"))
    connections = forms.IntegerField(
        label=_("connections at most"),
        min_value=1,
        max_value=65_535,
        required=False,
        help_text=_("Empty: as the gateway is set."),
    )
    enabled = forms.BooleanField(label=_("in use"), required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["base_url"].choices = [(url, url) for url in settings.UPSTREAM_URLS]  # type: ignore[attr-defined]


class NewUpstreamForm(UpstreamForm):
    slug = forms.SlugField(
        label=_("ID"), max_length=50, help_text=_("Small letters, digits and hyphens; it stays for good.")
    )
    cost_table = forms.ModelChoiceField(
        label=_("cost table"),
        queryset=CostTable.objects.order_by("name"),
        empty_label=None,
        help_text=_("What it serves is charged by this list; only models that are sold from it can be routed here."),
    )
    field_order = ("name", "slug", "kind", "base_url", "key_variable", "cost_table")


class UpstreamDeed(Deed):
    """Says what an upstream will be."""

    def facts(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in upstreams.EDITABLE}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        try:
            upstreams.check(self.facts(values))
        except ValueError as reason:
            raise refusal_of(reason) from None
        fields = self.form().fields
        return [(field.label, _shown(values[name])) for name, field in fields.items()]


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return OF_THE_GATEWAY if value is None else value or "–"


class AddUpstream(UpstreamDeed):
    form_class = NewUpstreamForm
    title = _("Add an upstream")
    lead = _("A server that answers calls. It gets none before a route names it.")
    button = _("Add the upstream")

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.upstream = upstreams.add_upstream(
                slug=values["slug"],
                cost_table_id=values["cost_table"].pk,
                facts=self.facts(values),
                now=now,
                actor=self.request.user,
            )
        except ValueError as reason:
            raise refusal_of(reason) from None
        return gettext("%(name)s is added. Add routes for the models that it serves.") % {"name": self.upstream.name}

    def back(self) -> str:
        upstream = getattr(self, "upstream", None)
        return address_of(upstream) if upstream else list_of(Upstream)


class EditUpstream(UpstreamDeed):
    form_class = UpstreamForm
    title = _("Edit the upstream")
    lead = _("It holds within seconds. Calls under way end as they began.")
    button = _("Save")

    def prepare(self, pk: int) -> None:
        self.upstream = get_object_or_404(Upstream, pk=pk)

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.upstream, name) for name in upstreams.EDITABLE}

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            changed = upstreams.edit_upstream(
                upstream_id=self.upstream.pk, facts=self.facts(values), now=now, actor=self.request.user
            )
        except ValueError as reason:
            raise refusal_of(reason) from None
        if not changed:
            raise Refused(gettext("Nothing was changed."))
        return gettext("%(name)s was changed.") % {"name": values["name"]}

    def back(self) -> str:
        return address_of(self.upstream)


class RouteForm(DeedForm):
    upstream_model = forms.CharField(
        label=_("name there"),
        max_length=200,
        required=False,
        help_text=_("What this upstream calls the model; empty for the model's own ID."),
    )
    priority = forms.IntegerField(
        label=_("priority"), min_value=0, max_value=1000, initial=10, help_text=_("The lowest is asked first.")
    )


class NewRouteForm(RouteForm):
    upstream = forms.ModelChoiceField(
        label=_("upstream"),
        queryset=Upstream.objects.order_by("name"),
        empty_label=None,
        help_text=_("None to choose? Add an upstream first."),
    )
    model = forms.CharField(
        label=_("Model ID"),
        max_length=200,
        required=False,
        help_text=_("Empty: every model of the upstream's cost table that has no route of its own."),
    )
    field_order = ("upstream", "model", "upstream_model", "priority")

    def clean_model(self) -> LanguageModel | None:
        slug = self.cleaned_data["model"].strip()
        found = LanguageModel.objects.filter(slug=slug).first() if slug else None
        if slug and found is None:
            raise forms.ValidationError(gettext("No model has this ID."))
        return found


class EditRouteForm(RouteForm):
    enabled = forms.BooleanField(label=_("in use"), required=False)


class AddRoute(Deed):
    form_class = NewRouteForm
    title = _("Add a route")
    lead = _(
        "From then on calls of the model go by its routes alone. Models without a route stay with the environment's upstream."
    )
    button = _("Add the route")

    def initial(self) -> dict[str, Any]:
        return {"upstream": self.request.GET.get("upstream", ""), "priority": 10}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        model = values["model"]
        try:
            upstreams.check_cost_table(values["upstream"], model.pk if model else None)
        except ValueError as reason:
            raise refusal_of(reason) from None
        return [
            (_("upstream"), values["upstream"].name),
            (_("Model ID"), model.slug if model else _("All models of the cost table")),
            (_("name there"), values["upstream_model"] or "–"),
            (_("priority"), values["priority"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.route = upstreams.add_route(
                upstream_id=values["upstream"].pk,
                language_model_id=values["model"].pk if values["model"] else None,
                upstream_model=values["upstream_model"],
                priority=values["priority"],
                now=now,
                actor=self.request.user,
            )
        except ValueError as reason:
            raise refusal_of(reason) from None
        return gettext("The route holds within seconds.")

    def back(self) -> str:
        return list_of(ModelRoute)


class EditRoute(Deed):
    form_class = EditRouteForm
    title = _("Edit the route")
    lead = _("It holds within seconds. Calls under way end as they began.")
    button = _("Save")

    def prepare(self, pk: int) -> None:
        self.route = get_object_or_404(ModelRoute.objects.select_related("upstream", "language_model"), pk=pk)

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.route, name) for name in ("upstream_model", "priority", "enabled")}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [
            (_("upstream"), self.route.upstream.name),
            (_("Model ID"), self.route.language_model or _("All models of the cost table")),
            (_("name there"), values["upstream_model"] or "–"),
            (_("priority"), values["priority"]),
            (_("in use"), _("Yes") if values["enabled"] else _("No")),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        changed = upstreams.edit_route(
            route_id=self.route.pk,
            upstream_model=values["upstream_model"],
            priority=values["priority"],
            enabled=values["enabled"],
            now=now,
            actor=self.request.user,
        )
        if not changed:
            raise Refused(gettext("Nothing was changed."))
        return gettext("The route holds within seconds.")

    def back(self) -> str:
        return address_of(self.route)


def refusal_of(reason: ValueError) -> Refused:
    """A refusal of `catalog.upstreams` in the operator's words."""
    words = {
        upstreams.AddressNotAllowed: gettext("The environment does not allow this address."),
        upstreams.UnknownVariable: gettext("Its name looks like UPSTREAM_MISTRAL_API_KEY."),
        upstreams.NameInUse: gettext("There is such an upstream or route already."),
        upstreams.OtherCostTable: gettext(
            "The model is sold from another cost table than this upstream is charged by."
        ),
        upstreams.TooPatient: gettext("A call must not take longer than its hold lives."),
    }
    return Refused(words.get(type(reason), str(reason)))  # type: ignore[call-overload]


add_deed("upstreams/add/", AddUpstream, name="add_upstream")
add_deed("upstreams/<int:pk>/edit/", EditUpstream, name="edit_upstream")
add_deed("routes/add/", AddRoute, name="add_route")
add_deed("routes/<int:pk>/edit/", EditRoute, name="edit_route")
