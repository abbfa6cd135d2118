"""Who answers calls: upstreams, which models they serve, and what they billed."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from catalog.models import ModelRoute, Upstream, UpstreamBill
from console.figures import figure, named
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, linked
from console.site import site


@display(description=_("language model"), ordering="language_model__slug")
def served(route: ModelRoute) -> Any:
    """The model of a route, or all of its cost table's."""
    return route.language_model.slug if route.language_model else _("All models of the cost table")


@display(description=_("Counts"))
def counts(route: ModelRoute) -> Any:
    """Whether calls go by this route: it and its upstream are in use, and both are charged by one list."""
    if not (route.enabled and route.upstream.enabled):
        return _("Not in use")
    if route.language_model and route.language_model.cost_table_id != route.upstream.cost_table_id:
        return _("No: the model is sold from another cost table")
    return _("Yes")


class Routes(ReadOnlyInline):
    model = ModelRoute
    verbose_name_plural = _("Models that it serves")
    fields = ("priority", served, "upstream_model", counts, "updated_at")
    ordering = ("priority", "pk")


@admin.register(Upstream, site=site)
class UpstreamAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "kind", "base_url", "cost_table", "enabled", "updated_at")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "slug", "base_url")
    list_select_related = ("cost_table",)
    ordering = ("name",)
    list_deeds = ((_("Add an upstream"), "admin:add_upstream"), (_("Add a route"), "admin:add_route"))
    empty_text = _("All calls go to the upstream that the environment names.")
    inlines = (Routes,)
    fieldsets = (
        (None, {"fields": ("name", "slug", "kind", "base_url", "key_variable", "cost_table", "enabled")}),
        (
            _("Patience and connections; empty where the settings hold"),
            {"fields": ("connect_seconds", "first_byte_seconds", "chunk_seconds", "total_seconds", "connections")},
        ),
    )

    def deeds(self, obj: Upstream) -> list[tuple[Any, str]]:
        return [
            (_("Edit"), reverse("admin:edit_upstream", args=[obj.pk])),
            (_("Add a route"), f"{reverse('admin:add_route')}?upstream={obj.pk}"),
        ]


@admin.register(ModelRoute, site=site)
class ModelRouteAdmin(ReadOnlyAdmin):
    list_display = (
        "priority",
        linked("of_upstream", _("Upstream"), lambda row: row.upstream, order="upstream__name"),
        served,
        "upstream_model",
        counts,
        "updated_at",
    )
    list_filter = ("enabled",)
    search_fields = ("language_model__slug", "upstream__name", "upstream_model")
    list_select_related = ("upstream", "language_model")
    ordering = ("language_model__slug", "priority")
    list_deeds = ((_("Add a route"), "admin:add_route"),)
    empty_text = _("All calls go to the upstream that the environment names.")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    linked("of_upstream", _("Upstream"), lambda row: row.upstream),
                    served,
                    "upstream_model",
                    "priority",
                    "enabled",
                    counts,
                )
            },
        ),
    )

    def deeds(self, obj: ModelRoute) -> list[tuple[Any, str]]:
        return [(_("Edit"), reverse("admin:edit_route", args=[obj.pk]))]


def dollars(name: str, label: Any) -> Any:
    return named(f"{name}_figure", label, lambda row: figure("price_text")(getattr(row, name), "USD"), order=name)


@admin.register(UpstreamBill, site=site)
class UpstreamBillAdmin(ReadOnlyAdmin):
    list_display = (
        "day",
        "upstream",
        dollars("billed", _("Billed")),
        dollars("recorded", _("Recorded cost")),
        "checked_at",
    )
    list_filter = ("upstream",)
    search_fields = ("upstream",)
    ordering = ("-day", "upstream")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "day",
                    "upstream",
                    dollars("billed", _("Billed")),
                    dollars("recorded", _("Recorded cost")),
                    "checked_at",
                )
            },
        ),
    )
