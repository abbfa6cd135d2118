"""Foreign gateways: the sources that report usage, whom each may report for, and their service keys – never a secret."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import ServiceKey, Source, SourceOrganization
from accounts.service_keys import BUILT_IN
from console.figures import figure, named
from console.own_words import in_words
from console.read_only import ReadOnlyAdmin, ReadOnlyInline, linked, state_label
from console.site import site

NAMED = 3
"""How many organizations a list names before it counts the rest."""


def source_name(source: Source) -> Any:
    return in_words("source_name", source.name)


def organizations_of(source: Source) -> str:
    """Whom a source may report for, in short."""
    if source.all_organizations:
        return gettext("All")
    names = [permission.organization.name for permission in source.allowed.all()]
    shown, more = sorted(names)[:NAMED], len(names) - NAMED
    if more > 0:
        shown.append(gettext("%(count)d more") % {"count": more})
    return ", ".join(shown) or gettext("None")


def when(moment: Any) -> str:
    return str(figure("table_time")(moment)) if moment else "–"


@display(description=_("Status"))
def key_state(key: ServiceKey) -> str:
    """Whether it works, and until when; a replaced key has an end."""
    now = timezone.now()
    if key.revoked_at:
        tone, text = "plain", gettext("Revoked")
    elif key.expires_at and key.expires_at <= now:
        tone, text = "plain", gettext("Expired")
    elif key.expires_at:
        tone, text = "warning", gettext("Replaced, works until %(time)s") % {"time": when(key.expires_at)}
    else:
        tone, text = "success", gettext("Works")
    return state_label(tone, text)


class BySource(admin.RelatedFieldListFilter):
    """Our own sources under the names that the reader's language has for them."""

    def field_choices(self, *args: Any) -> list[tuple[Any, Any]]:
        return [(pk, in_words("source_name", name)) for pk, name in super().field_choices(*args)]


LAST_USE = named("last_used", _("Last use"), lambda key: when(key.last_used_at), order="last_used_at")
ALLOWED = named("may_report_for", _("May report for"), lambda key: organizations_of(key.source))


class Allowed(ReadOnlyInline):
    model = SourceOrganization
    verbose_name_plural = _("May report for")
    fields = (
        linked("organization_link", _("organization"), lambda row: row.organization),
        named("organization_slug", _("ID"), lambda row: row.organization.slug),
    )
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SourceOrganization]:
        return super().get_queryset(request).select_related("organization").order_by("organization__name")


class Keys(ReadOnlyInline):
    model = ServiceKey
    verbose_name_plural = _("Service keys")
    fields = (
        linked("key", _("name"), lambda row: row, text=lambda row: row.name),
        "prefix",
        key_state,
        LAST_USE,
        "created_at",
    )
    show_change_link = False
    ordering = ("-created_at",)


@admin.register(Source, site=site)
class SourceAdmin(ReadOnlyAdmin):
    list_display = (
        named("source_title", _("name"), source_name, order="name"),
        "slug",
        named("may_report", _("May report for"), organizations_of),
        named("last_used", _("Last use of a key"), lambda source: when(source.last_use)),
        "created_at",
    )
    search_fields = ("name", "slug")
    ordering = ("name",)
    list_deeds = ((_("Add a usage source"), "admin:add_source"),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    named("source_title", _("name"), source_name),
                    "slug",
                    named("may_report", _("May report for"), organizations_of),
                    "created_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        sources = super().get_queryset(request).prefetch_related("allowed__organization")
        return sources.annotate(last_use=Max("service_keys__last_used_at"))

    def get_inlines(self, request: HttpRequest, obj: Source | None) -> list[Any]:
        if obj is None or obj.slug in BUILT_IN:
            return []
        return [Keys] if obj.all_organizations else [Keys, Allowed]

    def deeds(self, obj: Source) -> list[tuple[Any, str]]:
        if obj.slug in BUILT_IN:
            return []
        return [
            (_("Issue a service key"), f"{reverse('admin:issue_service_key')}?source={obj.pk}"),
            (_("Choose its organizations"), reverse("admin:allow_organizations", args=[obj.pk])),
        ]


@admin.register(ServiceKey, site=site)
class ServiceKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "prefix",
        linked("of_source", _("usage source"), lambda row: row.source, order="source__name"),
        ALLOWED,
        key_state,
        LAST_USE,
        "created_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), ("source", BySource))
    search_fields = ("name", "prefix", "source__name", "source__slug")
    list_select_related = ("source",)
    ordering = ("-created_at",)
    list_deeds = ((_("Issue a service key"), "admin:issue_service_key"),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "prefix",
                    linked("of_source", _("usage source"), lambda row: row.source),
                    ALLOWED,
                    key_state,
                    LAST_USE,
                    "created_at",
                    "expires_at",
                    "revoked_at",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServiceKey]:
        return super().get_queryset(request).defer("digest").prefetch_related("source__allowed__organization")

    def deeds(self, obj: ServiceKey) -> list[tuple[Any, str]]:
        if obj.revoked_at is not None:
            return []
        links = [(_("Revoke"), reverse("admin:revoke_service_key", args=[obj.pk]))]
        if obj.expires_at is None:
            links.insert(0, (_("Replace"), reverse("admin:rotate_service_key", args=[obj.pk])))
        return links
