"""Let a foreign gateway report usage: add it, choose for whom, give it keys, replace and revoke them.

A secret is in the answer to the confirmation and nowhere else: not in a message, a session, an address, a log or the audit log.
"""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import service_keys
from accounts.api_keys import KeyRevoked
from accounts.models import Organization, ServiceKey, Source
from console.deeds import Deed, DeedForm, Obstacle, Refused, Row, add_deed
from console.figures import figure
from console.names import name_of
from console.read_only import address_of, list_of
from console.service_keys import organizations_of, when
from console.site import site
from console.standing import ReasonForm

OVERLAPS = {0: _("None: it ends at once"), 24: _("24 hours"), 168: _("7 days")}
"""How long a replaced key works on, in hours."""


class OrganizationsForm(DeedForm):
    everybody = forms.BooleanField(
        label=_("All organizations, future ones included"),
        required=False,
        help_text=_("For a gateway of our own only: whoever has its key can charge every customer."),
    )
    organizations = forms.ModelMultipleChoiceField(
        label=_("These organizations only"),
        queryset=Organization.objects.order_by("name", "slug"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("everybody") and values.get("organizations"):
            self.add_error("everybody", gettext("Choose either all organizations or some."))
        return values


def chosen(values: dict[str, Any]) -> list[Organization] | None:
    return None if values["everybody"] else list(values["organizations"])


def in_short(values: dict[str, Any]) -> str:
    names = [organization.name for organization in values["organizations"]]
    return gettext("All") if values["everybody"] else ", ".join(names) or gettext("None")


class SourceForm(OrganizationsForm):
    name = forms.CharField(label=_("name"), max_length=100)
    slug = forms.SlugField(
        label=_("ID"), max_length=50, help_text=_("Small letters, digits and hyphens; it stays for good.")
    )
    field_order = ("name", "slug", "everybody", "organizations")


class AddSource(Deed):
    form_class = SourceForm
    title = _("Add a usage source")
    lead = _(
        "A gateway outside of ours that reports what customers used. What it reports counts once, however often it is sent."
    )
    button = _("Add the source")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check(values)
        return [(_("name"), values["name"]), (_("ID"), values["slug"]), (_("May report for"), in_short(values))]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        try:
            self.source = service_keys.add_source(
                slug=values["slug"],
                name=values["name"],
                organizations=chosen(values),
                now=now,
                actor=self.request.user,
            )
        except service_keys.NameInUse:
            raise Refused(gettext("Another source has this ID.")) from None
        return gettext("%(name)s is added. Issue its first key now.") % {"name": self.source.name}

    def _check(self, values: dict[str, Any]) -> None:
        if Source.objects.filter(slug=values["slug"]).exists():
            raise Refused(gettext("Another source has this ID."))

    def back(self) -> str:
        source = getattr(self, "source", None)
        return address_of(source) if source else list_of(Source)


class SourceDeed(Deed):
    """On one source that is not our own."""

    def prepare(self, pk: int) -> None:
        self.source = get_object_or_404(Source, pk=pk)
        if self.source.slug in service_keys.BUILT_IN:
            raise Http404

    def facts(self) -> list[Row]:
        return [(_("usage source"), name_of(self.source)), (_("May report for"), organizations_of(self.source))]

    def back(self) -> str:
        return address_of(self.source)


class AllowOrganizations(SourceDeed):
    form_class = OrganizationsForm
    title = _("Choose its organizations")
    lead = _(
        "For whom the source may report usage. It holds for all its keys within 5 seconds; what was reported stays."
    )
    button = _("Allow these organizations")

    def initial(self) -> dict[str, Any]:
        return {
            "everybody": self.source.all_organizations,
            "organizations": list(self.source.allowed.values_list("organization_id", flat=True)),
        }

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [
            (_("usage source"), name_of(self.source)),
            (_("So far"), organizations_of(self.source)),
            (_("From now on"), in_short(values)),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        service_keys.allow_organizations(
            source_id=self.source.pk, organizations=chosen(values), now=now, actor=self.request.user
        )
        return gettext("%(name)s may report for: %(organizations)s") % {
            "name": name_of(self.source),
            "organizations": in_short(values),
        }


class SecretDeed(Deed):
    """Makes a key, and shows its secret this once. `do` returns the key and the secret."""

    def finish(self, outcome: tuple[ServiceKey, str]) -> HttpResponse:
        key, secret = outcome
        return site.render(
            self.request,
            "console/secret.html",
            title=_("The service key"),
            key=key,
            secret=secret,
            next_url=address_of(key),
        )


class KeyForm(DeedForm):
    source = forms.ModelChoiceField(
        label=_("usage source"),
        queryset=Source.objects.exclude(slug__in=service_keys.BUILT_IN).order_by("name"),
        empty_label=None,
        help_text=_("The gateway that will use the key. Whom it may report for is set with the source."),
    )
    name = forms.CharField(
        label=_("name"), max_length=60, help_text=_("What will use it, say “production”; it is not part of the secret.")
    )


class IssueKey(SecretDeed):
    form_class = KeyForm
    title = _("Issue a service key")
    lead = _("With it a gateway reports usage, and nothing else. The secret is shown once, right after you confirm.")
    button = _("Issue the key")

    def initial(self) -> dict[str, Any]:
        return {"source": self.request.GET.get("source")}

    def obstacle(self) -> Obstacle | None:
        if Source.objects.exclude(slug__in=service_keys.BUILT_IN).exists():
            return None
        return Obstacle(
            text=_("There is no foreign gateway yet. Add a usage source first."),
            label=_("Add a usage source"),
            url=reverse("admin:add_source"),
        )

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        source: Source = values["source"]
        return [
            (_("usage source"), name_of(source)),
            (_("May report for"), organizations_of(source)),
            (_("name"), values["name"]),
        ]

    def do(self, values: dict[str, Any], *, now: datetime) -> tuple[ServiceKey, str]:
        try:
            return service_keys.issue_service_key(
                source=values["source"], name=values["name"], now=now, actor=self.request.user
            )
        except service_keys.NameInUse:
            raise Refused(
                gettext(
                    "The source has a working key of this name. If you sent this twice, revoke that key or replace it."
                )
            ) from None

    def back(self) -> str:
        return list_of(ServiceKey)


class KeyDeed(Deed):
    """On one service key."""

    def prepare(self, pk: int) -> None:
        self.key = get_object_or_404(ServiceKey.objects.defer("digest").select_related("source"), pk=pk)

    def facts(self) -> list[Row]:
        return [
            (_("Service key"), f"{self.key.name} ({self.key.prefix}…)"),
            (_("usage source"), name_of(self.key.source)),
            (_("May report for"), organizations_of(self.key.source)),
            (_("Last use"), when(self.key.last_used_at)),
        ]

    def back(self) -> str:
        return address_of(self.key)


class OverlapForm(DeedForm):
    overlap = forms.TypedChoiceField(
        label=_("How long the old key works on"), choices=list(OVERLAPS.items()), coerce=int, initial=24
    )


class RotateKey(SecretDeed, KeyDeed):
    form_class = OverlapForm
    title = _("Replace the service key")
    lead = _(
        "A new key of the same source and name. Put it into the gateway while the old one still works: "
        "no report is lost or counted twice."
    )
    button = _("Issue the new key")

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        self._check()
        end = now + timedelta(hours=values["overlap"])
        return [*self.facts(), (_("The old key works until"), figure("table_time")(end))]

    def do(self, values: dict[str, Any], *, now: datetime) -> tuple[ServiceKey, str]:
        self._check()
        try:
            return service_keys.rotate_service_key(
                key_id=self.key.pk, overlap=timedelta(hours=values["overlap"]), now=now, actor=self.request.user
            )
        except (KeyRevoked, service_keys.AlreadyReplaced):
            raise Refused(gettext("The key was revoked or replaced meanwhile.")) from None

    def _check(self) -> None:
        if self.key.revoked_at or self.key.expires_at:
            raise Refused(gettext("This key is revoked or replaced already. Issue another one for its source."))


class RevokeKey(KeyDeed):
    form_class = ReasonForm
    title = _("Revoke the service key")
    lead = _(
        "It is refused within 5 seconds, for good. What the gateway cannot report meanwhile it must send again under another key."
    )
    button = _("Revoke the key")
    danger = True

    def review(self, values: dict[str, Any], *, now: datetime) -> list[Row]:
        return [*self.facts(), (_("Reason"), values["reason"])]

    def do(self, values: dict[str, Any], *, now: datetime) -> str:
        was_working = service_keys.revoke_service_key(
            key_id=self.key.pk, reason=values["reason"], now=now, actor=self.request.user
        )
        text = gettext("%(name)s is revoked.") if was_working else gettext("%(name)s had been revoked already.")
        return text % {"name": self.key.name}


add_deed("sources/new/", AddSource, name="add_source")
add_deed("sources/<int:pk>/organizations/", AllowOrganizations, name="allow_organizations")
add_deed("service-keys/new/", IssueKey, name="issue_service_key")
add_deed("service-keys/<int:pk>/replace/", RotateKey, name="rotate_service_key")
add_deed("service-keys/<int:pk>/revoke/", RevokeKey, name="revoke_service_key")
