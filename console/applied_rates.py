"""Applied rates: what customers are charged by, and the price, band, markup and exchange rate that each was made of."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from catalog.models import AppliedRate
from catalog.price_sheets import parse_price_map
from console.catalog import MAIN_CLASSES
from console.figures import figure, named
from console.read_only import ReadOnlyAdmin, linked
from console.site import site
from metering.token_labels import TOKEN_CLASSES
from pricing.tokens import PIECE_CLASSES, TokenClass


def unit_prices(field: str, label: Any, *, currency: Any) -> Any:
    """A rate's price of each token class, per million or piece."""

    @display(description=label)
    def column(rate: AppliedRate) -> Any:
        prices = parse_price_map(getattr(rate, field))
        rows = (
            (TOKEN_CLASSES[token_class], _text(token_class, price, currency(rate)))
            for token_class, price in ((known, prices[known]) for known in TokenClass if known in prices)
            if price or token_class in MAIN_CLASSES
        )
        return format_html_join("", '<span class="pair"><span>{}</span><span class="number">{}</span></span>', rows)

    column.__name__ = f"{field}_pairs"
    return column


def _text(token_class: TokenClass, price: Any, currency: str) -> str:
    if token_class in PIECE_CLASSES:
        return figure("price_text")(price, currency)
    return f"{figure('cost_per_million')(price, currency)} / 1M"


@admin.register(AppliedRate, site=site)
class AppliedRateAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        linked("of_model", _("language model"), lambda row: row.cost_price.language_model),
        "band",
        named(
            "input_figure",
            _("Input / 1M"),
            lambda row: figure("cost_per_million")(row.unit_prices.get("input"), row.currency),
        ),
        named(
            "output_figure",
            _("Output / 1M"),
            lambda row: figure("cost_per_million")(row.unit_prices.get("output"), row.currency),
        ),
        named("markup_figure", _("Markup"), lambda row: figure("percent")(row.markup_rule.markup, 2)),
        named(
            "exchange_figure",
            _("Exchange rate"),
            lambda row: figure("price_text")(row.exchange_rate.rate, "KRW") if row.exchange_rate else "–",
        ),
        "created_at",
    )
    list_filter = ("currency", "band")
    search_fields = ("cost_price__language_model__slug",)
    list_select_related = ("cost_price__language_model", "markup_rule", "exchange_rate")
    ordering = ("-pk",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    linked("of_price", _("cost price"), lambda row: row.cost_price),
                    "band",
                    linked("of_markup", _("markup rule"), lambda row: row.markup_rule),
                    linked("of_exchange", _("exchange rate"), lambda row: row.exchange_rate),
                    "currency",
                    "created_at",
                )
            },
        ),
        (
            _("Unit prices"),
            {
                "fields": (
                    unit_prices("unit_costs", _("What we pay (USD)"), currency=lambda rate: "USD"),
                    unit_prices(
                        "unit_prices", _("What the customer pays, VAT excluded"), currency=lambda rate: rate.currency
                    ),
                )
            },
        ),
    )
