"""What is sold and at what price since when: models, cost prices, markups, exchange rates."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models import CostPrice, CostTable, ExchangeRate, LanguageModel, MarkupRule
from console.figures import count_column, figure, named, percent_column
from console.rate_standing import rate_standing
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, linked, raw_column
from console.site import site
from pricing.tokens import TokenClass

MAIN_CLASSES = (TokenClass.INPUT, TokenClass.OUTPUT, TokenClass.CACHE_READ, TokenClass.CACHE_WRITE)
LABELS = {
    TokenClass.INPUT: _("Input / 1M"),
    TokenClass.OUTPUT: _("Output / 1M"),
    TokenClass.CACHE_READ: _("Cache read / 1M"),
    TokenClass.CACHE_WRITE: _("Cache write / 1M"),
}


def base_price(token_class: TokenClass) -> Any:
    """The base band's price of a token class, per million."""

    def value(price: CostPrice) -> str:
        text = price.sheet and price.sheet["base"].get(token_class.value)
        return figure("cost_per_million")(text, "USD") if text else "–"

    return named(f"{token_class.value}_figure", LABELS[token_class], value)


@display(description=_("In force"))
def in_force(price: CostPrice) -> str:
    """Whether the row sells or delists."""
    return _("Delisted from here on") if price.sheet is None else _("Sold")


class Prices(ReadOnlyInline):
    model = CostPrice
    verbose_name_plural = _("Cost prices")
    fields = ("effective_from", *(base_price(c) for c in MAIN_CLASSES), in_force, "origin", "cost_table")
    ordering = ("-effective_from",)


class Markups(ReadOnlyInline):
    model = MarkupRule
    verbose_name_plural = _("Markups of this model")
    fields = ("effective_from", "organization", percent_column("markup", _("Markup")), "reason", "created_by")
    ordering = ("-effective_from",)


@admin.register(LanguageModel, site=site)
class LanguageModelAdmin(ReadOnlyAdmin):
    list_display = (
        "slug",
        "name",
        "provider",
        "cost_table",
        count_column("context_length", _("context window")),
        "is_router",
        "released_on",
    )
    list_filter = ("cost_table", "is_router", "provider")
    search_fields = ("slug", "name", "provider")
    list_select_related = ("cost_table",)
    ordering = ("slug",)
    inlines = (Prices, Markups)
    list_deeds = ((_("Add a model"), "admin:add_model"),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "slug",
                    "name",
                    "provider",
                    "cost_table",
                    count_column("context_length", _("context window")),
                    count_column("max_completion_tokens", _("Most output tokens")),
                    "modality",
                    "tokenizer",
                    "is_router",
                    "released_on",
                )
            },
        ),
        (_("Description"), {"fields": ("description_ko", "description_en", "supported_parameters")}),
    )

    def deeds(self, obj: LanguageModel) -> list[tuple[Any, str]]:
        links = [
            (_("Enter a price"), f"{reverse('admin:enter_price')}?model={obj.slug}"),
            (_("Set a markup"), f"{reverse('admin:set_markup')}?model={obj.slug}"),
            (_("Edit"), reverse("admin:edit_model", args=[obj.pk])),
        ]
        if not obj.is_router:
            links.append((_("Stop selling"), reverse("admin:delist", args=[obj.pk])))
        return links


@admin.register(CostTable, site=site)
class CostTableAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug")
    search_fields = ("name", "slug")
    ordering = ("name",)
    fieldsets = ((None, {"fields": ("name", "slug")}),)


@admin.register(CostPrice, site=site)
class CostPriceAdmin(ReadOnlyAdmin):
    list_display = (
        "effective_from",
        linked("of_model", _("language model"), lambda row: row.language_model, order="language_model__slug"),
        *(base_price(token_class) for token_class in MAIN_CLASSES),
        in_force,
        "cost_table",
        "origin",
    )
    list_filter = ("cost_table", ("sheet", admin.EmptyFieldListFilter), "origin")
    search_fields = ("language_model__slug", "language_model__name", "origin")
    list_select_related = ("language_model", "cost_table")
    date_hierarchy = "effective_from"
    ordering = ("-effective_from", "language_model__slug")
    list_deeds = ((_("Enter a price"), "admin:enter_price"),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    linked("of_model", _("language model"), lambda row: row.language_model),
                    "cost_table",
                    "effective_from",
                    in_force,
                    *(base_price(token_class) for token_class in MAIN_CLASSES),
                    "origin",
                    "created_at",
                )
            },
        ),
        (
            _("As it is rated, and as the upstream wrote it"),
            {"fields": (raw_column("sheet", _("Rated")), raw_column("raw", _("Raw")))},
        ),
    )

    def deeds(self, obj: CostPrice) -> list[tuple[Any, str]]:
        return [(_("Enter the next price"), f"{reverse('admin:enter_price')}?model={obj.language_model.slug}")]


@display(description=_("Holds for"))
def target(rule: MarkupRule) -> str:
    """Whom and what a rule covers."""
    parts = [rule.organization and rule.organization.name, rule.language_model and rule.language_model.slug]
    return " × ".join(part for part in (*parts, rule.provider_slug) if part) or str(_("Everything"))


@admin.register(MarkupRule, site=site)
class MarkupRuleAdmin(ReadOnlyAdmin):
    list_display = (
        "effective_from",
        target,
        percent_column("markup", _("Markup")),
        "reason",
        "created_by",
        "created_at",
    )
    list_filter = (("organization", admin.EmptyFieldListFilter), ("language_model", admin.EmptyFieldListFilter))
    search_fields = ("organization__name", "language_model__slug", "provider_slug", "reason")
    list_select_related = ("organization", "language_model", "created_by")
    ordering = ("-effective_from", "-pk")
    list_deeds = ((_("Set a markup"), "admin:set_markup"),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    target,
                    percent_column("markup", _("Markup")),
                    "effective_from",
                    "below_cost_approved",
                    "reason",
                    "created_by",
                    "created_at",
                )
            },
        ),
    )


rate_column = named("rate_figure", _("Rate"), lambda row: figure("price_text")(row.rate, "KRW"), order="rate")


@admin.register(ExchangeRate, site=site)
class ExchangeRateAdmin(ReadOnlyAdmin):
    list_display = ("published_on", "base", "quote", rate_column, "source", "revision", "created_by", "created_at")
    list_filter = ("source", "quote")
    search_fields = ("source",)
    list_select_related = ("created_by",)
    date_hierarchy = "published_on"
    ordering = ("-published_on", "-revision")
    list_deeds = ((_("Publish an exchange rate"), "admin:publish_exchange_rate"),)
    list_before_template = "console/parts/rate_standing.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "published_on",
                    "base",
                    "quote",
                    rate_column,
                    "source",
                    "revision",
                    "created_by",
                    "created_at",
                )
            },
        ),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        context = {"standing": rate_standing(now=timezone.now())}
        return super().changelist_view(request, {**(extra_context or {}), **context})
