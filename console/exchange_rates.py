"""Publish an exchange rate by hand. It holds from the next day (or month) on, whatever day it is of."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from catalog import price_book
from catalog.exchange_rates import publish_exchange_rate
from catalog.models import ExchangeRate
from console.dates import SEOUL
from console.deeds import DayInput, Deed, DeedForm, Refused, Row, add_deed
from console.figures import figure
from console.rate_standing import holds_for, rate_standing
from console.read_only import list_of

SOURCES = [
    ("seoul-fx", _("Seoul Money Brokerage, base rate")),
    ("koreaexim", _("Export-Import Bank of Korea, base rate")),
    ("ecb", _("European Central Bank, reference rate")),
    ("manual", _("Set by us")),
]


class ExchangeRateForm(DeedForm):
    rate = forms.DecimalField(
        label=_("Won for 1 USD"),
        min_value=Decimal("0.0001"),
        max_value=Decimal(1_000_000),
        max_digits=11,
        decimal_places=4,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
    )
    published_on = forms.DateField(label=_("Published on"), widget=DayInput)
    source = forms.ChoiceField(label=_("Source"), choices=SOURCES)


class PublishExchangeRate(Deed):
    form_class = ExchangeRateForm
    title = _("Publish an exchange rate")
    lead = _(
        "Customers with a daily rate pay by it from the next day, all others from the next month, if no later one follows. "
        "It is printed on every invoice."
    )
    button = _("Publish the rate")

    def initial(self) -> dict[str, Any]:
        return {"published_on": datetime.now(SEOUL).date(), "source": "manual"}

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values, now)
        last = rate_standing(now=now).last
        held = holds_for(rate=values["rate"], published_on=values["published_on"], source=values["source"], now=now)
        rows: list[Row] = [
            ("1 USD", f"{won(last.rate) if last else '–'} → {won(values['rate'])}"),
            (_("Published on"), figure("table_date")(values["published_on"])),
            (_("Source"), dict(SOURCES)[values["source"]]),
            (
                _("Holds for"),
                "; ".join(str(what) for what in held) or _("nothing: it is too old, or a later one holds"),
            ),
        ]
        if last is not None and not Decimal("0.8") < values["rate"] / last.rate < Decimal("1.25"):
            rows.append((_("Mind"), _("This is far from the last rate. Please check the decimal point.")))
        return rows

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        self._check(values, now)
        row = publish_exchange_rate(
            rate=values["rate"],
            published_on=values["published_on"],
            source=values["source"],
            now=now,
            actor=self.request.user,
        )
        price_book.forget()
        if row is None:
            return gettext("This rate had been published already; nothing was changed.")
        return gettext("Exchange rate published: %(rate)s for 1 USD") % {"rate": won(row.rate)}

    def _check(self, values: dict[str, Any], now: datetime) -> None:
        if values["published_on"] > now.astimezone(SEOUL).date():
            raise Refused(gettext("A rate cannot be of a day that has not come yet."))

    def back(self) -> str:
        return list_of(ExchangeRate)


def won(rate: Decimal) -> str:
    return figure("price_text")(rate, "KRW")


add_deed("exchange-rate/", PublishExchangeRate, name="publish_exchange_rate")
