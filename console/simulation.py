"""What a month would have brought under another markup, price or exchange rate: customer by customer, as each is worked out.

Long work shows progress without a row being written: every answer carries one customer and asks for the next, with the sums so far.
"""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing import cycle
from billing.cycle import DuePeriod
from billing.line_notes import conditions_text
from billing.models import InvoiceLine
from billing.replay.replaying import NotPriced
from billing.replay.simulation import Simulation, simulate_period
from catalog import price_book
from catalog.dropped_prices import DropsTheRest, check_nothing_is_dropped
from catalog.hypothetical_prices import Hypothesis, Implausible
from catalog.price_snapshot import Target
from catalog.supposed_prices import parse_price
from console.deeds import DeedForm
from console.markups import fraction
from console.months import last_months, month_named
from console.site import site
from metering.token_labels import TOKEN_CLASSES
from pricing.band_conditions import conditions_of_override
from pricing.exact import EXACT

SALT = "console.simulation"


class SimulationForm(DeedForm):
    """A month and at least one supposition."""

    month = forms.ChoiceField(label=_("Month"))
    organization = forms.ModelChoiceField(
        label=_("organization"),
        queryset=Organization.objects.order_by("name"),
        to_field_name="slug",
        required=False,
        empty_label=_("All"),
        help_text=_("With a markup: that customer's own rule."),
    )
    percent = forms.DecimalField(
        label=_("Markup in percent of cost"),
        required=False,
        min_value=Decimal(-99),
        max_value=Decimal(1000),
        max_digits=6,
        decimal_places=2,
        help_text=_("Rules that are more specific keep winning."),
    )
    model = forms.CharField(label=_("Markup for this model only"), required=False, max_length=200)
    price = forms.CharField(
        label=_("Cost price"),
        required=False,
        max_length=300,
        help_text=_("model=input:output in USD per 1M tokens, such as mistralai/devstral-small=0.05:0.06"),
    )
    drop_the_rest = forms.BooleanField(
        label=_("Leave out the model’s other prices"),
        required=False,
        help_text=_("Conditions and fees that the two figures do not name."),
    )
    exchange_rate = forms.DecimalField(
        label=_("Won for 1 USD"),
        required=False,
        min_value=Decimal("0.0001"),
        max_value=Decimal(1_000_000),
        max_digits=11,
        decimal_places=4,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        months = last_months(now=timezone.now())
        self.fields["month"].choices = [(month.name, date_format(month.first, "YEAR_MONTH_FORMAT")) for month in months]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        if values["model"] and values["percent"] is None:
            self.add_error("percent", gettext("Say which markup the model would have."))
            return values
        try:
            values["hypothesis"] = hypothesis_of(values)
        except DropsTheRest as fault:
            self.add_error("price", _what_is_dropped(fault))
            return values
        except Implausible as fault:
            self.add_error(None, str(fault))
            return values
        if not values["hypothesis"]:
            self.add_error(None, gettext("Suppose something: a markup, a price or an exchange rate."))
        return values


def hypothesis_of(values: dict[str, Any]) -> Hypothesis:
    """What the form supposes. Raises Implausible, and DropsTheRest unless that is meant."""
    book = price_book.current()
    known = book.models
    prices = dict([parse_price(values["price"])]) if values["price"].strip() else {}
    markups: dict[Target, Decimal] = {}
    named = values["model"].strip()
    for slug in (*prices, *([named] if named else ())):
        if slug not in known:
            raise Implausible(gettext("No model has this ID.") + f" {slug}")
    if not values["drop_the_rest"]:
        month = month_named(values["month"], now=timezone.now())
        for slug, sheet in prices.items():
            check_nothing_is_dropped(slug, sheet, book=book, since=month.start, until=month.end)
    markup = fraction(values["percent"])
    if markup is not None:
        organization, model = values["organization"], known.get(named)
        markups[organization.pk if organization else None, model.id if model else None, ""] = markup
    return Hypothesis(prices=prices, markups=markups, exchange_rate=values["exchange_rate"])


def _what_is_dropped(fault: DropsTheRest) -> str:
    """What the price in force has besides the figures, in the operator's words."""
    names = [str(TOKEN_CLASSES[kind]) for kind in fault.classes]
    names += dict.fromkeys(
        conditions_text(conditions_of_override(override), get_language() or "") for override in fault.overrides
    )
    return gettext(
        "The price of this month also has: %(dropped)s. These figures would leave that out; tick the box below if that is meant."
    ) % {"dropped": "; ".join(names)}


def periods_of(values: dict[str, Any]) -> list[DuePeriod]:
    """The periods to replay, one a customer."""
    organization = values["organization"]
    return [
        period
        for period in cycle.every_period_of_month(values["month"])
        if organization is None or period.organization_id == organization.pk
    ]


@require_safe
def simulation(request: HttpRequest) -> HttpResponse:
    """The form, and under it the table that fills itself."""
    form = SimulationForm(request.GET or None, initial={"month": last_months(now=timezone.now())[0].name})
    context: dict[str, Any] = {"form": form}
    if request.GET and form.is_valid():
        periods = periods_of(form.cleaned_data)
        context |= {"started": True, "of": len(periods), "next": _next(request, 0, {}) if periods else None}
    response = site.render(request, "console/simulation.html", title=_("Simulate a month"), **context)
    response.status_code = 422 if request.GET and not form.is_valid() else 200
    return response


@require_safe
def simulation_part(request: HttpRequest) -> HttpResponse:
    """One customer, and where the next one is asked for; after the last the sums."""
    form = SimulationForm(request.GET)
    try:
        number, sums = signing.loads(request.GET.get("at", ""), salt=SALT)
    except signing.BadSignature:
        return HttpResponseBadRequest("not a step of a simulation")
    if not form.is_valid():
        return HttpResponseBadRequest("not a simulation")
    periods = periods_of(form.cleaned_data)
    context: dict[str, Any] = {"done": min(number + 1, len(periods)), "of": len(periods)}
    if number < len(periods):
        period = periods[number]
        try:
            found = simulate_period(
                organization_id=period.organization_id,
                period_id=period.period_id,
                hypothesis=form.cleaned_data["hypothesis"],
            )
            context |= {"found": found, "lines": _lines(found)}
            sums = _added(sums, found)
        except NotPriced as fault:
            context |= {"fault": str(fault), "slug": period.organization_slug}
    if number + 1 < len(periods):
        context["next"] = _next(request, number + 1, sums)
    else:
        context["sums"] = [
            (currency, Decimal(before), Decimal(after), EXACT.subtract(Decimal(after), Decimal(before)))
            for currency, (before, after) in sorted(sums.items())
        ]
    return render(request, "console/parts/simulated.html", context)


def _next(request: HttpRequest, number: int, sums: dict[str, tuple[str, str]]) -> str:
    asked = {name: value for name, value in request.GET.items() if name in SimulationForm.base_fields}
    asked["at"] = signing.dumps((number, sums), salt=SALT)
    return f"{reverse('admin:simulation_part')}?{urlencode(asked)}"


def _added(sums: dict[str, tuple[str, str]], found: Simulation) -> dict[str, tuple[str, str]]:
    currency = found.organization.billing_currency
    before, after = sums.get(currency, ("0", "0"))
    return sums | {
        currency: (
            str(EXACT.add(Decimal(before), found.before.total)),
            str(EXACT.add(Decimal(after), found.after.total)),
        )
    }


def _lines(found: Simulation) -> list[dict[str, Any]]:
    return [
        {
            "line": line,
            "label": TOKEN_CLASSES[line.token_class],
            "before_exact": line.before,
            "after_exact": line.after,
            "before": before,
            "after": after,
            "difference": EXACT.subtract(after, before),
        }
        for line, before, after in found.rounded_lines
    ] + [
        {
            "label": InvoiceLine.Kind(agreed.kind).label,
            "before_exact": agreed.before_exact,
            "after_exact": agreed.after_exact,
            "before": agreed.before,
            "after": agreed.after,
            "difference": EXACT.subtract(agreed.after, agreed.before),
        }
        for agreed in found.agreed
    ]


site.pages += [
    path("simulation/", site.admin_view(simulation), name="simulation"),
    path("simulation/part/", site.admin_view(simulation_part), name="simulation_part"),
]
