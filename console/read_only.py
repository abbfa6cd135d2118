"""What all lists and details of the console are: to be looked at. Whatever changes anything is an action of its own page."""

import json
from collections.abc import Callable
from datetime import date, datetime
from functools import cache, partial
from typing import Any

from django.contrib.admin import FieldListFilter, display
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin, TabularInline

from console.access import is_operator
from console.figures import figure
from console.names import name_of
from console.own_words import VOCABULARY, in_words, words_filter
from console.words import FIELDS


class ReadOnly:
    """Nothing can be added, changed or deleted, not even by a superuser."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request.user)


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    """A list with its details. `deeds` are links to the actions on one row, shown above its details."""

    actions = None
    list_per_page = 50
    show_full_result_count = True
    list_fullwidth = True
    list_filter_sheet = False
    compressed_fields = True
    empty_value_display = "–"
    list_before_template = change_form_before_template = "console/parts/deeds.html"
    list_deeds: tuple[tuple[Any, str], ...] = ()
    """Labels and names of the addresses of actions that need no row."""
    empty_text: Any = ""
    """What it means that the list holds nothing, where that is not plain."""

    def deeds(self, obj: Any) -> list[tuple[Any, str]]:
        return []

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [titled(self.model, name) for name in self.list_display]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [titled_filter(one) for one in self.list_filter]

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return [
            (title, {**options, "fields": [titled(self.model, name) for name in options["fields"]]})
            for title, options in self.fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return [field for _title, options in self.get_fieldsets(request, obj) for field in options["fields"]]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        deeds = [{"label": label, "url": reverse(name)} for label, name in self.list_deeds]
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {**(extra_context or {}), "deeds": deeds, "title": title})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj") or (args[3] if len(args) > 3 else None)
        context["deeds"] = [{"label": label, "url": url} for label, url in self.deeds(row)] if row else []
        context["title"] = name_of(row) if row else context.get("title")
        context["subtitle"] = None
        return super().render_change_form(request, context, *args, **kwargs)


class ReadOnlyInline(ReadOnly, TabularInline):
    """Rows that belong to the one shown."""

    extra = 0
    per_page = 50
    ordering = ("-pk",)
    can_delete = False
    show_change_link = True
    hide_title = True
    tab = True

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return [titled(self.model, name) for name in self.fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return self.get_fields(request, obj)


@cache
def titled(model: type[Model], name: Any) -> Any:
    """The column of a field under the name that operators know it by; a column stays as it is."""
    if callable(name) or name not in FIELDS:
        return name
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        field = None

    @display(description=FIELDS[name], ordering=name if field else None)
    def column(row: Any) -> Any:
        shown = getattr(row, f"get_{name}_display", None)
        value = shown() if shown else in_words(name, getattr(row, name))
        if isinstance(value, bool):
            return _("Yes") if value else "–"
        if isinstance(value, list):
            return ", ".join(str(item) for item in value) or "–"
        if isinstance(value, datetime):
            return figure("table_time")(value)
        if isinstance(value, date):
            return figure("table_date")(value)
        return value if value not in ("", None) else "–"

    column.__name__ = name
    return column


def titled_filter(wanted: Any) -> Any:
    """The filter of a field, or of a field and a class, under the name that operators know the field by."""
    if isinstance(wanted, type):
        return wanted
    name, kind = wanted if isinstance(wanted, tuple) else (wanted, FieldListFilter.create)
    if kind == FieldListFilter.create and name in VOCABULARY:
        kind = words_filter(partial(in_words, name))

    def make(*args: Any, **kwargs: Any) -> Any:
        made = kind(*args, **kwargs)
        made.title = FIELDS.get(name, made.title)
        return made

    return name, make


def linked(
    name: str,
    label: Any,
    target: Callable[[Any], Any],
    *,
    order: str | None = None,
    text: Callable[[Any], Any] = name_of,
) -> Callable[[Any], Any]:
    """A column that leads to the details of another row, which it calls `text`; empty where there is none."""

    @display(description=label, ordering=order)
    def column(row: Model) -> Any:
        other = target(row)
        return "–" if other is None else link_to(other, text(other))

    column.__name__ = name
    return column


def link_to(row: Model, text: Any = None) -> str:
    return format_html('<a class="text-link" href="{}">{}</a>', address_of(row), text or name_of(row))


def address_of(row: Model) -> str:
    """Where the details of a row are."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def list_of(model: type[Model], query: str = "") -> str:
    """Where the list of a model is, filtered by `query` ("status=open")."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{query}" if query else address


def raw_column(field: str, label: Any, *, lang: str = "") -> Callable[[Any], Any]:
    """JSON as it is stored, for reading; `lang` where it is always of one language."""

    @display(description=label)
    def column(row: Model) -> Any:
        text = json.dumps(getattr(row, field), ensure_ascii=False, indent=2, sort_keys=True)
        spoken = format_html(' lang="{}"', lang) if lang else ""
        return format_html('<pre class="raw"{} tabindex="0">{}</pre>', spoken, text)

    column.__name__ = f"{field}_raw"
    return column


def state_column(label: Any, tones: dict[str, str], *, field: str = "status") -> Callable[[Any], Any]:
    """A status as a coloured label, plain where `tones` has none for it."""

    @display(description=label, ordering=field)
    def column(row: Any) -> Any:
        text = getattr(row, f"get_{field}_display")()
        return state_label(tones.get(str(getattr(row, field)), "plain"), text)

    column.__name__ = f"{field}_state"
    return column


def state_label(tone: str, text: Any) -> str:
    """`text` as a coloured label: tones are success, warning, danger, info and plain."""
    return format_html('<span class="state state-{}">{}</span>', tone, text)
